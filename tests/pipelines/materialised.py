"""Every attention probability of a run, kept as published tools keep them: through diffusers' public processors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention

from pipelines.recipe import Recipe


@dataclass
class Kept:
    """cross, own: probabilities [rows, heads, N, K], in the order of steps, then layers. Rows are uncond, cond."""

    cross: list[torch.Tensor] = field(default_factory=list)
    own: list[torch.Tensor] = field(default_factory=list)


class Materialise:
    """An attention processor that keeps what it makes."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        **_: object,
    ) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(context))
        value = attn.head_to_batch_dim(attn.to_v(context))
        probs = attn.get_attention_scores(query, key)
        into = self.kept.own if encoder_hidden_states is None else self.kept.cross
        into.append(probs.unflatten(0, (len(hidden_states), attn.heads)))
        out: torch.Tensor = attn.to_out[0](attn.batch_to_head_dim(probs @ value))
        return out


def theirs(folder: Path) -> StableDiffusionPipeline:
    made = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    made.set_progress_bar_config(disable=True)
    return made


def materialise(folder: Path, recipe: Recipe) -> Kept:
    """All probabilities of drawing a recipe."""
    pipe, kept = theirs(folder), Kept()
    pipe.unet.set_attn_processor(Materialise(kept))
    with torch.no_grad():
        pipe(
            recipe.prompt,
            num_inference_steps=recipe.num_inference_steps,
            guidance_scale=recipe.guidance_scale,
            generator=torch.Generator().manual_seed(recipe.seed or 0),
            width=recipe.width,
            height=recipe.height,
            output_type="latent",
        )
    return kept
