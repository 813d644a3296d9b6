"""What a stroke of the page's brush does, judged: python -m benchmarks.painted [--write]

Draws prompts of one thing and of two, paints a word as a person does with one stroke, and prints the table of
docs/ui.md; with --write the table is made anew there, and says which weights it is of.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.judged import HALVES, SIDE, Bench, Pair, Record, judged, knows, pairs, singles
from weights.train.judge import Seen
from weights.train.scenes import article
from xattn import Asset, Edit, PaintMap, Window

PAGE = Path(__file__).parents[1] / "docs" / "ui.md"
STROKE = 18
"""Pixels across: the brush as it comes, 14 % of the picture."""
FIRST, SECOND = "left", "right"
"""Where the first of two things is painted, and where the second."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the first painted word is painted; the second is painted alike but leaves the others as they are."""

    label: str
    settings: dict[str, Any] | None = None
    together: bool = True


ROOM = {"renormalise": "others"}
WAYS = (
    Way("nothing", None, together=False),
    Way("set ×2, others as they are", {"amount": 2.0}),
    Way("set ×2, others make room", {"amount": 2.0, **ROOM}),
    Way('the same, `reach="after"`', {"amount": 2.0, "reach": "after", **ROOM}, together=False),
    Way("set ×2, others make room, until 80 %", {"amount": 2.0, "window": Window(steps=(0.0, 0.8)), **ROOM}),
    Way("**set ×4, others make room**", {"amount": 4.0, **ROOM}),
)
"""The last is what the page does (ui/web/edits.py, NEW). With `reach="after"` two words would have the same tokens."""


def stroke(half: str) -> Asset:
    """Through the middle of a half, along it, with soft edges."""
    box = HALVES[half]
    x, y = (box.left + box.right) / 2 * SIDE, (box.top + box.bottom) / 2 * SIDE
    along = 0.3 * SIDE
    ends = [(x - along, y), (x + along, y)] if half in ("upper", "lower") else [(x, y - along), (x, y + along)]
    image = Image.new("L", (SIDE, SIDE))
    brush = ImageDraw.Draw(image)
    brush.line(ends, fill=255, width=STROKE)
    for across, down in ends:
        brush.ellipse([across - STROKE / 2, down - STROKE / 2, across + STROKE / 2, down + STROKE / 2], fill=255)
    return Asset.from_field(np.asarray(image.filter(ImageFilter.GaussianBlur(2)), np.float32) / 255)


def paint(way: Way, *words: tuple[str, str]) -> tuple[Edit, ...]:
    """(word, half) each, the first as the way says."""
    if way.settings is None:
        return ()
    alone = {name: value for name, value in way.settings.items() if name != "renormalise"}
    return tuple(
        PaintMap(word, op="set", field=stroke(half), **(alone if place else way.settings))
        for place, (word, half) in enumerate(words)
    )


