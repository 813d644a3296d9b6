"""What watching and editing cost, ours and materialised: python -m benchmarks.overhead --help

Peers draw in one process, in turn, on one set of tensors, in an order that moves on by one each round; each picture is
held to the others' before a time counts. Peak memory is taken in a process of its own for each peer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alone import attention_alone
from benchmarks.materialised import MaterialisedEdit, MaterialisedMaps
from benchmarks.options import EMBEDDED, SIZED, begin, parser, shown, side
from benchmarks.peers import Picture, Task, Theirs, load_theirs
from benchmarks.plain import furthest, psnr, spread_of
from pipelines.provenance import Provenance
from xattn import LocalBlend, Pipeline, Recipe, Replace, Reweight, StepEvent

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = "a dog on purple", "a fox on purple"
WORDS = ("fox", "purple")
FACTOR = 2.0
PAIRS = (
    ("maps of two words, on a plain run", "maps", "plain"),
    ("edits, on as many plain rows", "edits", "plain, two"),
    ("materialised maps, on ours", "capture, materialised", "maps"),
    ("materialised edits, on ours", "edits, materialised", "edits"),
    ("materialised edits with fused self-attention, on ours", "edits, cross materialised", "edits"),
)
"""What is divided by what."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Someone who draws: `run` from prompt to latents, or to pixels where `whole`. `begin`: the same, step by step."""

    name: str
    run: Callable[[bool], Picture | None]
    begin: Callable[[bool], Iterator[object]] | None = None


def ours(pipe: Pipeline, task: Task) -> list[Peer]:
    """Plain, watched, two plain, and edited."""
    plain = Recipe(
        TARGET,
        negative_prompt=task.negative_prompt,
        seed=task.seed,
        num_inference_steps=task.steps,
        guidance_scale=task.guidance_scale,
        scheduler="ddim",
        width=task.width,
        height=task.height,
    )
    source = replace(plain, prompt=SOURCE)
    edits = (Replace(), Reweight("purple", FACTOR), LocalBlend(words=("fox",), source_words=("dog",)))
    edited = replace(plain, source=source, edits=edits)

    def drawing(name: str, recipes: Sequence[Recipe], words: tuple[str, ...] = ()) -> Peer:
        def begin(whole: bool) -> Iterator[object]:
            for event in pipe.stream(recipes, words=words):
                yield event
                if not whole and isinstance(event, StepEvent) and event.step == event.steps:
                    break

        def run(whole: bool) -> Picture | None:
            if whole:
                return np.asarray(pipe(recipes, words=words)[0].image)
            for _ in begin(whole):
                pass
            return None

        return Peer(name, run, begin)

    return [
        drawing("plain", [plain]),
        drawing("maps", [plain], WORDS),
        drawing("plain, two", [plain, source]),
        drawing("edits", [edited]),
    ]


def theirs(pipe: Any, task: Task, columns: dict[str, int]) -> list[Peer]:
    """diffusers plain, and its public processors materialising."""
    fox, purple = columns["fox"], columns["purple"]
    capture = MaterialisedMaps(pipe, (fox, purple))
    published = MaterialisedEdit(pipe, SOURCE, purple, FACTOR, fox)
    lean = MaterialisedEdit(pipe, SOURCE, purple, FACTOR, fox, everywhere=False, name="edits, cross materialised")
    return [_theirs(peer, task) for peer in (Theirs(pipe), capture, published, lean)]


def _theirs(peer: Any, task: Task) -> Peer:
    return Peer(peer.name, lambda whole: peer.draw(task) if whole else peer.denoise(task))


def checked(peers: list[Peer], dtype: str) -> dict[str, str]:
    """Why a peer's time does not count: its picture is not that of who draws the same. Empty where it is."""
    drawn = {peer.name: peer.run(True) for peer in peers}
    same = {
        "maps": "plain",
        "plain, two": "plain",
        "diffusers": "plain",
        "capture, materialised": "plain",
        "edits, materialised": "edits",
        "edits, cross materialised": "edits",
    }
    why = {}
    for name, other in same.items():
        one, two = drawn.get(name), drawn.get(other)
        if one is None or two is None:  # not asked for
            continue
        bad = furthest(one, two) > 2 if dtype == "float32" else psnr(one, two) < 20.0
        if bad:
            why[name] = f"{furthest(one, two)} levels from {other}, {psnr(one, two):.1f} dB"
    one, two = drawn.get("edits"), drawn.get("plain")
    if one is not None and two is not None and furthest(one, two) <= 2:
        why["edits"] = "changed nothing"
    return why


