"""Places as numbers on a grid: boxes exactly, painted fields by area averaging, words by their live maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.assets import Asset
from pipelines.pictures import BLACK, coloured, opened
from pipelines.techniques.live import on_grid
from pipelines.techniques.values import Box, Shape, WordMap


class Fields:
    """The places of one picture's edits on the grids of one pass, each resampled once.

    latent: (height, width). live: the map of a word, [height, width] of the latent.
    """

    def __init__(self, latent: tuple[int, int], live: Callable[[WordMap], Tensor], device: torch.device) -> None:
        self._latent, self._live, self._device = latent, live, device
        self._known: dict[tuple[Shape, tuple[int, int]], Tensor] = {}

    def __call__(self, shape: Shape, grid: tuple[int, int]) -> Tensor:
        """[height, width] of `grid`, float32, 0 … 1. Raises BadValue for a picture that cannot be opened."""
        if isinstance(shape, WordMap):
            return on_grid(self._live(shape), self._latent, grid)
        if (shape, grid) not in self._known:
            if grid == self._latent:
                made = drawn(shape, grid).to(self._device)
            else:
                made = on_grid(self(shape, self._latent), self._latent, grid)
            self._known[shape, grid] = made
        return self._known[shape, grid]


def drawn(shape: Box | Asset, grid: tuple[int, int]) -> Tensor:
    """A box or a painted field on a grid (height, width), each cell the share of it that is covered: float32."""
    if isinstance(shape, Box):
        rows = _covered(shape.top, shape.bottom, grid[0])
        return rows[:, None] * _covered(shape.left, shape.right, grid[1])[None, :]
    grey = coloured(opened("field", shape), under=BLACK).convert("L")
    values = torch.from_numpy(np.array(grey)).float() / 255
    if values.shape[0] >= grid[0] and values.shape[1] >= grid[1]:
        return F.interpolate(values[None, None], grid, mode="area")[0, 0]
    return F.interpolate(values[None, None], grid, mode="bilinear", align_corners=False)[0, 0]


def _covered(low: float, high: float, cells: int) -> Tensor:
    """Which share of each of so many cells lies between two fractions of the whole."""
    edges = torch.arange(cells + 1, dtype=torch.float64) / cells
    inside = torch.minimum(edges[1:], torch.tensor(high)) - torch.maximum(edges[:-1], torch.tensor(low))
    return (inside.clamp(min=0) * cells).float()
