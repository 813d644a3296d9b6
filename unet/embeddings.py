"""What every residual block knows besides the picture: the time, and in SDXL the pooled text and the sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unet.config import Activation

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "relu": F.relu,
}
_MAX_PERIOD = 10_000.0


def activation(name: Activation) -> Callable[[Tensor], Tensor]:
    """The function that a config calls `name`."""
    return _ACTIVATIONS[name]


def wave_features(values: Tensor, width: int, *, cosine_first: bool, shift: int) -> Tensor:
    """Sines and cosines of `values` [n] at `width / 2` geometric frequencies: float32 [n, width].

    Ho et al. 2020, "Denoising Diffusion Probabilistic Models", after Vaswani et al. 2017, section 3.5:
    frequencies `10000^(-i / (width/2 - shift))`. `width` is even. Always float32: in half precision timestep 999
    times a frequency has no correct digit of its phase left.
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=values.device) * (-math.log(_MAX_PERIOD))
    angles = values[:, None].float() * torch.exp(exponents / (half - shift))[None, :]
    parts = (angles.cos(), angles.sin()) if cosine_first else (angles.sin(), angles.cos())
    return torch.cat(parts, dim=-1)


class FeatureEmbedding(nn.Module):
    """Two linear layers from features [rows, width_in] to the time embedding [rows, width_out]."""

    def __init__(self, width_in: int, width_out: int, act_fn: Activation) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width_in, width_out)
        self.linear_2 = nn.Linear(width_out, width_out)
        self._activation = activation(act_fn)

    def forward(self, features: Tensor) -> Tensor:
        """Features [rows, width_in] → [rows, width_out]."""
        hidden: Tensor = self.linear_2(self._activation(self.linear_1(features)))
        return hidden
