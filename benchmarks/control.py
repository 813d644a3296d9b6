"""What the edits do on the default model, judged: python -m benchmarks.control --help

Prompts are of the evaluation's kind, with their own seeds. Objects are recognised by the judge of weights/judge, who
also says where they are. Every section draws at least 100 prompts unless --prompts says fewer.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from weights.train import replacements, word_maps
from weights.train.judge import Judge, Seen, look
from weights.train.judge import load as load_judge
from weights.train.scenes import article
from weights.train.world import world
from xattn import (
    Asset,
    Box,
    Capture,
    Edit,
    LocalBlend,
    PaintMap,
    PaintWithWords,
    Pipeline,
    Recipe,
    Region,
    Regions,
    Replace,
    Reweight,
)

Picture = NDArray[np.uint8]
SIDE = 128
HALVES = {
    "left": Box(0.0, 0.0, 0.5, 1.0),
    "right": Box(0.5, 0.0, 1.0, 1.0),
    "upper": Box(0.0, 0.0, 1.0, 0.5),
    "lower": Box(0.0, 0.5, 1.0, 1.0),
}
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
MIDDLES = {"left": Box(0.0, 0.2, 0.4, 0.8), "right": Box(0.6, 0.2, 1.0, 0.8)}
"""Regions of a pair, with a gap between them that belongs to the picture's own prompt."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Who draws, who judges, and how many prompts a section has."""

    pipe: Pipeline
    judge: Judge
    prompts: int

    def draw(self, recipes: Sequence[Recipe]) -> list[Picture]:
        """[128, 128, 3] each."""
        return [np.asarray(result.image) for result in self.pipe(recipes)]

    def seen(self, pictures: Sequence[Picture], most: int = 1) -> list[tuple[Seen, ...]]:
        """What the judge sees in each."""
        return look(self.judge, list(pictures), most)


def maps(bench: Bench) -> dict[str, object]:
    """Word maps against true masks: composed scenes, noised and drawn on; threshold from other scenes. Mean IoU."""
    made: dict[str, object] = {"scenes of each kind": bench.prompts}
    for name, capture in (("mean of all", Capture), ("DAAM", Capture.daam)):
        figures = word_maps.measure(bench.pipe, bench.prompts, capture)
        made[f"{name}, single"], made[f"{name}, pair"] = figures["single"], figures["pair"]
    return made


def replaced(bench: Bench) -> dict[str, object]:
    """One object put in another's place: recognised, and PSNR outside both objects' boxes against the source."""
    asked = replacements.swaps(bench.prompts)
    sources = [Recipe(source, seed=seed) for seed, (source, _, _) in enumerate(asked)]
    before = bench.draw(sources)

    def target(place: int, edits: Sequence[Edit]) -> Recipe:
        return Recipe(asked[place][1], seed=place, source=sources[place], edits=tuple(edits))

    def blended(place: int) -> LocalBlend:
        words = tuple(asked[place][side].split(" on ")[0].split(" ", 1)[1] for side in (1, 0))
        return LocalBlend(words=words[:1], source_words=words[1:])

    ways: dict[str, Callable[[int], Recipe]] = {
        "the same seed, no edit": lambda place: Recipe(asked[place][1], seed=place),
        "img2img, strength .6": lambda place: Recipe(
            asked[place][1], seed=place, init=Asset.from_image(_image(before[place])), strength=0.6
        ),
        "replace": lambda place: target(place, [Replace()]),
        "replace, local blend": lambda place: target(place, [Replace(), blended(place)]),
    }
    made: dict[str, object] = {"prompts": bench.prompts}
    for name, way in ways.items():
        after = bench.draw([way(place) for place in range(bench.prompts)])
        kept = [replacements.outside_psnr(one, other) for one, other in zip(before, after, strict=True)]
        known = [
            index in {each.index for each in seen} for (_, _, index), seen in zip(asked, bench.seen(after), strict=True)
        ]
        both = [hit and psnr >= replacements.KEPT for hit, psnr in zip(known, kept, strict=True)]
        made[name] = {
            "recognised": _share(known),
            "kept, 25 dB": _share([psnr >= replacements.KEPT for psnr in kept]),
            "both": _share(both),
            "median dB": float(np.median(kept)),
        }
    return made


def painted(bench: Bench) -> dict[str, object]:
    """One object, painted into a half: recognised with its middle in that half, of four halves in turn."""
    names = list(HALVES)
    asked = [(prompt, index, names[place % 4]) for place, (prompt, index) in enumerate(_singles(bench.prompts))]
    words = [world().objects[index] for _, index, _ in asked]
    shifts = {"left": (-0.25, 0.0), "right": (0.25, 0.0), "upper": (0.0, -0.25), "lower": (0.0, 0.25)}

    def ways(word: str, half: str) -> dict[str, tuple[Edit, ...]]:
        box, shift = HALVES[half], shifts[half]
        return {
            "no edit (chance)": (),
            "set, its own tokens": (PaintMap(word, "set", box, renormalise="others"),),
            "set, reach after": (PaintMap(word, "set", box, renormalise="others", reach="after"),),
            "move, reach after": (PaintMap(word, "move", shift=shift, renormalise="others", reach="after"),),
            "paint with words": (PaintWithWords(word, box),),
        }

    made: dict[str, object] = {"prompts": bench.prompts}
    for name in ways(words[0], "left"):
        recipes = [
            Recipe(prompt, seed=place, edits=ways(word, half)[name])
            for place, ((prompt, _, half), word) in enumerate(zip(asked, words, strict=True))
        ]
        seen = bench.seen(bench.draw(recipes))
        known = [index in {each.index for each in found} for (_, index, _), found in zip(asked, seen, strict=True)]
        there = [_in_half(found, half) for (_, _, half), found in zip(asked, seen, strict=True)]
        made[name] = {
            "recognised": _share(known),
            "middle in the half": _share(there),
            "both": _share([one and other for one, other in zip(known, there, strict=True)]),
        }
    return made


