"""Pictures drawn and judged: prompts of the evaluation's kind with their own seeds, and what is right in a picture.

Objects are recognised by the judge of weights/judge, who also says where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from weights.train.evaluate import FOREGROUND
from weights.train.judge import Judge, Seen, background, look
from weights.train.scenes import article
from weights.train.world import world
from xattn import Box, Edit, Pipeline, Recipe

Asked = TypeVar("Asked")
Picture = NDArray[np.uint8]
Record = Mapping[str, Mapping[str, float]]
"""Way of drawing → figure → number: 0 or 1 for what is right or wrong."""

SIDE = 128
HALVES = {
    "left": Box(0.0, 0.0, 0.5, 1.0),
    "right": Box(0.5, 0.0, 1.0, 1.0),
    "upper": Box(0.0, 0.0, 1.0, 0.5),
    "lower": Box(0.0, 0.5, 1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Bench:
    """Who draws and who judges; a picture that two sections ask for is drawn once."""

    pipe: Pipeline
    judge: Judge
    drawn: dict[Recipe, Picture] = field(default_factory=dict)

    def draw(self, recipes: Sequence[Recipe]) -> list[Picture]:
        """[128, 128, 3] each."""
        new = [recipe for recipe in dict.fromkeys(recipes) if recipe not in self.drawn]
        for recipe, result in zip(new, self.pipe(new) if new else (), strict=True):
            self.drawn[recipe] = np.asarray(result.image)
        return [self.drawn[recipe] for recipe in recipes]

    def seen(self, pictures: Sequence[Picture], most: int = 1) -> list[tuple[Seen, ...]]:
        """What the judge sees in each."""
        return look(self.judge, list(pictures), most)


@dataclass(frozen=True, slots=True)
class Single:
    """A prompt with one object on a colour, its object's name and number, and a half of the picture to be painted."""

    prompt: str
    word: str
    index: int
    half: str
    color: str


def singles(places: Sequence[int]) -> list[Single]:
    """Objects and halves take turns, colours are drawn; a place's prompt does not depend on how many there are."""
    names, colors = world().objects, list(world().colors)
    order = [int(index) for index in np.random.default_rng([11, 0]).permutation(len(names))]
    made = []
    for place in places:
        index = order[place % len(order)]
        color = str(np.random.default_rng([11, 1, place]).choice(colors))
        half = list(HALVES)[place % 4]
        made.append(Single(f"{article(names[index])} on {color}", names[index], index, half, color))
    return made


@dataclass(frozen=True, slots=True)
class Pair:
    """Two objects, left and right, on a colour."""

    first: int
    second: int
    color: str

    @property
    def names(self) -> tuple[str, str]:
        """What they are called."""
        return world().objects[self.first], world().objects[self.second]

    @property
    def prompt(self) -> str:
        """Of both."""
        first, second = map(article, self.names)
        return f"{first} to the left of {second} on {self.color}"


def pairs(places: Sequence[int]) -> list[Pair]:
    """Different objects, and a colour."""
    made = []
    for place in places:
        rng = np.random.default_rng([12, place])
        first, second = (int(one) for one in rng.choice(len(world().objects), 2, replace=False))
        made.append(Pair(first, second, str(rng.choice(list(world().colors)))))
    return made


def judged(
    bench: Bench,
    places: Sequence[int],
    asked: Sequence[Asked],
    prompts: Sequence[str],
    edits: Sequence[Mapping[str, tuple[Edit, ...]]],
    rights: Callable[[Asked, Picture, tuple[Seen, ...]], dict[str, float]],
    *,
    most: int = 1,
    steps: int | None = None,
) -> list[Record]:
    """Every way of every prompt, its seed the prompt's place."""
    made: list[dict[str, dict[str, float]]] = [{} for _ in places]
    for name in edits[0]:
        recipes = [
            Recipe(prompt, seed=place, edits=some[name], num_inference_steps=steps)
            for place, prompt, some in zip(places, prompts, edits, strict=True)
        ]
        pictures = bench.draw(recipes)
        for number, (picture, seen) in enumerate(zip(pictures, bench.seen(pictures, most), strict=True)):
            made[number][name] = rights(asked[number], picture, seen)
    return list(made)


def in_half(one: Single, picture: Picture, seen: tuple[Seen, ...]) -> dict[str, float]:
    """Whether the object is recognised and has its middle in its half, and how much of the foreground is there."""
    box, known = HALVES[one.half], knows(seen, one.index)
    x, y = (seen[0].x / SIDE, seen[0].y / SIDE) if seen else (-1.0, -1.0)
    there = float(box.left <= x <= box.right and box.top <= y <= box.bottom)
    away = outline(picture)
    half = np.zeros_like(away)
    half[int(box.top * SIDE) : int(box.bottom * SIDE), int(box.left * SIDE) : int(box.right * SIDE)] = True
    share = float((away & half).sum()) / max(1, int(away.sum()))
    return {"recognised": known, "middle in the half": there, "both": known * there, "share in the half": share}


def in_halves(pair: Pair, _: Picture, seen: tuple[Seen, ...]) -> dict[str, float]:
    """Whether both are recognised, and each has its middle on its side."""
    found = {each.index: each for each in seen}
    one, other = found.get(pair.first), found.get(pair.second)
    placed = one is not None and other is not None and one.x < SIDE / 2 < other.x
    return {
        "one recognised": float(one is not None or other is not None),
        "both recognised": float(one is not None and other is not None),
        "both in their halves": float(placed),
    }


def knows(seen: tuple[Seen, ...], index: int) -> float:
    """1 where the judge sees that object, else 0."""
    return float(index in {each.index for each in seen})


def outline(picture: Picture) -> NDArray[np.bool_]:
    """What is not background."""
    far: NDArray[np.bool_] = np.linalg.norm(picture.astype(np.float32) - background(picture), axis=2) > FOREGROUND
    return far
