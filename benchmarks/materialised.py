"""What everyone else does: maps and edits by materialising the probabilities, through diffusers' public processors.

Two peers on diffusers' own pipeline and tensors. They are written as lean as that way allows (maps are reduced as they
come, nothing is stored that is not read); what they pay for is the matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import Picture, Task

CELLS = 16
"""Blending reads the sites of the coarsest grid with at least so many cells a side."""


def probabilities(attn: Any, hidden: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor]:
    """The probabilities [rows · heads, N, K] and values of one call of diffusers' Attention."""
    source = hidden if text is None else text
    query = attn.head_to_batch_dim(attn.to_q(hidden))
    key = attn.head_to_batch_dim(attn.to_k(source))
    value = attn.head_to_batch_dim(attn.to_v(source))
    return attn.get_attention_scores(query, key), value


def finished(attn: Any, probs: Tensor, value: Tensor) -> Tensor:
    """Values mixed and projected: [rows, N, channels]."""
    hidden: Tensor = attn.to_out[0](attn.batch_to_head_dim(torch.bmm(probs, value)))
    return hidden


@dataclass
class MaterialisedMaps:
    """Word maps as DAAM's tools take them: cross-attention explicit, its columns summed, self-attention fused."""

    pipe: Any
    columns: tuple[int, ...]
    name: str = "capture, materialised"
    sums: dict[int, Tensor] = field(default_factory=dict)

    def processors(self) -> dict[str, Any]:
        """One a site: ours at cross-attention, what was there elsewhere."""
        own = self.pipe.unet.attn_processors
        return {name: self if ".attn2." in name else processor for name, processor in own.items()}

    def __call__(self, attn: Any, hidden: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        """One attention layer, as diffusers calls its processors."""
        probs, value = probabilities(attn, hidden, encoder_hidden_states)
        heads = probs.unflatten(0, (len(hidden), -1))[1:, ..., list(self.columns)]  # the row with the prompt
        seen = heads.float().sum(dim=1)
        self.sums[seen.shape[1]] = self.sums.get(seen.shape[1], torch.zeros(())) + seen
        return finished(attn, probs, value)

    def draw(self, task: Task) -> Picture:
        """The picture [height, width, 3]; the maps stay in `sums`."""
        return _drawn(self.pipe, self.processors(), [task.prompt], task, "pil")

    def denoise(self, task: Task) -> None:
        """The same without decoding."""
        _drawn(self.pipe, self.processors(), [task.prompt], task, "latent")


@dataclass
class MaterialisedEdit:
    """Prompt-to-prompt as its published code does it: every attention explicit, self-attention too.

    The target takes the source's cross-attention for a share of the steps (the prompts are cut into tokens alike, so
    the mapper is the identity), one of its columns is scaled, and latents are blended by words' maps.
    """

    pipe: Any
    source: str
    scaled: int
    factor: float
    blended: int
    share: float = 0.8
    threshold: float = 0.3
    name: str = "edits, materialised"
    everywhere: bool = True
    step: int = 0
    steps: int = 1
    sums: Tensor | None = None

    def processors(self) -> dict[str, Any]:
        """This object at every site, or at cross-attention alone."""
        own = self.pipe.unet.attn_processors
        return {name: self if self.everywhere or ".attn2." in name else other for name, other in own.items()}

    def __call__(self, attn: Any, hidden: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        """One attention layer, as diffusers calls its processors."""
        probs, value = probabilities(attn, hidden, encoder_hidden_states)
        if encoder_hidden_states is not None:
            by_row = probs.unflatten(0, (len(hidden), -1))  # uncond of target and source, then cond of both
            target, source = by_row[2], by_row[3]
            if target.shape[1] == CELLS * CELLS:
                seen = torch.stack([target[..., self.blended], source[..., self.blended]]).float().mean(dim=1)
                self.sums = seen if self.sums is None else self.sums + seen
            target = source.clone() if self.step < math.ceil(self.share * self.steps) else target.clone()
            target[..., self.scaled] *= self.factor
            by_row = torch.cat([by_row[:2], target[None], by_row[3:]])
            probs = by_row.flatten(0, 1)
        return finished(attn, probs, value)

    def blend(self, _: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """diffusers' callback after a step."""
        latents = tensors["latents"]
        assert self.sums is not None
        maps = self.sums.view(2, 1, CELLS, CELLS)
        pooled = F.interpolate(F.max_pool2d(maps, 3, 1, 1), latents.shape[-2:], mode="nearest")
        mask = (pooled / pooled.amax(dim=(1, 2, 3), keepdim=True) > self.threshold).amax(dim=0).to(latents)
        tensors["latents"] = torch.stack([mask * latents[0] + (1 - mask) * latents[1], latents[1]])
        self.step = index + 1
        return tensors

    def draw(self, task: Task) -> Picture:
        """The target's picture [height, width, 3]."""
        self.step, self.steps, self.sums = 0, task.steps, None
        return _drawn(self.pipe, self.processors(), [task.prompt, self.source], task, "pil", self.blend)

    def denoise(self, task: Task) -> None:
        """The same without decoding."""
        self.step, self.steps, self.sums = 0, task.steps, None
        _drawn(self.pipe, self.processors(), [task.prompt, self.source], task, "latent", self.blend)


def _drawn(
    pipe: Any, processors: dict[str, Any], prompts: list[str], task: Task, output_type: str, after: Any = None
) -> Picture:
    before = pipe.unet.attn_processors
    pipe.unet.set_attn_processor(dict(processors))
    try:
        with torch.no_grad():
            images = pipe(
                prompts,
                negative_prompt=[task.negative_prompt] * len(prompts),
                num_inference_steps=task.steps,
                guidance_scale=task.guidance_scale,
                width=task.width,
                height=task.height,
                generator=[torch.Generator().manual_seed(task.seed) for _ in prompts],
                output_type=output_type,
                callback_on_step_end=after,
            ).images
    finally:
        pipe.unet.set_attn_processor(before)
    return np.asarray(images[0]) if output_type == "pil" else np.zeros((1, 1, 3), dtype=np.uint8)
