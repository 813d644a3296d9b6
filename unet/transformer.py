"""The transformer at a place in the UNet: self-attention, cross-attention to the text, feed-forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unet.config import UNetConfig
from unet.context import Pass
from unet.laid_out import channels_last
from xattn.module import Attention
from xattn.sites import AttentionSite


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a block stands: its module path, its place, and how many times smaller than the latent its grid is."""

    path: str
    place: Literal["down", "mid", "up"]
    downsampling: int

    def inside(self, path: str) -> Stage:
        """The stage of a module at `path` within this one."""
        return Stage(f"{self.path}.{path}", self.place, self.downsampling)


class GatedGELU(nn.Module):
    """Shazeer 2020, "GLU Variants Improve Transformer", GEGLU: [.., c] → [.., inner]."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The first half of the projection, gated by the second; `FeedForward` has a faster way on a CPU."""
        hidden, gate = self.proj(hidden_states).chunk(2, dim=-1)
        gated: Tensor = hidden * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """Gated linear unit and projection, four times as wide inside: [.., c] → [.., c]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The identity stands where diffusers has its dropout, so that the last layer is called net.2.
        self.net = nn.Sequential(GatedGELU(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, hidden_states: Tensor, run: Pass) -> Tensor:
        """[.., c] → [.., c]."""
        gate, _, project = self.net
        assert isinstance(gate, GatedGELU)
        hidden: Tensor = project(run.gated(gate.proj, hidden_states, gate))
        return hidden


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward, each normalised before and added to its input."""

    def __init__(self, config: UNetConfig, channels: int, heads: int, stage: Stage, backend: str) -> None:
        super().__init__()
        head_dim = channels // heads
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads=heads, head_dim=head_dim, backend=backend)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(
            channels, context_dim=config.cross_attention_dim, heads=heads, head_dim=head_dim, backend=backend
        )
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)
        self.self_site = AttentionSite(f"{stage.path}.attn1", "self", stage.place, stage.downsampling, heads, head_dim)
        self.cross_site = AttentionSite(
            f"{stage.path}.attn2", "cross", stage.place, stage.downsampling, heads, head_dim
        )

    def forward(self, hidden_states: Tensor, run: Pass, grid: tuple[int, int]) -> Tensor:
        """[rows, h·w, c] → the same; `grid` is (h, w)."""
        hidden_states = hidden_states + run.attend(self.attn1, self.self_site, self.norm1(hidden_states), grid)
        hidden_states = hidden_states + run.attend(self.attn2, self.cross_site, self.norm2(hidden_states), grid)
        fed: Tensor = self.ff(self.norm3(hidden_states), run)
        return hidden_states + fed


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map (Rombach et al. 2022, "Latent Diffusion", section 3.3).

    The projections in and out are 1×1 convolutions in Stable Diffusion 1 and linear layers in 2 and XL: the same
    function with weights of another shape.
    """

    def __init__(self, config: UNetConfig, channels: int, heads: int, depth: int, stage: Stage, backend: str) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_num_groups, channels, eps=1e-6)
        linear = config.use_linear_projection
        self.proj_in = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(config, channels, heads, stage.inside(f"transformer_blocks.{index}"), backend)
            for index in range(depth)
        )
        self.proj_out = nn.Linear(channels, channels) if linear else nn.Conv2d(channels, channels, 1)

    def forward(self, hidden_states: Tensor, run: Pass) -> Tensor:
        """[rows, c, h, w] → the same."""
        height, width = hidden_states.shape[-2:]
        inner = run.spread(_projected(self.proj_in, _tokens(run.normalise(self.norm, hidden_states))))
        hidden_states = run.spread(hidden_states)
        for block in self.transformer_blocks:
            inner = block(inner, run, (height, width))
        return _image(_projected(self.proj_out, inner), hidden_states) + hidden_states


def _projected(projection: nn.Linear | nn.Conv2d, tokens: Tensor) -> Tensor:
    """[rows, h·w, c] → the same, also by a 1×1 convolution: so nothing has to be laid out as an image for it."""
    return F.linear(tokens, projection.weight.flatten(1), projection.bias)


def _tokens(image: Tensor) -> Tensor:
    """[rows, c, h, w] → [rows, h·w, c]."""
    return image.permute(0, 2, 3, 1).flatten(1, 2)


def _image(tokens: Tensor, like: Tensor) -> Tensor:
    """[rows, h·w, c] → [rows, c, h, w], laid out in memory as `like` is, so that convolutions keep their format."""
    image = tokens.unflatten(1, like.shape[-2:]).permute(0, 3, 1, 2)
    laid_out: Tensor = image if channels_last(like) else image.contiguous()
    return laid_out
