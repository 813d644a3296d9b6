"""Where an edit acts: which steps, attention sites, heads and rows. Knows no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

from pipelines import checks
from xattn.errors import BadValue, UnknownName
from xattn.sites import AttentionSite

Rows = Literal["cond", "uncond"]
_PLACES = ("down", "mid", "up")
_FRACTION = re.compile(r"1/([1-9][0-9]{0,3})")
_ROUNDING = 1e-9
"""Keeps .8 of 10 steps at 8, whatever the product's last bit."""


@dataclass(frozen=True, slots=True)
class Window:
    """Steps, sites, heads and rows; an edit changes nothing outside of them, bit for bit.

    steps: two fractions, (0.0, 0.8): from the first step on, as long as fewer than 80 % are done; or two step numbers
        counted from 1, both included, (1, 10). A pass of its own (hires fix) counts its own steps.
    sites: any of site names (or how one ends), "down", "mid", "up", and "1/2", the sites whose grid has half of the
        latent's side; none is all. Papers' "16²" on Stable Diffusion 1 is "1/4".
    heads: numbers from 0; none is all. rows: those with the prompt, "cond", and those with the negative one, "uncond"
    """

    steps: tuple[float, float] | tuple[int, int] = (0.0, 1.0)
    sites: tuple[str, ...] = ()
    heads: tuple[int, ...] = ()
    rows: tuple[Rows, ...] = ("cond",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", _steps(self.steps))
        for name in ("sites", "heads", "rows"):
            if not isinstance(getattr(self, name), tuple):
                raise BadValue(f"window.{name}", getattr(self, name), "a tuple")
        for site in self.sites:
            checks.text("window.sites", site, blank=False)
        for head in self.heads:
            checks.whole("window.heads", head, 0, 1023)
        if not self.rows:
            raise BadValue("window.rows", (), 'some of "cond", "uncond"')
        for row in self.rows:
            if row not in get_args(Rows):
                raise UnknownName("row", row, get_args(Rows))

    def open(self, index: int, steps: int) -> bool:
        """Whether step `index` of `steps`, counted from 0, is in it."""
        first, last = self.steps
        if isinstance(first, int):
            return first <= index + 1 <= last
        return first * steps - _ROUNDING <= index < last * steps - _ROUNDING

    def takes(self, site: AttentionSite) -> bool:
        """Whether a site is in it."""
        return not self.sites or any(_names(asked, site) for asked in self.sites)

    def check_sites(self, sites: tuple[AttentionSite, ...]) -> None:
        """Raise UnknownName for what is none of a model's sites, BadValue for a head that none of them has."""
        for asked in self.sites:
            if not any(_names(asked, site) for site in sites):
                grids = sorted({site.downsampling for site in sites})
                known = (*_PLACES, *(f"1/{number}" for number in grids), *(site.name for site in sites))
                raise UnknownName("site", asked, known)
        most = max(site.heads for site in sites if self.takes(site))
        for head in self.heads:
            if head >= most:
                raise BadValue(
                    "window.heads", head, f"numbers from 0 to {most - 1}, which are this model's heads there"
                )


def _names(asked: str, site: AttentionSite) -> bool:
    fraction = _FRACTION.fullmatch(asked)
    if fraction:
        return site.downsampling == int(fraction[1])
    return asked in (site.place, site.name) or site.name.endswith(f".{asked}")


def _steps(given: object) -> tuple[float, float] | tuple[int, int]:
    """Two step numbers, or two fractions: so read where one of them has a point, or the first is 0, as JavaScript
    writes 0.0 as 0 and 1.0 as 1."""
    expected = "two fractions such as (0.0, 0.8), or two step numbers such as (1, 10)"
    if not isinstance(given, tuple) or len(given) != 2:
        raise BadValue("window.steps", given, expected)
    if any(isinstance(one, bool) or not isinstance(one, Real) for one in given):
        raise BadValue("window.steps", given, expected)
    first, last = given
    if all(isinstance(one, int) for one in given) and first != 0:
        numbers = checks.whole("window.steps", first, 1, 1000), checks.whole("window.steps", last, 1, 1000)
        if numbers[0] > numbers[1]:
            raise BadValue("window.steps", given, "a first step that is not after the last")
        return numbers
    fractions = checks.number("window.steps", first, 0.0, 1.0), checks.number("window.steps", last, 0.0, 1.0)
    if fractions[0] > fractions[1]:
        raise BadValue("window.steps", given, "a beginning that is not after the end")
    return fractions
