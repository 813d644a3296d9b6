"""Encoded scenes with their captions: a ring that is filled once and refreshed while training runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from weights.train.binding import owners
from weights.train.scenes import Scene, colored_pair, colored_single, pair, single
from weights.train.tint import TINTS
from weights.train.vae import to_tensor
from weights.train.world import COARSE, GRID, PAIR_SIZES, SINGLE_SIZES, SIZE, world

TOKENS = 77
CELLS = SIZE // GRID


@dataclass(frozen=True, slots=True)
class Batch:
    latents: Tensor
    """float32 `[B, 8, 16, 16]`"""
    ids: Tensor
    """int64 `[B, 77]`"""
    owned: Tensor
    """int8 `[B, 77]`: 0 for no object's token, 1 for the first object's, 2 for the second's."""
    masks: Tensor
    """float32 `[B, 2, 16, 16]`: the share of each latent cell that the object covers."""
    relations: Tensor
    """int64 `[B]`: places in the world's list, -1 for a scene of one object."""
    colors: Tensor
    """int64 `[B, 2]`: each object's place in `TINTS`, -1 for its own colours or no object."""


UNNAMED = 0.3
"""Share of the scenes of single objects in their own colours whose caption is the empty one. None of pairs': guidance
goes away from what the empty caption draws, and away from scenes with small objects it would go to large ones
(measured: median 86 pixels where the data have 75)."""
NAMED_SIZES = (0.24, 0.20, 0.17, 0.13, 0.13, 0.13)
UNNAMED_SIZES = (0.05, 0.09, 0.14, 0.22, 0.26, 0.24)
"""How often single objects have which of `SINGLE_SIZES`, with a caption and without.

With guidance w, sizes come as often as p(size | caption)^w / p(size | empty)^(w-1), times a leaning to large ones that
the model has of its own: taught with all sizes alike, 228 objects drawn at guidance 2 were 72 to 112 pixels wide in the
proportions .02, .07, .11, .26, .28, .25, told by their extent over their icon's."""


def draw(rng: np.random.Generator, pairs: float, coarse: bool = False, colored: float = 0.0) -> Scene:
    """One scene; `pairs` is the share of those with two objects, `colored` that of captions that name objects' colours.

    `coarse` keeps to a few sizes.
    """
    choices, sizes = (COARSE["pair"], COARSE["single"]) if coarse else (PAIR_SIZES, SINGLE_SIZES)
    two, tinted = rng.random() < pairs, rng.random() < colored
    if two:
        return colored_pair(rng, choices) if tinted else pair(rng, choices=choices)
    named = tinted or rng.random() >= UNNAMED
    if not coarse:
        sizes = (int(rng.choice(sizes, p=NAMED_SIZES if named else UNNAMED_SIZES)),)
    scene = colored_single(rng, sizes) if tinted else single(rng, sizes=sizes)
    return scene if named else replace(scene, caption="")


@torch.no_grad()
def encode(vae: AutoencoderKL, scenes: list[Scene]) -> Tensor:
    """float16 latents `[B, 8, 16, 16]`, the posterior's mode."""
    with torch.autocast("cpu", torch.bfloat16):
        mode: Tensor = vae.encode(to_tensor([scene.image() for scene in scenes])).latent_dist.mode()
    return mode.half()


def cover(scenes: list[Scene]) -> Tensor:
    """How much of each latent cell each object covers, uint8 `[B, 2, 16, 16]` of 255."""
    covers = torch.zeros(len(scenes), 2, CELLS, CELLS, dtype=torch.uint8)
    for row, scene in zip(covers, scenes, strict=True):
        masks = scene.masks().reshape(-1, CELLS, GRID, CELLS, GRID).mean(axis=(2, 4))
        row[: len(masks)] = torch.from_numpy(np.rint(masks * 255)).byte()
    return covers


def related(scene: Scene) -> int:
    """The relation's place in the world's list, -1 where there is none."""
    return -1 if scene.relation is None else world().relations.index(scene.relation)


def tints_of(scene: Scene) -> tuple[int, int]:
    """Both objects' places in `TINTS`, -1 for their own colours and where there is no second one."""
    places = [-1 if placed.color is None else TINTS.index(placed.color) for placed in scene.objects]
    return places[0], places[1] if len(places) == 2 else -1


class Ring:
    """`capacity` encoded scenes in memory, the oldest overwritten by fresh ones."""

    def __init__(self, vae: AutoencoderKL, tokenizer: CLIPTokenizer, capacity: int, seed: int) -> None:
        self.vae, self.tokenizer = vae, tokenizer
        self.latents = torch.empty(capacity, 8, 16, 16, dtype=torch.float16)
        self.ids = torch.empty(capacity, TOKENS, dtype=torch.int32)
        self.owned = torch.empty(capacity, TOKENS, dtype=torch.int8)
        self.covers = torch.empty(capacity, 2, CELLS, CELLS, dtype=torch.uint8)
        self.relations = torch.empty(capacity, dtype=torch.int8)
        self.colors = torch.empty(capacity, 2, dtype=torch.int8)
        self.rng = np.random.default_rng(seed)
        self.filled = self.next = 0
        self.pairs, self.coarse, self.colored = 0.0, False, 0.0

    def add(self, count: int) -> None:
        scenes = [draw(self.rng, self.pairs, self.coarse, self.colored) for _ in range(count)]
        where = (torch.arange(count) + self.next) % len(self.latents)
        self.latents[where] = encode(self.vae, scenes)
        ids = tokenise(self.tokenizer, [scene.caption for scene in scenes])
        self.ids[where] = ids.int()
        self.owned[where] = owners(self.tokenizer, ids, scenes)
        self.covers[where] = cover(scenes)
        self.relations[where] = torch.tensor([related(scene) for scene in scenes], dtype=torch.int8)
        self.colors[where] = torch.tensor([tints_of(scene) for scene in scenes], dtype=torch.int8)
        self.next = (self.next + count) % len(self.latents)
        self.filled = min(len(self.latents), self.filled + count)

    def fill(self, count: int) -> None:
        while self.filled < count:
            self.add(64)

    def sample(self, batch: int, generator: torch.Generator) -> Batch:
        rows = torch.randint(self.filled, (batch,), generator=generator)
        return Batch(
            self.latents[rows].float(),
            self.ids[rows].long(),
            self.owned[rows],
            self.covers[rows].float() / 255,
            self.relations[rows].long(),
            self.colors[rows].long(),
        )


def tokenise(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """int64 ids `[B, 77]`, padded as Stable Diffusion pads."""
    ids: Tensor = tokenizer(captions, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")[
        "input_ids"
    ]
    return ids


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(str(folder))
    return tokenizer
