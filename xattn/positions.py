"""Where a token stands, for attention that otherwise sees a bag of them.

All are thin functions: absolute encodings are added to hidden states, rotations are applied to queries and keys, and
ALiBi is a bias on the scores. `Attention.forward` takes the last two as `angles` and `bias`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xattn.errors import BadValue
from xattn.tiled import working_dtype


def sinusoidal(positions: Tensor, dim: int, *, longest: float = 10_000.0) -> Tensor:
    """[N] positions → [N, dim] float32 (float64 for float64), sines at even and cosines at odd places.

    Vaswani et al. 2017, section 3.5: PE(pos, 2i) = sin(pos / 10000^(2i/dim)), PE(pos, 2i+1) the cosine.
    """
    angles = rotary_angles(positions, dim, longest=longest)
    table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
    return table if positions.dtype == torch.float64 else table.float()


def sinusoidal_2d(
    height: int, width: int, dim: int, *, longest: float = 10_000.0, device: torch.device | str | None = None
) -> Tensor:
    """[height · width, dim] for a grid, row by row: the first half of the numbers says y, the second x.

    As Dosovitskiy et al. 2021 (ViT, appendix D.4) and He et al. 2022 (MAE) use it. dim must be a multiple of 4.
    """
    _check_dim(dim, 4)
    y, x = _grid(height, width, device)
    return torch.cat([sinusoidal(y, dim // 2, longest=longest), sinusoidal(x, dim // 2, longest=longest)], dim=-1)


class LearnedPositions(nn.Module):
    """Adds a learned vector to each of at most `count` tokens (Devlin et al. 2019; CLIP's text tower)."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[batch, N, dim] → the same shape; raises BadValue for more tokens than there are positions."""
        tokens = hidden_states.shape[1]
        if tokens > self.weight.shape[0]:
            raise BadValue("tokens", tokens, f"at most {self.weight.shape[0]}, the positions that were learned")
        return hidden_states + self.weight[:tokens].to(hidden_states.dtype)


def rotary_angles(positions: Tensor, dim: int, *, longest: float = 10_000.0) -> Tensor:
    """[N] positions → [N, dim / 2] angles pos · θ_i, θ_i = 10000^(−2i/dim), in float64.

    Su et al. 2021, "RoFormer", section 3.2.2. dim is the head dim. In float32 the angle of position 500 would be wrong
    by 3e-5 before any sine is taken.
    """
    _check_dim(dim, 2)
    steps = torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim
    return positions.double()[:, None] * longest**-steps


def axial_angles(
    height: int, width: int, dim: int, *, longest: float = 10_000.0, device: torch.device | str | None = None
) -> Tensor:
    """[height · width, dim / 2] angles for a grid, row by row: half of the pairs turn with y, half with x.

    Heo et al. 2024, "Rotary Position Embedding for Vision Transformer", the axial form. dim: a multiple of 4.
    """
    _check_dim(dim, 4)
    y, x = _grid(height, width, device)
    return torch.cat([rotary_angles(y, dim // 2, longest=longest), rotary_angles(x, dim // 2, longest=longest)], dim=-1)


def rotate(tensor: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (2i, 2i+1) of queries or keys [batch, heads, N, dim] by angles [N, dim / 2].

    RoFormer, equation 34. q·k then depends on the difference of two positions only. Computed in float32 at least.
    """
    if angles.shape != (tensor.shape[-2], tensor.shape[-1] // 2):
        raise BadValue("angles", list(angles.shape), f"of shape [{tensor.shape[-2]}, {tensor.shape[-1] // 2}]")
    wide = working_dtype(tensor.dtype)
    even, odd = tensor.to(wide).unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos().to(wide), angles.sin().to(wide)
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2).to(tensor.dtype)


def alibi_slopes(heads: int, *, device: torch.device | str | None = None) -> Tensor:
    """[heads], the slopes of Press et al. 2022, "Train Short, Test Long", section 3.

    For a power of two, the geometric sequence that starts at 2^(−8/heads) with that same ratio; otherwise that of the
    next smaller power of two, and then every other slope of the next greater one.
    """
    if heads < 1:
        raise BadValue("heads", heads, "at least 1")
    power = 1 << (heads.bit_length() - 1)
    slopes = 2.0 ** (-8.0 / power * torch.arange(1, power + 1, device=device))
    if power == heads:
        return slopes
    between = 2.0 ** (-4.0 / power * torch.arange(1, 2 * power + 1, 2, device=device))
    return torch.cat([slopes, between[: heads - power]])


def alibi(heads: int, queries: int, keys: int, *, device: torch.device | str | None = None) -> Tensor:
    """[1, heads, N, M] bias −slope · |i − j|; with `causal` the paper's form, without it the symmetric one."""
    at, of = (torch.arange(count, device=device) for count in (queries, keys))
    distance = (at[:, None] - of[None, :]).abs()
    return -(alibi_slopes(heads, device=device)[:, None, None] * distance)[None]


def _grid(height: int, width: int, device: torch.device | str | None) -> tuple[Tensor, Tensor]:
    sides = (torch.arange(side, device=device) for side in (height, width))
    y, x = torch.meshgrid(*sides, indexing="ij")
    return y.flatten(), x.flatten()


def _check_dim(dim: int, multiple: int) -> None:
    if dim < multiple or dim % multiple:
        raise BadValue("dim", dim, f"a multiple of {multiple}")