def same_bits(peers: Sequence[Peer]) -> None:
    """Raise AssertionError where pictures differ by a bit: watching changes none."""
    first, *others = [peer.run(True) for peer in peers]
    for peer, other in zip(peers[1:], others, strict=True):
        assert np.array_equal(first, other), f"{peer.name} changed the picture"  # type: ignore[arg-type]


def rounds(peers: list[Peer], count: int, *, whole: bool) -> dict[str, list[float]]:
    """Seconds of each peer, one a round."""
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(count):
        first = turn % len(peers)
        for peer in peers[first:] + peers[:first]:
            begun = time.perf_counter()
            peer.run(whole)
            seconds[peer.name].append(time.perf_counter() - begun)
    return seconds


def rounds_in_step(peers: list[Peer], count: int, *, whole: bool) -> dict[str, list[float]]:
    """As `rounds`, of peers that draw step by step: all draw at once, each a step in turn.

    What a busy machine does to one it then does to the others, too: for differences of a few hundredths.
    """
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for turn in range(count):
        running = [(peer.name, peer.begin(whole)) for peer in peers if peer.begin]
        taken = dict.fromkeys(seconds, 0.0)
        while running:
            turn += 1
            first = turn % len(running)
            ended = []
            for name, events in running[first:] + running[:first]:
                begun = time.perf_counter()
                if next(events, None) is None:
                    ended.append(name)
                taken[name] += time.perf_counter() - begun
            running = [(name, events) for name, events in running if name not in ended]
        for name, total in taken.items():
            seconds[name].append(total)
    return seconds


def ratios(seconds: dict[str, list[float]]) -> dict[str, tuple[float, ...]]:
    """Round by round, what PAIRS says."""
    return {
        what: tuple(a / b for a, b in zip(seconds[one], seconds[other], strict=True))
        for what, one, other in PAIRS
        if seconds.get(one) and seconds.get(other)
    }


