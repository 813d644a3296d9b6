"""Schedulers' names: ours, and those that web UIs and diffusers use for the same thing. Knows no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from xattn.errors import BadValue, UnknownName, Unsupported

Sigmas = Literal["model", "karras"]
SIGMAS: tuple[Sigmas, ...] = get_args(Sigmas)


@dataclass(frozen=True, slots=True)
class SamplerName:
    """One scheduler by its names.

    name: ours, as recipes store it
    label: what web UIs call it, and pictures' `parameters` too
    karras: whether it can run on Karras et al.'s sigmas
    stochastic: whether it draws fresh noise at its steps
    takes_noise: whether that noise may be another than a CPU generator's (schedulers.py)
    aliases: other names, written as `_squeeze` leaves them
    """

    name: str
    label: str
    karras: bool
    stochastic: bool = False
    takes_noise: bool = False
    aliases: tuple[str, ...] = ()


SCHEDULERS: Mapping[str, SamplerName] = MappingProxyType(
    {
        known.name: known
        for known in (
            SamplerName("ddim", "DDIM", karras=False),
            SamplerName("euler", "Euler", karras=True, aliases=("eulerdiscrete",)),
            SamplerName(
                "euler_a",
                "Euler a",
                karras=False,
                stochastic=True,
                takes_noise=True,
                aliases=("eulerancestral", "eulerancestraldiscrete"),
            ),
            SamplerName("dpmpp_2m", "DPM++ 2M", karras=True, aliases=("dpmsolvermultistep", "dpmsolverpp2m")),
            SamplerName("dpmpp_2m_sde", "DPM++ 2M SDE", karras=True, stochastic=True, aliases=("dpmpp2msdegpu",)),
            SamplerName("unipc", "UniPC", karras=True, aliases=("unipcmultistep", "unipcbh2")),
            SamplerName("lcm", "LCM", karras=False, stochastic=True, takes_noise=True),
        )
    }
)


def comes_from_a_gpu(name: str) -> bool:
    """Whether a picture of this scheduler (by our name) whose noise was a GPU's can be drawn here."""
    return SCHEDULERS[name].takes_noise or not SCHEDULERS[name].stochastic


def _squeeze(name: str) -> str:
    """What is left of a name when case, spaces and punctuation do not count: "DPM++ 2M SDE" → dpmpp2msde."""
    squeezed = re.sub(r"[\s_.\-]+", "", name.casefold().replace("++", "pp"))
    return squeezed.removesuffix("scheduler")


_BY_ALIAS = {
    alias: known.name
    for known in SCHEDULERS.values()
    for alias in (_squeeze(known.name), _squeeze(known.label), *known.aliases)
}


def canonical(name: object) -> tuple[str, Sigmas | None]:
    """Our name for a scheduler called in any of the known ways, and the sigmas that the given name asks for, if any.

    Web UIs used to put both into one name ("DPM++ 2M Karras"; InvokeAI writes "dpmpp_2m_k").
    Raises UnknownName with the nearest known name.
    """
    if isinstance(name, str):
        squeezed = _squeeze(name)
        if squeezed in _BY_ALIAS:
            return _BY_ALIAS[squeezed], None
        for suffix in ("karras", "k"):
            bare = squeezed.removesuffix(suffix)
            if bare != squeezed and bare in _BY_ALIAS:
                return _BY_ALIAS[bare], "karras"
    raise UnknownName("scheduler", name, tuple(SCHEDULERS))


def check_sigmas(sigmas: object) -> Sigmas:
    """`sigmas` as one of SIGMAS. Raises BadValue."""
    for known in SIGMAS:
        if sigmas == known:
            return known
    raise BadValue("sigmas", sigmas, '"model" (as the model\'s scheduler_config.json says) or "karras"')


def check_pair(name: str, sigmas: Sigmas) -> None:
    """Raises Unsupported where a scheduler (by our name) cannot run on these sigmas."""
    if sigmas == "karras" and not SCHEDULERS[name].karras:
        able = ", ".join(known.name for known in SCHEDULERS.values() if known.karras)
        raise Unsupported(
            f'The scheduler {name} cannot run on Karras sigmas; use sigmas="model", or one of the schedulers {able}.'
        )