def regions(bench: Bench) -> dict[str, object]:
    """Two prompts, each in its half: both objects recognised, each with its middle in its half."""
    rng = np.random.default_rng([12, 0])
    names = world().objects
    pairs = [tuple(int(one) for one in rng.choice(len(names), 2, replace=False)) for _ in range(bench.prompts)]
    colors = [str(rng.choice(list(world().colors))) for _ in pairs]

    def prompt(first: int, second: int, color: str) -> str:
        return f"{article(names[first])} to the left of {article(names[second])} on {color}"

    def two(first: int, second: int, color: str, *, hard: bool, strength: float) -> Regions:
        sides = zip((first, second), ("left", "right"), strict=True)
        parts = [Region(f"{article(names[one])} on {color}", MIDDLES[side], strength) for one, side in sides]
        return Regions(tuple(parts), hard=hard)

    made: dict[str, object] = {"prompts": bench.prompts}
    ways: dict[str, dict[str, float | bool] | None] = {
        "the prompt alone": None,
        "hard": {"hard": True, "strength": 1.0},
        "soft, .7 over the prompt": {"hard": False, "strength": 0.7},
    }
    for name, how in ways.items():
        recipes = []
        for seed, ((first, second), color) in enumerate(zip(pairs, colors, strict=True)):
            edits = () if how is None else (two(first, second, color, **how),)  # type: ignore[arg-type]
            recipes.append(Recipe(prompt(first, second, color), seed=seed, edits=edits))
        seen = bench.seen(bench.draw(recipes), 2)
        found = [{each.index: each for each in some} for some in seen]
        both = [set(pair) <= set(some) for pair, some in zip(pairs, found, strict=True)]
        placed = [
            first in some and second in some and some[first].x < SIDE / 2 < some[second].x
            for (first, second), some in zip(pairs, found, strict=True)
        ]
        made[name] = {"both recognised": _share(both), "both in their halves": _share(placed)}
    return made


def reweighted(bench: Bench) -> dict[str, object]:
    """One object's word, reweighted: recognised, and how much of the picture is not background."""
    asked = _singles(bench.prompts)
    made: dict[str, object] = {"prompts": bench.prompts}
    area: dict[float, list[float]] = {}
    for weight in WEIGHTS:
        recipes = [
            Recipe(prompt, seed=seed, edits=(Reweight(world().objects[index], weight),))
            for seed, (prompt, index) in enumerate(asked)
        ]
        pictures = bench.draw(recipes)
        seen = bench.seen(pictures)
        area[weight] = [float(replacements.box(picture).mean()) for picture in pictures]
        made[f"weight {weight:g}"] = {
            "recognised": _share(
                [index in {each.index for each in found} for (_, index), found in zip(asked, seen, strict=True)]
            ),
            "box of what is not background, share of the picture": float(np.mean(area[weight])),
        }
    means = [float(np.mean(area[weight])) for weight in WEIGHTS]
    made["monotone"] = bool(np.all(np.diff(means) > 0))
    return made


SECTIONS: dict[str, Callable[[Bench], dict[str, object]]] = {
    "maps": maps,
    "replace": replaced,
    "paint": painted,
    "regions": regions,
    "reweight": reweighted,
}


def main(arguments: list[str] | None = None) -> int:
    """The command: a section's figures as soon as they are there, then all as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--prompts", type=int, default=114)
    parser.add_argument("--model", default="emoji-128")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    bench = Bench(Pipeline.from_pretrained(asked.model), load_judge(), asked.prompts)
    made = {}
    for name in asked.sections or SECTIONS:
        made[name] = SECTIONS[name](bench)
        print(f"\n{name}")
        for what, figures in made[name].items():
            print(f"  {what:32}{_shown(figures)}", flush=True)
    print(json.dumps(made))
    return 0


def _singles(count: int) -> list[tuple[str, int]]:
    """Prompts of one object on a colour, and the object's index; objects take turns."""
    rng = np.random.default_rng([11, 0])
    names, colors = world().objects, list(world().colors)
    order = [int(index) for index in rng.permutation(len(names))]
    return [
        (f"{article(names[order[place % len(order)]])} on {rng.choice(colors)}", order[place % len(order)])
        for place in range(count)
    ]


def _in_half(seen: Sequence[Seen], half: str) -> bool:
    if not seen:
        return False
    box, middle = HALVES[half], (seen[0].x / SIDE, seen[0].y / SIDE)
    return box.left <= middle[0] <= box.right and box.top <= middle[1] <= box.bottom


def _image(picture: Picture) -> object:
    from PIL import Image

    return Image.fromarray(picture)


def _share(rights: Sequence[bool]) -> float:
    return float(np.mean(rights))


def _shown(figures: object) -> str:
    if not isinstance(figures, dict):
        return f"{figures:.3f}" if isinstance(figures, float) else str(figures)
    return "   ".join(f"{name} {value:.3f}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
