"""Moving a map: shifted and scaled over its grid, side by side, as two small matrices.

Linear interpolation between places, and the mean of what falls into one where a map is made smaller. Nothing comes from
beyond the edge, and what is moved over it is gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def resampling(cells: int, shift: float, scale: float, centre: float) -> Tensor:
    """[cells, cells], float64: a row a new place, what it takes of each old one.

    shift and centre are fractions of the side; what stood at `centre` stands at `centre + shift` afterwards, and the
    rest `scale` times as far from it.
    """
    places = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    taken = ((places - centre - shift) / scale + centre) * cells - 0.5
    reach = max(1.0, 1.0 / scale)  # places that one new place sees: more where the map is made smaller
    beyond = math.ceil(reach)
    # the places beyond the edge take part in the mean, with nothing to give; further out there is only nothing
    old = torch.arange(-2 * beyond, cells + 2 * beyond, dtype=torch.float64)
    near = taken.clamp(-beyond, cells - 1 + beyond)
    weights = (1 - (near[:, None] - old).abs() / reach).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True))[:, 2 * beyond : 2 * beyond + cells]


def warping(
    grid: tuple[int, int], shift: tuple[float, float], scale: float, about: tuple[float, float]
) -> Callable[[Tensor], Tensor]:
    """[…, N, k] → the same, every column a map on `grid` (height, width); shift and about are (right, down)."""
    down = resampling(grid[0], shift[1], scale, about[1])
    right = resampling(grid[1], shift[0], scale, about[0])

    def warp(columns: Tensor) -> Tensor:
        maps = columns.unflatten(-2, grid)
        moved: Tensor = torch.einsum("yh,xw,...hwk->...yxk", down.to(maps), right.to(maps), maps)
        return moved.flatten(-3, -2)

    return warp


def middle(field: Tensor, grid: tuple[int, int]) -> tuple[float, float]:
    """The centre of mass of a field [N], (right, down) in parts of the sides; the picture's where it is empty."""
    places = field.double().view(grid)
    total = float(places.sum())
    if total <= 0:
        return 0.5, 0.5
    rows = (torch.arange(grid[0], dtype=torch.float64, device=places.device) + 0.5) / grid[0]
    columns = (torch.arange(grid[1], dtype=torch.float64, device=places.device) + 0.5) / grid[1]
    return float((places.sum(dim=0) * columns).sum()) / total, float((places.sum(dim=1) * rows).sum()) / total
