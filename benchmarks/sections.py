"""What each section of benchmarks.control draws, and judges: one record a prompt, figures of each way of drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from benchmarks.judged import (
    HALVES,
    Bench,
    Pair,
    Picture,
    Record,
    Single,
    in_half,
    in_halves,
    judged,
    knows,
    outline,
    pairs,
    singles,
)
from weights.train import replacements
from weights.train.judge import Seen, color_right
from weights.train.scenes import article
from weights.train.world import world
from xattn import (
    Asset,
    Box,
    Edit,
    Inject,
    LocalBlend,
    NegPip,
    PaintMap,
    PaintWithWords,
    Recipe,
    Refine,
    Region,
    Regions,
    Replace,
    Reweight,
    Window,
)

FEW = 12
"""Steps of the tables that compare many ways."""
SHIFTS = {"left": (-0.25, 0.0), "right": (0.25, 0.0), "upper": (0.0, -0.25), "lower": (0.0, 0.25)}
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
GAP = {"left": Box(0.0, 0.2, 0.4, 0.8), "right": Box(0.6, 0.2, 1.0, 0.8)}
"""Regions of a pair, with a gap between them that belongs to the base."""
NEAR = {"left": Box(0.0, 0.2, 0.48, 0.8), "right": Box(0.52, 0.2, 1.0, 0.8)}
FIRST_HALF = Window(steps=(0.0, 0.5))
LONG = Window(steps=(0.0, 0.8))


def replaced(bench: Bench, places: Sequence[int]) -> list[Record]:
    """One object put in another's place: recognised, and PSNR outside both objects' boxes against the source."""
    swaps = replacements.swaps(max(places) + 1)
    asked = [swaps[place] for place in places]
    sources = [Recipe(source, seed=place) for place, (source, _, _) in zip(places, asked, strict=True)]

    def ways(number: int) -> dict[str, Recipe]:
        seed, (theirs, ours, _) = places[number], asked[number]
        old, new = (prompt.split(" on ")[0].split(" ", 1)[1] for prompt in (theirs, ours))
        blend = LocalBlend(words=(new,), source_words=(old,))
        plain = Recipe(ours, seed=seed)
        edited = {"replace": (Replace(),), "replace, local blend": (Replace(), blend), "local blend alone": (blend,)}
        return {"the same seed, no edit": plain} | {
            name: Recipe(ours, seed=seed, source=sources[number], edits=edits) for name, edits in edited.items()
        }

    by_way = [ways(number) for number in range(len(places))]
    # a source and what starts from it stand together, so that one run has both
    bench.draw([one for source, some in zip(sources, by_way, strict=True) for one in (source, *some.values())])
    before = bench.draw(sources)
    for number, some in enumerate(by_way):
        init = Asset.from_image(Image.fromarray(before[number]))
        some["img2img, strength .6"] = Recipe(asked[number][1], seed=places[number], init=init, strength=0.6)
    made: list[dict[str, dict[str, float]]] = [{} for _ in places]
    for name in by_way[0]:
        after = bench.draw([some[name] for some in by_way])
        for number, (picture, seen) in enumerate(zip(after, bench.seen(after), strict=True)):
            known = knows(seen, asked[number][2])
            decibels = replacements.outside_psnr(before[number], picture)
            kept = float(decibels >= replacements.KEPT)
            made[number][name] = {
                "recognised": known,
                "background kept": kept,
                "both": known * kept,
                "median dB": min(decibels, 99.0),
            }
    return list(made)


def recoloured(bench: Bench, places: Sequence[int]) -> list[Record]:
    """The same object on another colour: recognised, the colour right, and how much of its outline is the source's."""
    asked, colors = singles(places), list(world().colors)
    sources = [Recipe(one.prompt, seed=place) for place, one in zip(places, asked, strict=True)]
    # pale backgrounds are one colour to the judge's eye, so neighbours in the list are never both pale
    other = [colors[(colors.index(one.color) + 3) % len(colors)] for one in asked]
    edited: dict[str, tuple[Edit, ...]] = {
        "refine": (Refine(),),
        "inject, .8 of the steps": (Inject(window=LONG),),
        "refine, inject .8": (Refine(), Inject(window=LONG)),
        "replace": (Replace(),),
        "replace, inject .8": (Replace(), Inject(window=LONG)),
    }
    recipes = []
    for number, (place, one) in enumerate(zip(places, asked, strict=True)):
        prompt = one.prompt.replace(f" on {one.color}", f" on {other[number]}")
        recipes.append(
            {"the same seed, no edit": Recipe(prompt, seed=place)}
            | {name: Recipe(prompt, seed=place, source=sources[number], edits=some) for name, some in edited.items()}
        )
    bench.draw([one for source, some in zip(sources, recipes, strict=True) for one in (source, *some.values())])
    before = bench.draw(sources)
    made: list[dict[str, dict[str, float]]] = [{} for _ in places]
    for name in recipes[0]:
        after = bench.draw([some[name] for some in recipes])
        for number, (picture, seen) in enumerate(zip(after, bench.seen(after), strict=True)):
            first, second = outline(before[number]), outline(picture)
            union = int((first | second).sum())
            made[number][name] = {
                "recognised": knows(seen, asked[number].index),
                "colour right": float(color_right(picture, other[number])),
                "outline kept": float((first & second).sum()) / union if union else 0.0,
            }
    return list(made)


