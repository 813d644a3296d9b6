"""The rules of guidance as a recipe names them. Knows no torch.

Each may be limited to an interval of the steps (Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval
Improves Sample and Distribution Quality", arXiv 2404.07724): at the others the prompt's own prediction is taken as it
is, and the rows of the negative prompt do not run. Steps are counted as diffusers' guiders count them: of n that run,
those from int(start · n) up to, and without, int(stop · n).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from pipelines import checks
from xattn.errors import BadValue, UnknownName


@dataclass(frozen=True, slots=True)
class ClassifierFree:
    """Classifier-free guidance (Ho & Salimans 2022); see classifier_free.py.

    rescale: 0 … 1, how far to bring the standard deviation back to the unguided prediction's (Lin et al. 2024, "Common
        diffusion noise schedules and sample steps are flawed", section 3.4; they use .7)
    start, stop: 0 … 1, the share of the steps before which, and from which on, there is no guidance
    """

    kind: ClassVar[str] = "cfg"
    rescale: float = 0.0
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rescale", checks.number("guidance.rescale", self.rescale, 0.0, 1.0))
        _check_interval(self)

    def steps(self, count: int) -> range:
        """Which of so many steps are guided, counted from 0."""
        return _steps(self, count)


@dataclass(frozen=True, slots=True)
class Projected:
    """Adaptive projected guidance (Sadat et al. 2024, arXiv 2410.02416); see projected.py.

    eta: 0 … 1, how much of the part along the prediction stays: it saturates colours
    momentum: −1 … 0.99, of the difference over the steps; the paper's are negative
    threshold: the greatest norm of the difference; 0 is none
    start, stop: 0 … 1, the share of the steps before which, and from which on, there is no guidance
    The defaults are the paper's for Stable Diffusion XL; for 2.1 it takes momentum −.75 and threshold 7.5.
    """

    kind: ClassVar[str] = "apg"
    eta: float = 0.0
    momentum: float = -0.5
    threshold: float = 15.0
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (("eta", 0.0, 1.0), ("momentum", -1.0, 0.99), ("threshold", 0.0, 1e6)):
            object.__setattr__(self, name, checks.number(f"guidance.{name}", getattr(self, name), low, high))
        _check_interval(self)

    def steps(self, count: int) -> range:
        """Which of so many steps are guided, counted from 0."""
        return _steps(self, count)


Rule = ClassifierFree | Projected
RULES: Mapping[str, type[ClassifierFree] | type[Projected]] = {rule.kind: rule for rule in (ClassifierFree, Projected)}


def rule_document(rule: Rule) -> dict[str, object]:
    """JSON's types; what is at its default is left out."""
    changed = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return {"kind": rule.kind} | {
        name: value for name, value in changed.items() if value != getattr(type(rule)(), name)
    }


def read_rule(document: object) -> Rule:
    """Back from `rule_document`, or from a kind alone. Raises BadValue, UnknownName."""
    given = {"kind": document} if isinstance(document, str) else document
    if not isinstance(given, Mapping) or "kind" not in given:
        raise BadValue("guidance", document, 'a kind such as "apg", or an object such as {"kind": "apg", "eta": 0.5}')
    kind = given["kind"]
    if kind not in RULES:
        raise UnknownName("guidance", kind, tuple(RULES))
    known = ("kind", *(field.name for field in fields(RULES[kind])))
    for name in given:
        if name not in known:
            raise UnknownName("guidance field", name, known)
    return RULES[kind](**{name: value for name, value in given.items() if name != "kind"})


def _check_interval(rule: Rule) -> None:
    for name in ("start", "stop"):
        object.__setattr__(rule, name, checks.number(f"guidance.{name}", getattr(rule, name), 0.0, 1.0))
    if rule.start >= rule.stop:
        raise BadValue(
            "guidance.stop",
            rule.stop,
            f"over guidance.start, {rule.start:g}",
            "guidance_scale 1 draws without guidance",
        )


def _steps(rule: Rule, count: int) -> range:
    return range(int(rule.start * count), int(rule.stop * count))
