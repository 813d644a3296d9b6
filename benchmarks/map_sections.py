"""How well maps find what they are of, and how close whole runs come to Prompt-to-Prompt written a second time.

Composed scenes have masks that are known exactly. Each is noised, drawn anew under its own caption and watched, as in
weights.train.word_maps; a map becomes a mask by one threshold, a share of its greatest value, found on other scenes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.judged import Bench, Record
from weights.train.evaluate import pairs_of, singles_of
from weights.train.scenes import Scene
from weights.train.word_maps import FIRST, STRENGTH, THRESHOLDS, iou
from weights.train.world import world
from xattn import (
    Asset,
    AttentionMaps,
    Capture,
    Inject,
    LocalBlend,
    Pipeline,
    Probe,
    Recipe,
    Refine,
    Replace,
    Reweight,
)

KINDS = ("single", "pair")
TRIAL = "trial"
"""What a figure's name begins with where it is of the scenes that thresholds are found on."""


def maps(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Intersection over union with the masks at every threshold, by `scored` to be made one figure a kind."""
    made = []
    for place in places:
        record: dict[str, dict[str, float]] = {}
        for name, scene in _scenes(place):
            for way, ious in _found(bench.pipe, scene, place).items():
                record.setdefault(way, {}).update({f"{name} {number}": one for number, one in enumerate(ious)})
        made.append(record)
    return list(made)


def scored(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """The mean of each way and kind, at the threshold that was best on the trial scenes."""
    made: dict[str, dict[str, float]] = {}
    for way in records[0]:
        for kind in KINDS:
            trial, own = (
                [_mean(records, way, f"{prefix}{kind} {number}") for number in range(len(THRESHOLDS))]
                for prefix in (f"{TRIAL} ", "")
            )
            made.setdefault(way, {})[kind] = own[int(np.argmax(trial))]
    return made


def _mean(records: Sequence[Record], way: str, figure: str) -> float:
    return float(np.mean([record[way][figure] for record in records if figure in record[way]]))


def _scenes(place: int) -> Iterator[tuple[str, Scene]]:
    """A single object and a pair, and for every other two places as many others to find thresholds on."""
    index = 37 * place % len(world().objects)  # 37 and the number of objects share no factor: all have their turn
    yield "single", singles_of(1, FIRST, [index])[0]
    yield "pair", pairs_of(1, FIRST + place)[0]
    if place % 4 < 2:
        yield f"{TRIAL} single", singles_of(1, FIRST + 1, [index])[0]
        yield f"{TRIAL} pair", pairs_of(1, FIRST + 100_000 + place)[0]


def _found(pipe: Pipeline, scene: Scene, seed: int) -> dict[str, NDArray[np.float64]]:
    """By way of making maps the mean over the scene's objects of the IoU at each threshold."""
    names = [placed.name for placed in scene.objects]
    indices = [placed.index for placed in scene.objects]
    others = [world().objects[(index + 57) % len(world().objects)] for index in indices]
    init = Asset.from_image(Image.fromarray(scene.image()))
    recipe = Recipe(scene.caption, seed=seed, init=init, strength=STRENGTH)
    # the objects of a pair may be each other's others: no probe of another then
    strangers = [] if set(others) & set(names) else others
    probes = [Probe(name) for name in names], [Probe(name) for name in strangers]
    own = _watched(pipe, recipe, Capture((*names, *probes[0], *probes[1])))
    daam = _watched(pipe, recipe, Capture.daam(tuple(names)))
    ways = {
        "mean of all": [own[name] for name in names],
        "DAAM": [daam[name] for name in names],
        "a probe of the object": [own[probe] for probe in probes[0]],
        "a probe of another": [own[probe] for probe in probes[1]],
    }
    masks = scene.masks()
    return {
        way: np.mean([_ious(each, mask) for each, mask in zip(some, masks, strict=True)], axis=0)
        for way, some in ways.items()
        if some
    }


def _watched(pipe: Pipeline, recipe: Recipe, capture: Capture) -> AttentionMaps:
    seen = pipe(recipe, maps=capture).maps
    assert seen is not None, "a capture was given"
    return seen


def _ious(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> list[float]:
    large = Image.fromarray(values).resize(mask.shape[::-1], Image.Resampling.BILINEAR)
    found = np.asarray(large, dtype=np.float32)
    return [iou(found > share * found.max(), mask) for share in THRESHOLDS]


def exact(bench: Bench, places: Sequence[int]) -> list[Record]:
    """Ten steps in float32 beside the materialising Prompt-to-Prompt of the tests: greatest differences of latents."""
    import torch

    from pipelines.load import locate
    from pipelines.pipeline import StepEvent
    from tests.pipelines.techniques.prompt_to_prompt import Blend, Reference, Target

    if 0 not in places:
        return []
    folder = locate(bench.pipe.resolve("a fox").model.name)[1]  # type: ignore[union-attr]
    pipe, reference = Pipeline.from_pretrained(folder), Reference(folder)
    fox, dog, red = "a fox on purple", "a dog on purple", "a red fox on purple"
    same, whole, early = {place: place for place in range(4)}, range(10), range(4)
    loud = torch.ones(77)
    loud[reference.words(fox)[1]] = -2.0
    swap = reference.mapper(fox, dog, same)
    added = reference.mapper(fox, red, {0: 0, 2: 1, 3: 2, 4: 3}, end=False)
    ways = {
        '`Replace` to "a dog on purple"': (Target(dog, *swap, range(8)), Replace()),
        '`Refine` to "a red fox on purple"': (Target(red, *added, range(8)), Refine()),
        '`Reweight("fox", -2.0)`': (Target(fox, scale=loud, scale_steps=whole), Reweight("fox", -2.0)),
        "`Inject`": (Target(dog, inject=early), Inject()),
        '`LocalBlend(("dog",), ("fox",))`': (
            Target(dog, blend=Blend(own=[[2]], source=[[2]], grid=(16, 16))),
            LocalBlend(("dog",), ("fox",)),
        ),
        "`Inject(published=True)`": (Target(dog, inject=early, inject_at_most=16), Inject(published=True)),
    }
    source = Recipe(fox, seed=5, num_inference_steps=10, guidance_scale=4.0)

    def latents(recipe: Recipe) -> torch.Tensor:
        return [event.latents for event in pipe.stream(recipe) if isinstance(event, StepEvent)][-1]

    record: dict[str, Mapping[str, float]] = {}
    for name, (target, edit) in ways.items():
        ours = latents(replace(source, prompt=target.prompt, source=source, edits=(edit,)))
        plain = latents(replace(source, prompt=target.prompt, source=source))
        theirs = reference.latents(fox, [target], seed=5, steps=10, guidance=4.0, size=(16, 16))[1:]
        error, effect = (float((ours - other).abs().max()) for other in (theirs, plain))
        record[name] = {"error": error, "effect": effect}
    return [record]