def taken(bench: Bench, places: Sequence[int]) -> list[Record]:
    """The second of two objects taken away: whether the first is still recognised, and the second no longer."""
    asked = pairs(places)

    def ways(word: str) -> dict[str, tuple[Edit, ...]]:
        return {
            "no edit": (),
            "reweight 0": (Reweight(word, 0.0),),
            "neg pip .5": (NegPip(word, 0.5),),
            "neg pip 1": (NegPip(word),),
            "neg pip 2": (NegPip(word, 2.0),),
            "gain 0, reach after": (PaintMap(word, "gain", amount=0.0, reach="after", renormalise="softmax"),),
            "gain 0, its own tokens": (PaintMap(word, "gain", amount=0.0),),
            "the same, every step": (PaintMap(word, "gain", amount=0.0, window=Window()),),
        }

    def rights(pair: Pair, _: Picture, seen: tuple[Seen, ...]) -> dict[str, float]:
        first, gone = knows(seen, pair.first), 1.0 - knows(seen, pair.second)
        return {"the first recognised": first, "the second gone": gone, "both": first * gone}

    edits = [ways(pair.names[1]) for pair in asked]
    return judged(bench, places, asked, [pair.prompt for pair in asked], edits, rights, most=2)


def painted(bench: Bench, places: Sequence[int]) -> list[Record]:
    """One object, painted into a half: recognised with its middle in that half, of four halves in turn."""

    def ways(one: Single) -> dict[str, tuple[Edit, ...]]:
        box, word = HALVES[one.half], one.word
        return {
            "no edit (chance)": (),
            "set": (PaintMap(word, "set", box, renormalise="others"),),
            "set, reach after": (PaintMap(word, "set", box, renormalise="others", reach="after"),),
            "move, reach after": (PaintMap(word, "move", shift=SHIFTS[one.half], renormalise="others", reach="after"),),
            "paint with words": (PaintWithWords(word, box),),
        }

    asked = singles(places)
    return judged(bench, places, asked, [one.prompt for one in asked], [ways(one) for one in asked], in_half)


