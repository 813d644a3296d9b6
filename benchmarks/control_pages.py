"""The tables of docs/ that benchmarks.control measures: made anew between two marks, so none lags behind the weights.

A page has `<!-- measured: NAME -->` before a table and `<!-- end -->` after it; what stands between is written here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "docs/control.md",
    "docs/techniques/prompt-to-prompt.md",
    "docs/techniques/painting.md",
    "docs/techniques/regions.md",
)
MARK = re.compile(r"<!-- measured: (\w+) -->\n.*?<!-- end -->", re.DOTALL)

Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Table:
    """first: heads the column of ways; shown: how some ways are written, where not as the section calls them
    columns: figures and their heads, all where there are none; number: how a figure is written
    """

    first: str
    shown: Mapping[str, str]
    columns: Mapping[str, str]
    number: Callable[[float], str]


def share(value: float) -> str:
    """As in .98, 1.00."""
    return f"{value:.2f}".removeprefix("0")


def decibels_or_share(value: float) -> str:
    """A share, or decibels, which are over 1 here."""
    return share(value) if value <= 1 else f"{value:.1f}"


def small(value: float) -> str:
    """Two digits."""
    return f"{value:.1e}".replace("e-0", "e-") if value < 0.01 else f"{value:.2g}"


TABLES: dict[str, Table] = {
    "maps": Table("map", {"DAAM": "`Capture.daam`", "mean of all": "`Capture`, the mean of all"}, {}, share),
    "replace": Table(
        "",
        {
            "replace": "`Replace`",
            "replace, local blend": "`Replace`, `LocalBlend`",
            "local blend alone": "`LocalBlend` alone",
        },
        {},
        decibels_or_share,
    ),
    "recolour": Table(
        "",
        {
            "refine": "`Refine`",
            "replace": "`Replace`",
            "inject, .8 of the steps": "`Inject`, .8 of the steps",
            "refine, inject .8": "`Refine`, `Inject` .8",
            "replace, inject .8": "`Replace`, `Inject` .8",
        },
        {},
        share,
    ),
    "taken": Table(
        "the second of two",
        {
            "reweight 0": "`Reweight` 0",
            "neg pip .5": "`NegPip` .5",
            "neg pip 1": "`NegPip` 1",
            "neg pip 2": "`NegPip` 2",
            "gain 0, reach after": '`PaintMap.gain` 0, `reach="after"`',
            "gain 0, its own tokens": "`PaintMap.gain` 0, its own tokens",
            "the same, every step": "the same, in every step",
        },
        {},
        share,
    ),
    "paint": Table(
        "",
        {
            "set": "`PaintMap.set`, the others renormalised",
            "set, reach after": 'the same, `reach="after"`',
            "move, reach after": '`PaintMap.move` by a quarter, `reach="after"`',
            "paint with words": "`PaintWithWords`, .4",
        },
        {"recognised": "recognised", "middle in the half": "middle in the half", "both": "both"},
        share,
    ),
    "painting": Table(
        "",
        {},
        {
            "recognised": "recognised",
            "share in the half": "share in the half",
            "middle in the half": "middle in the half",
            "both": "both",
        },
        share,
    ),
    "regions": Table(
        "",
        {"hard": "`Regions`, hard", "soft, .7 over the prompt": "`Regions`, soft, strength .7"},
        {"both recognised": "both recognised", "both in their halves": "both in their halves"},
        share,
    ),
    "colours": Table(
        "",
        {
            "attend and excite": "`AttendAndExcite` of both objects",
            "attend and excite, colours too": "the same, of objects with their colours",
            "regions": "`Regions`, soft, strength .7",
        },
        {},
        share,
    ),
    "borders": Table("", {}, {}, share),
    "exact": Table("edit", {}, {}, small),
}


def table(name: str, figures: Figures) -> str:
    """Markdown of one section's table."""
    if name == "reweight":  # few figures of many ways: turned round
        lines = [["`Reweight`", *figures]]
        lines += [[row, *(share(some[row]) for some in figures.values())] for row in next(iter(figures.values()))]
        return _table(lines)
    made = TABLES[name]
    columns = made.columns or {figure: figure for figure in next(iter(figures.values()))}
    lines = [[made.first, *columns.values()]]
    lines += [
        [made.shown.get(way, way), *(made.number(some[figure]) for figure in columns)] for way, some in figures.items()
    ]
    return _table(lines)


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *rows]).replace("|  |", "| |")


def caption(name: str, made: Mapping[str, object]) -> str:
    """What was measured with what: the line under a table."""
    model, counts = made["model"], made["counts"]
    assert isinstance(model, Mapping), "as measured"
    assert isinstance(counts, Mapping), "as measured"
    weights = f"{model['name']}, weights {str(model['sha256'])[:8]}"
    if name == "exact":
        return f"*{weights}, float32; `python -m benchmarks.control exact`.*"
    return f"*{weights}, {made['dtype']}, {counts[name]} prompts; `python -m benchmarks.control {name}`.*"


def write(made: Mapping[str, object], root: Path = ROOT) -> list[str]:
    """Write the tables of the sections that were measured into the pages; which pages have changed.

    Raises ValueError for a mark that no section has.
    """
    sections = made["sections"]
    assert isinstance(sections, Mapping), "as measured"
    changed = []
    for page in PAGES:
        before = (root / page).read_text(encoding="utf-8")

        def anew(found: re.Match[str]) -> str:
            name = found[1]
            if name not in TABLES and name != "reweight":
                raise ValueError(f"There is no section {name!r}.")
            if name not in sections:
                return found[0]
            body = f"{table(name, sections[name])}\n\n{caption(name, made)}"
            return f"<!-- measured: {name} -->\n\n{body}\n\n<!-- end -->"

        after = MARK.sub(anew, before)
        if after != before:
            write_whole(root / page, after.encode())
            changed.append(page)
    return changed