def one_thing(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Recognised, and its middle in the painted half."""
    asked = singles(places)
    edits = [{way.label: paint(way, (one.word, one.half)) for way in WAYS} for one in asked]

    def rights(one: Any, _: Any, seen: tuple[Seen, ...]) -> dict[str, float]:
        box = HALVES[one.half]
        x, y = (seen[0].x / SIDE, seen[0].y / SIDE) if seen else (-1.0, -1.0)
        there = box.left <= x <= box.right and box.top <= y <= box.bottom
        return {"recognised": knows(seen, one.index), "in the painted half": float(there)}

    return judged(bench, places, asked, [one.prompt for one in asked], edits, rights)


def _beside(pair: Pair) -> str:
    """Both on a colour, and nothing said of where."""
    first, second = map(article, pair.names)
    return f"{first} and {second} on {pair.color}"


def _sides(pair: Pair, _: Any, seen: tuple[Seen, ...]) -> dict[str, float]:
    found = {each.index: each for each in seen}
    one, other = found.get(pair.first), found.get(pair.second)
    both = one is not None and other is not None
    left = one is not None and one.x < SIDE / 2
    right = other is not None and other.x > SIDE / 2
    return {"both there": float(both), "on its side": float(both and left), "in place": float(left and right)}


def two_one_painted(bench: Bench, places: Sequence[int]) -> list[Record]:
    """The first of two things painted to the left."""
    asked = pairs(places)
    edits = [{way.label: paint(way, (pair.names[0], FIRST)) for way in WAYS} for pair in asked]
    return judged(bench, places, asked, [_beside(pair) for pair in asked], edits, _sides, most=2)


def two_both_painted(bench: Bench, places: Sequence[int]) -> list[Record]:
    """One to the left, the other to the right."""
    asked = pairs(places)
    ways = [way for way in WAYS if way.together]
    words = [((pair.names[0], FIRST), (pair.names[1], SECOND)) for pair in asked]
    edits = [{way.label: paint(way, *both) for way in ways} for both in words]
    return judged(bench, places, asked, [_beside(pair) for pair in asked], edits, _sides, most=2)


PARTS: dict[str, Callable[[Bench, Sequence[int]], list[Record]]] = {
    "one": one_thing,
    "first": two_one_painted,
    "both": two_both_painted,
}
_BENCH: list[Bench] = []


def _start(model: str) -> None:
    import torch

    from weights.train.judge import load
    from xattn import Pipeline

    torch.set_num_threads(1)  # a process a core, as benchmarks.control
    _BENCH.append(Bench(Pipeline.from_pretrained(model), load()))


def _measure(part: str, places: Sequence[int]) -> list[Record]:
    return PARTS[part](_BENCH[0], places) if places else []


def measured(counts: dict[str, int], model: str, processes: int) -> dict[str, list[Record]]:
    """The records of each part, one a prompt; a prompt is always drawn by the same process."""
    workers = [
        ProcessPoolExecutor(1, get_context("spawn"), initializer=_start, initargs=(model,)) for _ in range(processes)
    ]
    try:
        waiting = {
            part: [
                worker.submit(_measure, part, range(first, count, processes)) for first, worker in enumerate(workers)
            ]
            for part, count in counts.items()
        }
        return {part: [record for one in some for record in one.result()] for part, some in waiting.items()}
    finally:
        for worker in workers:
            worker.shutdown(cancel_futures=True)


def table(records: dict[str, list[Record]]) -> str:
    """As docs/ui.md has it."""

    def share(part: str, way: Way, figure: str) -> str:
        value = float(np.mean([one[way.label][figure] for one in records[part]]))
        return f"{value:.2f}".removeprefix("0")

    rows = []
    for way in WAYS:
        one = f"{share('one', way, 'recognised')} / {share('one', way, 'in the painted half')}"
        first = f"{share('first', way, 'both there')} / {share('first', way, 'on its side')}"
        both = share("both", way, "in place") if way.together else "cannot both hold" if way.settings else ""
        rows.append(f"| {way.label} | {one} | {first} | {both} |".replace("|  |", "| |"))
    head = (
        "| a stroke does | one thing: recognised / in the painted half | two, one painted: both there / on its side "
        "| two, both painted: both in place |"
    )
    return "\n".join([head, "|---|---|---|---|", *rows])


def write(made: str, told: str, page: Path = PAGE) -> None:
    """Put the table, and the line above it that says of what it is, in the place of the old ones.

    Raises SystemExit where the page has no such table.
    """
    text = page.read_text(encoding="utf-8")
    pattern = r"(?s)(one stroke of the brush as it\s+comes: ).*?:\n\n\| a stroke does \|.*?\n\n"
    written, times = re.subn(pattern, lambda found: f"{found[1]}{told}:\n\n{made}\n\n", text)
    if times != 1:
        raise SystemExit(f"{page} has no table of strokes to be made anew.")
    page.write_text(written, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.painted", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prompts", type=int, default=15, help="of one thing; of two, three for five of these")
    parser.add_argument("--model", default="emoji-128")
    parser.add_argument("--processes", type=int, default=2, help="each with one thread")
    parser.add_argument("--write", action="store_true", help="make the table of docs/ui.md anew")
    asked = parser.parse_args(arguments)
    if asked.prompts < 2 or asked.processes < 1:
        parser.error("--prompts is at least 2 and --processes at least 1.")
    begun = time.perf_counter()
    pairs_of = max(1, round(asked.prompts * 0.6))
    made = table(measured({"one": asked.prompts, "first": pairs_of, "both": pairs_of}, asked.model, asked.processes))
    from xattn import Pipeline

    ref = Pipeline.from_pretrained(asked.model).resolve("a fox").model
    weights = "" if ref is None else f"{ref.portable().name}, weights {str(ref.sha256)[:8]}"
    told = (
        f'{asked.prompts} prompts of one\nthing, {pairs_of} of two ("a fox and a pizza on purple"), 20 steps, '
        f"judged by `weights/judge`;\n{weights}, `python -m benchmarks.painted`"
    )
    print(f"{made}\n\n{weights}, {time.perf_counter() - begun:.0f} s")
    if asked.write:
        write(made, told)
        print(f"Wrote {PAGE.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
