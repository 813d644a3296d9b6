"""The figures that a model is held to, their bars, and the table of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

LISTED = 30
"""Weak objects that the table names."""


class Weak(TypedDict):
    """An object that was missed at least once, and what was seen in its place."""

    name: str
    right: int
    of: int
    taken_for: list[str]


class MapFigures(TypedDict):
    """Word maps against true masks, see `word_maps`: mean IoU, and the thresholds that others' prompts gave."""

    scenes: int
    single: float
    pair: float
    single_threshold: float
    pair_threshold: float


class EditFigures(TypedDict):
    """One object put in another's place, see `replacements`: shares that are right, and the median PSNR in dB."""

    count: int
    right: float
    recognised: float
    kept: float
    psnr: float


class ColorFigures(TypedDict):
    """Objects in colours that the prompt gives them, see `colored`: shares of the single objects and of the pairs."""

    singles: int
    pairs: int
    single: float
    """Single objects recognised, in their colour."""
    both: float
    """Pairs with both objects recognised, whatever their colours."""
    right: float
    """Pairs with both objects recognised, each in its colour."""
    swapped: float
    """Pairs with both objects recognised, each in the other's colour."""


class Figures(TypedDict):
    """Shares are in [0, 1]; `None` stands for what could not be measured."""

    how: str
    """How the pictures were drawn."""
    singles: int
    pairs: int
    psnr: float | None
    single: float
    background: float
    both: float
    one: float
    relation: float | None
    relations: dict[str, float]
    spread: dict[str, float]
    weak: list[Weak]
    maps: NotRequired[MapFigures]
    edits: NotRequired[EditFigures]
    colors: NotRequired[ColorFigures]


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure's name for people, and what it must reach (or stay under)."""

    name: str
    figure: str
    bar: float
    below: bool = False


BARS = (
    Bar("VAE, PSNR on held-out scenes (dB)", "psnr", 30.0),
    Bar("single object recognised", "single", 0.97),
    Bar("background colour right", "background", 0.99),
    Bar("both objects of a pair recognised", "both", 0.85),
    Bar("relation right, given both", "relation", 0.90),
    Bar("word-map mIoU against true masks, one object", "maps_single", 0.60),
    Bar("word-map mIoU against true masks, two objects", "maps_pair", 0.45),
    Bar("object replaced by `Replace` alone: recognised, and background kept at 25 dB", "edits", 0.80),
    Bar("coloured pair right: both objects, each in its colour", "colors", 0.60),
    Bar("positions and sizes spread as in the data (worst KS distance)", "worst_spread", 0.15, below=True),
)


def table(figures: Figures) -> str:
    """The figures beside their bars, and the weak objects, for a terminal or a Markdown file."""
    maps, edits, colors = figures.get("maps"), figures.get("edits"), figures.get("colors")
    values: dict[str, float | None] = {
        "psnr": figures["psnr"],
        "single": figures["single"],
        "background": figures["background"],
        "both": figures["both"],
        "relation": figures["relation"],
        "maps_single": maps["single"] if maps else None,
        "maps_pair": maps["pair"] if maps else None,
        "edits": edits["right"] if edits else None,
        "colors": colors["right"] if colors else None,
        "worst_spread": max(figures["spread"].values()),
    }
    lines = ["| what | measured | bar | |", "|---|---|---|---|"]
    for bar in BARS:
        value = values[bar.figure]
        reached = value is not None and (value <= bar.bar if bar.below else value >= bar.bar)
        sign = "≤" if bar.below else "≥"
        shown = "not measured" if value is None else f"{value:.3g}"
        lines.append(f"| {bar.name} | {shown} | {sign} {bar.bar:g} | {'yes' if reached else 'no'} |")
    weak = [f"{each['name']} {each['right']}/{each['of']}{_instead(each)}" for each in figures["weak"]]
    more = f" and {len(weak) - LISTED} more" if len(weak) > LISTED else ""
    drawn = f"{figures['singles']} single objects, {figures['pairs']} pairs; {figures['how'] or 'drawn somehow'}"
    notes = {
        "Drawn": drawn,
        "At least one object of a pair recognised": f"{figures['one']:.3g}",
        "Relations": ", ".join(f"{name} {share:.2f}" for name, share in figures["relations"].items()),
        "Word maps": _of_maps(maps) if maps else "",
        "Replaced": _of_edits(edits) if edits else "",
        "Coloured": _of_colors(colors) if colors else "",
        "KS distances": ", ".join(f"{name} {gap:.3f}" for name, gap in figures["spread"].items()),
        "Weak": (", ".join(weak[:LISTED]) or "none") + more,
    }
    return "\n".join([*lines, "", *(f"- {name}: {note}" for name, note in notes.items() if note)])


def _of_maps(maps: MapFigures) -> str:
    thresholds = f"{maps['single_threshold']:.2f} and {maps['pair_threshold']:.2f} of a map's maximum"
    return f"of {maps['scenes']} scenes of one and of two objects, thresholds {thresholds}"


def _of_edits(edits: EditFigures) -> str:
    return (
        f"{edits['count']} objects; recognised {edits['recognised']:.3g}, background kept {edits['kept']:.3g} "
        f"(median {edits['psnr']:.1f} dB)"
    )


def _of_colors(colors: ColorFigures) -> str:
    return (
        f"{colors['singles']} single objects, {colors['single']:.3g} right; {colors['pairs']} pairs, both objects "
        f"recognised {colors['both']:.3g}, colours swapped {colors['swapped']:.3g}"
    )


def _instead(weak: Weak) -> str:
    return f" ({', '.join(weak['taken_for'])})" if weak["taken_for"] else ""
