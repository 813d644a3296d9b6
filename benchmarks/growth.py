"""How the cost of watching grows with the words and with the picture: python -m benchmarks.growth --help

The default model, or another. Each round draws a plain picture and every watched one, ours all at once, a step of each
in turn; what is plotted is the time that watching adds, in percent of the plain picture of the same round. Pictures
are compared bit for bit before.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.chart import Chart, beside
from benchmarks.materialised import MaterialisedMaps
from benchmarks.options import EMBEDDED, begin
from benchmarks.overhead import Peer, rounds, rounds_in_step, same_bits
from benchmarks.peers import Picture, Task, Theirs, load_theirs
from benchmarks.plain import spread_of
from pipelines.provenance import Provenance
from xattn import Pipeline, Recipe

PROMPT = "a fox above a cat on purple and a dog below"
WORDS = ("fox", "cat", "purple", "dog", "above", "below", "on", "and")
SIZES = (128, 192, 256, 384, 512)
"""Pixels of a side."""


def over_words(pipe: Pipeline, steps: int, count: int) -> dict[str, list[float]]:
    """Percent that maps of 1, 2, 4, 8 and all words add, one a round."""
    recipe = Recipe(PROMPT, seed=7, num_inference_steps=steps, scheduler="ddim")
    peers = [_ours(pipe, recipe, "0")]
    peers += [_ours(pipe, recipe, str(number), WORDS[:number]) for number in (1, 2, 4, 8)]
    peers.append(_ours(pipe, recipe, "all", "*"))
    same_bits(peers)
    return _added(rounds_in_step(peers, count, whole=True), "0")


def over_sizes(
    pipe: Pipeline, diffusers: object, steps: int, count: int, each: Sequence[int]
) -> dict[int, dict[str, list[float]]]:
    """Percent that maps of two words add at each size, ours and, on diffusers' plain run, materialised."""
    columns = tuple(pipe.ledger(PROMPT).columns(word)[0] for word in WORDS[:2])
    found = {}
    for size in each:
        recipe = Recipe(PROMPT, seed=7, num_inference_steps=steps, scheduler="ddim", width=size, height=size)
        task = Task(PROMPT, "", steps, pipe.resolve(recipe).guidance_scale or 1.0, size, size)
        peers = [_ours(pipe, recipe, "plain"), _ours(pipe, recipe, "maps", WORDS[:2])]
        same_bits(peers)
        their = [_theirs(Theirs(diffusers), task, "plain"), _theirs(MaterialisedMaps(diffusers, columns), task, "maps")]
        ours = _added(rounds_in_step(peers, count, whole=True), "plain")
        theirs = _added(rounds(their, count, whole=True), "plain")
        found[size] = {"xattn": ours["maps"], "materialised": theirs["maps"]}
    return found


def _ours(pipe: Pipeline, recipe: Recipe, name: str, words: tuple[str, ...] | str = ()) -> Peer:
    def run(_: bool) -> Picture:
        return np.asarray(pipe([recipe], words=words)[0].image)

    return Peer(name, run, lambda _: pipe.stream([recipe], words=words))


def _theirs(peer: Theirs | MaterialisedMaps, task: Task, name: str) -> Peer:
    return Peer(name, lambda _: peer.draw(task))


def _added(seconds: dict[str, list[float]], plain: str) -> dict[str, list[float]]:
    return {
        name: [100 * (one / base - 1) for one, base in zip(taken, seconds[plain], strict=True)]
        for name, taken in seconds.items()
        if name != plain
    }


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    asked = _parser().parse_args(arguments)
    if (folder := begin(asked)) is None:
        return 2
    diffusers = load_theirs(folder, "float32")
    pipe = Pipeline.from_diffusers(diffusers)
    words = over_words(pipe, asked.steps, asked.rounds)
    sizes = over_sizes(pipe, diffusers, max(1, asked.steps // 4), asked.rounds, asked.sizes)
    for name, values in words.items():
        print(_line(f"maps of {name} {'word' if name == '1' else 'words'}", values))
    for size, both in sizes.items():
        for name, values in both.items():
            print(_line(f"two words at {size}, {name}", values))
    charts = (
        Chart(
            "Time that maps add, by words",
            "captured words, 128 by 128 pixels",
            tuple(words),
            {"xattn": list(words.values())},
            (3.0, "the bar for two words"),
        ),
        Chart(
            "Time that maps of two words add, by size",
            "pixels of a side",
            tuple(map(str, sizes)),
            {name: [both[name] for both in sizes.values()] for name in ("xattn", "materialised")},
            (3.0, ""),
        ),
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    beside(charts).save(asked.out, optimize=True)
    print(asked.out)
    here = Provenance.here(dtype="float32", backend="auto", device="cpu", batch=1)
    document = {"command": "benchmarks.growth", "provenance": here.document(), "words": words, "sizes": sizes}
    print(json.dumps(document))
    return 0


def _line(name: str, percent: list[float]) -> str:
    spread = spread_of(tuple(percent))
    return f"{name}: {spread['median']:+.1f} % (quartiles {spread['quartile_1']:+.1f} … {spread['quartile_3']:+.1f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=EMBEDDED, help=f"{EMBEDDED} or a folder")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20, help="over words; a quarter of them over sizes")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels of a side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("docs/images/overhead.png"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
