"""Where attention happens and for whom: sites of a UNet, and the rows of its batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["self", "cross"]
Place = Literal["down", "mid", "up"]
Role = Literal["source", "cond", "uncond", "perturbed"]


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """One attention layer of a UNet.

    name: diffusers' module path, `down_blocks.0.attentions.0.transformer_blocks.0.attn2`.
    downsampling: side of the latent divided by the side of this site's grid: 1, 2, 4 … Papers give absolute
        grids ("16²"), which mean something else on every model; this is what they should have said.
    """

    name: str
    kind: Kind
    place: Place
    downsampling: int
    heads: int
    head_dim: int

    @property
    def cross(self) -> bool:
        """Whether the keys come from the text rather than from the picture itself."""
        return self.kind == "cross"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the UNet's batch, by name: which image, which prompt, and what the row is for."""

    image: int
    prompt: int
    role: Role