def peak(name: str, asked: argparse.Namespace) -> int:
    """The most bytes that a process held while one peer drew, less what it held before."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--peak-of", name, "--rounds", "1"]
    for option in ("model", "dtype", "steps", "size", "threads"):
        if getattr(asked, option) is not None:
            command += [f"--{option}", str(getattr(asked, option))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def main(arguments: list[str] | None = None) -> int:
    """The command. Exit code 1 where a picture was not what it must be."""
    asked = _parser().parse_args(arguments)
    if (folder := begin(asked)) is None:
        return 2
    whole = asked.model != SIZED
    task = _task(folder, asked)
    diffusers = load_theirs(folder, asked.dtype)
    pipe = Pipeline.from_diffusers(diffusers)
    ledger = pipe.ledger(TARGET)
    columns = {word: ledger.columns(word)[0] for word in WORDS}
    peers = [*ours(pipe, task), *theirs(diffusers, task, columns)]
    if asked.peak_of:
        return _peak_of(next(peer for peer in peers if peer.name == asked.peak_of), whole=whole)
    if asked.only:
        if unknown := set(asked.only).difference(peer.name for peer in peers):
            print(f"--only: there is no {sorted(unknown)[0]!r}; there are {[p.name for p in peers]}.", file=sys.stderr)
            return 2
        peers = [peer for peer in peers if peer.name in asked.only]
    why = {} if asked.unchecked else checked(peers, asked.dtype)
    counted = [peer for peer in peers if peer.name not in why]
    if asked.in_step:
        counted = [peer for peer in counted if peer.begin]
    seconds = (rounds_in_step if asked.in_step else rounds)(counted, asked.rounds, whole=whole)
    peaks = {peer.name: peak(peer.name, asked) for peer in counted} if asked.memory else {}
    alone = attention_alone(pipe, diffusers, task, asked.rounds) if asked.alone else {}
    print(table(seconds, peaks, why, alone))
    print(json.dumps(_report(asked, task, seconds, peaks, why, alone)))
    return int(bool(why))


def _peak_of(peer: Peer, *, whole: bool) -> int:
    # loading takes more than drawing does, and a high-water mark only falls where it is told to (Linux)
    Path("/proc/self/clear_refs").write_text("5")
    before = _held("VmRSS")
    peer.run(whole)
    print(_held("VmHWM") - before)
    return 0


def _held(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def table(
    seconds: dict[str, list[float]], peaks: dict[str, int], why: dict[str, str], alone: dict[str, list[float]]
) -> str:
    """What a person reads."""
    lines = [f"{'who':28}{'median s':>10}{'quartiles':>20}{'run MiB':>10}"]
    for name, taken in seconds.items():
        spread = spread_of(tuple(taken))
        held = f"{peaks[name] / 2**20:10.0f}" if name in peaks else ""
        quartiles = f"{spread['quartile_1']:.3f} … {spread['quartile_3']:.3f}"
        lines.append(f"{name:28}{spread['median']:10.3f}{quartiles:>20}{held}")
    lines += [f"{name:28}  not counted: {reason}" for name, reason in why.items()]
    for what, values in ratios(seconds).items():
        ratio = spread_of(values)
        lines.append(
            f"{what}: {ratio['median']:.3f}× (quartiles {ratio['quartile_1']:.3f} … {ratio['quartile_3']:.3f})"
        )
    for what, one, other in PAIRS:
        if one in peaks and other in peaks and peaks[other]:
            lines.append(f"{what}, memory of the run: {peaks[one] / peaks[other]:.3f}×")
    if alone:
        medians = {name: statistics.median(taken) for name, taken in alone.items()}
        for name, taken in medians.items():
            lines.append(f"attention alone, a step, {name}: {taken:.4f} s")
        for name in ("edits, materialised", "edits, cross materialised"):
            each = tuple(a / b for a, b in zip(alone[name], alone["edits"], strict=True))
            lines.append(f"attention alone, {name}, on ours: {spread_of(each)['median']:.2f}×")
            rows = zip(alone[name], alone["edits"], alone["projections"], strict=True)
            bare = spread_of(tuple((a - both) / (b - both) for a, b, both in rows))
            lines.append(f"the same less the projections, which all have: {bare['median']:.2f}×")
    return "\n".join(lines)


def _report(
    asked: argparse.Namespace,
    task: Task,
    seconds: dict[str, list[float]],
    peaks: dict[str, int],
    why: dict[str, str],
    alone: dict[str, list[float]],
) -> dict[str, Any]:
    here = Provenance.here(dtype=asked.dtype, backend="auto", device="cpu", batch=1)
    return {
        "command": "benchmarks.overhead",
        "model": shown(asked),
        "size": [task.width, task.height],
        "steps": task.steps,
        "provenance": here.document(),
        "in_step": asked.in_step,
        "seconds": seconds,
        "run_bytes": peaks,
        "not_counted": why,
        "ratios": {name: spread_of(values) for name, values in ratios(seconds).items()},
        "attention_alone": alone,
    }


def _task(folder: Path, asked: argparse.Namespace) -> Task:
    pixels = side(folder, asked)
    steps = asked.steps or (2 if asked.model == SIZED else 20)
    return Task(TARGET, "", steps, 4.0 if asked.model == EMBEDDED else 7.5, pixels, pixels)


def _parser() -> argparse.ArgumentParser:
    made = parser("benchmarks.overhead", __doc__, "20; 2 for sd15-size")
    made.add_argument("--memory", action="store_true", help="peak memory too, a process for each peer")
    made.add_argument("--only", nargs="+", metavar="WHO", help="these alone, by the names in the table")
    made.add_argument("--alone", action="store_true", help="the attention layers alone too")
    made.add_argument("--in-step", action="store_true", help="ours alone, all drawing at once, each a step in turn")
    made.add_argument("--unchecked", action="store_true", help="time without comparing pictures first")
    made.add_argument("--peak-of", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    sys.exit(main())