def compared(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Many ways of putting an object into a half, in few steps."""

    def ways(one: Single) -> dict[str, tuple[Edit, ...]]:
        box, word = HALVES[one.half], one.word

        def put(**given: object) -> tuple[Edit, ...]:
            fields: dict[str, object] = {"op": "set", "field": box, "renormalise": "others", "reach": "after"}
            return (PaintMap(word, **(fields | given)),)  # type: ignore[arg-type]

        gain = {"op": "gain", "amount": 3.0, "outside": 0.0, "renormalise": "softmax"}
        region = Region(f"{article(word)} on {one.color}", box)
        return {
            "nothing": (),
            "set": put(reach="word"),
            "set, reach end": put(reach="end"),
            "set, reach after": put(),
            "the same, amount 3": put(amount=3.0),
            "the same, all steps": put(window=Window()),
            "the same, first 30 %": put(window=Window(steps=(0.0, 0.3))),
            'the same, renormalise="none"': put(renormalise="none"),
            "gain 3, outside 0, softmax, reach after": put(**gain),
            "move, reach after": put(op="move", field=None, shift=SHIFTS[one.half]),
            "paint with words, .4": (PaintWithWords(word, box),),
            "paint with words, .4, reach after": (PaintWithWords(word, box, reach="after"),),
            "regions: the prompt in the half, a plain background": (
                Regions((region,), base=f"a {one.color} background"),
            ),
        }

    asked = singles(places)
    edits = [ways(one) for one in asked]
    return judged(bench, places, asked, [one.prompt for one in asked], edits, in_half, steps=FEW)


def regions(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Two prompts, each in its half: both objects recognised, each with its middle in its half."""
    asked = pairs(places)

    def ways(pair: Pair) -> dict[str, tuple[Edit, ...]]:
        return {
            "the prompt alone": (),
            "hard": (_two(pair, GAP),),
            "soft, .7 over the prompt": (_two(pair, GAP, hard=False, strength=0.7),),
        }

    edits = [ways(pair) for pair in asked]
    return judged(bench, places, asked, [pair.prompt for pair in asked], edits, in_halves, most=2)


def bordered(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Many ways of parting two objects, in few steps."""
    asked = pairs(places)

    def ways(pair: Pair) -> dict[str, tuple[Edit, ...]]:
        plain = f"a {pair.color} background"
        return {
            "the pair's prompt alone": (),
            "halves, a plain base": (_two(pair, HALVES, base=plain),),
            "boxes with .04 between, a plain base": (_two(pair, NEAR, base=plain),),
            "boxes with .2 between, the pair's prompt as base": (_two(pair, GAP),),
            "the same, strength .7": (_two(pair, GAP, strength=0.7),),
            "the same, soft": (_two(pair, GAP, hard=False, strength=0.7),),
            "halves, soft, strength .8": (_two(pair, HALVES, hard=False, strength=0.8),),
            "halves, first half of the steps": (_two(pair, HALVES, window=FIRST_HALF),),
        }

    edits = [ways(pair) for pair in asked]
    return judged(bench, places, asked, [pair.prompt for pair in asked], edits, in_halves, most=2, steps=FEW)


def reweighted(bench: Bench, places: Sequence[int]) -> list[Record]:
    """One object's word, reweighted: recognised, and how much of the picture is not background."""

    def rights(one: Single, picture: Picture, seen: tuple[Seen, ...]) -> dict[str, float]:
        return {"recognised": knows(seen, one.index), "share of the picture": float(replacements.box(picture).mean())}

    asked = singles(places)
    edits = [{f"{w:g}": () if w == 1 else (Reweight(one.word, w),) for w in WEIGHTS} for one in asked]
    return judged(bench, places, asked, [one.prompt for one in asked], edits, rights)


def _two(
    pair: Pair,
    boxes: Mapping[str, Box],
    *,
    hard: bool = True,
    strength: float = 1.0,
    base: str | None = None,
    window: Window | None = None,
) -> Regions:
    sides = zip(pair.names, ("left", "right"), strict=True)
    parts = tuple(Region(f"{article(name)} on {pair.color}", boxes[side], strength) for name, side in sides)
    return Regions(parts, base, hard, window=window or Window())
