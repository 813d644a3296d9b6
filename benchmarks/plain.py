"""Plain pictures, ours against diffusers: python -m benchmarks.plain --help

Peers draw in one process, in turn, in an order that moves on by one each round. Before a time counts, the peer's
picture is held to a reference, diffusers in float32 as it comes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import SIZED, begin, parser, shown, side
from benchmarks.peers import SETTINGS, Peer, Picture, Setting, Task, Theirs, everyone, load_theirs, precision
from benchmarks.start import measure
from pipelines.provenance import Provenance

LEVELS = 2
"""How far a float32 picture may be from the reference, of 255."""
DECIBELS = 20.0
BEHIND = 3.0
"""A bfloat16 picture's PSNR against the float32 reference: at least 20 dB, and within 3 dB of diffusers as it comes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: a peer in a setting. `off` is its largest error in levels, `psnr` in dB."""

    setting: Setting
    peer: Peer
    off: int = 0
    psnr: float = 0.0
    why_not: str = ""
    seconds: tuple[float, ...] = ()


def main(arguments: list[str] | None = None) -> int:
    """The command. Exit code 1 where a peer's picture was not the reference's."""
    asked = _parser().parse_args(arguments)
    if (folder := begin(asked)) is None:
        return 2
    whole = asked.model != SIZED
    task = _task(folder, asked)
    starts = _starts(folder, asked, task)
    entries = checked(folder, asked.dtype, task, asked.settings)
    timed = rounds(entries, task, asked.rounds, whole=whole)
    report = _report(asked, task, timed, starts, whole=whole)
    print(table(timed, starts))
    print(json.dumps(report))
    return int(any(entry.why_not for entry in timed))


def checked(folder: Path, dtype: str, task: Task, settings: Sequence[Setting] = SETTINGS) -> list[Entry]:
    """Every peer in these settings, its first picture (which also warms it up) held to the reference."""
    reference = Theirs(load_theirs(folder, "float32")).draw(task)
    entries: list[Entry] = []
    for setting, peers in everyone(folder, dtype, settings).items():
        for peer in peers:
            with precision(setting):
                picture = peer.draw(task)
            entries.append(Entry(setting, peer, furthest(picture, reference), psnr(picture, reference)))
    theirs_psnr = next(one.psnr for one in entries if isinstance(one.peer, Theirs))
    return [replace(one, why_not=_why_not(one, dtype, theirs_psnr)) for one in entries]


def rounds(entries: list[Entry], task: Task, count: int, *, whole: bool) -> list[Entry]:
    """The same entries with their seconds, one a round; those whose picture is wrong are not timed."""
    seconds: list[list[float]] = [[] for _ in entries]
    places = [place for place, entry in enumerate(entries) if not entry.why_not]
    for turn in range(count):
        first = turn % max(1, len(places))
        for place in places[first:] + places[:first]:
            peer = entries[place].peer
            with precision(entries[place].setting):
                begun = time.perf_counter()
                if whole:
                    peer.draw(task)
                else:
                    peer.denoise(task)
                seconds[place].append(time.perf_counter() - begun)
    return [replace(entry, seconds=tuple(taken)) for entry, taken in zip(entries, seconds, strict=True)]


def ratios(timed: list[Entry]) -> dict[str, tuple[float, ...]]:
    """diffusers' seconds over ours, round by round, by setting; more than 1 is faster than diffusers.

    "best": each side's faster setting, by its median.
    """
    sides = {side: [e for e in timed if e.seconds and isinstance(e.peer, Theirs) == side] for side in (True, False)}
    pairs: dict[str, tuple[Entry, Entry]] = {}
    for theirs in sides[True]:
        for ours in sides[False]:
            if ours.setting == theirs.setting:
                pairs[ours.setting] = (theirs, ours)
    if all(sides.values()):
        theirs, ours = (min(sides[side], key=lambda one: statistics.median(one.seconds)) for side in (True, False))
        pairs["best"] = (theirs, ours)
    return {
        name: tuple(a / b for a, b in zip(theirs.seconds, ours.seconds, strict=True))
        for name, (theirs, ours) in pairs.items()
    }


def spread_of(values: tuple[float, ...]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    low, high = np.quantile(values, (0.25, 0.75))
    return {
        "median": statistics.median(values),
        "quartile_1": float(low),
        "quartile_3": float(high),
        "least": min(values),
        "most": max(values),
    }


def furthest(one: Picture, other: Picture) -> int:
    """The largest difference of two pictures, in levels of 255."""
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())


def psnr(one: Picture, other: Picture) -> float:
    """Peak signal to noise, dB; infinite for equal pictures."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return float("inf") if error == 0.0 else 10.0 * float(np.log10(255.0**2 / error))


def _why_not(entry: Entry, dtype: str, theirs: float) -> str:
    if dtype == "float32":
        return "" if entry.off <= LEVELS else f"{entry.off} levels off, more than {LEVELS}"
    least = max(DECIBELS, theirs - BEHIND)
    return "" if entry.psnr >= least else f"{entry.psnr:.1f} dB, less than {least:.1f}"


def _starts(folder: Path, asked: argparse.Namespace, task: Task) -> dict[str, dict[str, float]]:
    """Medians over `asked.starts` processes of each peer, in turn."""
    taken: dict[str, list[dict[str, float]]] = {"xattn": [], "diffusers": []}
    for _ in range(asked.starts):
        for peer, several in taken.items():
            several.append(asdict(measure(peer, folder, asked.dtype, task, asked.threads)))
    return {
        peer: {name: statistics.median(one[name] for one in several) for name in several[0]}
        for peer, several in taken.items()
        if several
    }


def table(timed: list[Entry], starts: dict[str, dict[str, float]]) -> str:
    """What a person reads."""
    lines = [f"{'setting':8}{'peer':11}{'median s':>10}{'quartiles':>18}{'off':>5}{'PSNR dB':>9}"]
    for one in timed:
        row = f"{one.setting:8}{one.peer.name:11}"
        if one.seconds:
            seconds = spread_of(one.seconds)
            quartiles = f"{seconds['quartile_1']:.3f} … {seconds['quartile_3']:.3f}"
            row += f"{seconds['median']:10.3f}{quartiles:>18}{one.off:5}{one.psnr:9.1f}"
        lines.append(row + (f"  not counted: {one.why_not}" if one.why_not else ""))
    for name, values in ratios(timed).items():
        ratio = spread_of(values)
        lines.append(
            f"diffusers / xattn, {name}: {ratio['median']:.2f}× (quartiles {ratio['quartile_1']:.2f} … "
            f"{ratio['quartile_3']:.2f}, {ratio['least']:.2f} … {ratio['most']:.2f} in all)"
        )
    for peer, start in starts.items():
        lines.append(
            f"a process of {peer}: imported after {start['imported_seconds']:.1f} s, loaded after "
            f"{start['loaded_seconds']:.1f} s, first picture after {start['first_picture_seconds']:.1f} s; at most "
            f"{start['peak_bytes'] / 2**20:.0f} MiB held, {start['imported_bytes'] / 2**20:.0f} MiB by its imports"
        )
    return "\n".join(lines)


def _report(
    asked: argparse.Namespace,
    task: Task,
    timed: list[Entry],
    starts: dict[str, dict[str, float]],
    *,
    whole: bool,
) -> dict[str, Any]:
    here = Provenance.here(dtype=asked.dtype, backend="auto", device="cpu", batch=1)
    return {
        "command": "benchmarks.plain",
        "model": shown(asked),
        "timed": "prompt to pixels" if whole else "prompt to latents",
        "task": asdict(task),
        "provenance": here.document(),
        "entries": [
            {
                "setting": one.setting,
                "peer": one.peer.name,
                "levels_off": one.off,
                "psnr": None if one.psnr == float("inf") else one.psnr,
                "not_counted": one.why_not or None,
                "seconds": list(one.seconds),
            }
            for one in timed
        ],
        "ratios": {name: spread_of(values) for name, values in ratios(timed).items()},
        "starts": starts,
    }


def _task(folder: Path, asked: argparse.Namespace) -> Task:
    own = folder / "defaults.json"
    defaults = json.loads(own.read_text()) if own.is_file() else {}
    few = 2 if asked.model == SIZED else 20
    pixels = side(folder, asked)
    return Task(
        prompt="a fox on purple",
        negative_prompt="a dog",
        steps=asked.steps or defaults.get("num_inference_steps", few),
        guidance_scale=defaults.get("guidance_scale", 7.5),
        width=pixels,
        height=pixels,
    )


def _parser() -> argparse.ArgumentParser:
    made = parser("benchmarks.plain", __doc__, "the model's own; 2 for sd15-size")
    made.add_argument("--settings", nargs="+", default=SETTINGS, choices=SETTINGS)
    made.add_argument("--starts", type=int, default=3, help="processes started of each peer; 0 for none")
    return made


if __name__ == "__main__":
    sys.exit(main())
