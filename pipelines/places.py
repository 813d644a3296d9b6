"""Places of a picture as weights over an attention site's queries."""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.asked import Place, label
from pipelines.techniques.fields import drawn
from pipelines.techniques.live import on_grid
from xattn.errors import BadValue


def place_weights(place: Place, latent: tuple[int, int], grid: tuple[int, int], downsampling: int) -> Tensor:
    """[N], summing to 1: the cell that a point lies in, or each cell's share of a region. float32.

    latent, grid: (height, width). Raises BadValue for a region that covers nothing.
    """
    if isinstance(place, tuple):
        x, y = place
        row = min(int(y * latent[0]), latent[0] - 1) // downsampling
        column = min(int(x * latent[1]), latent[1] - 1) // downsampling
        weights = torch.zeros(grid)
        weights[row, column] = 1.0
        return weights.flatten()
    field = on_grid(drawn(place, latent), latent, grid).flatten()
    total = field.sum()
    if not bool(total > 0):
        raise BadValue("places", label(place), "a region that covers some of the picture", "Paint it white inside")
    return field / total


def coarse_weights(
    coarse: tuple[int, int], latent: tuple[int, int], grid: tuple[int, int], downsampling: int
) -> Tensor:
    """[places of the coarse grid, N], each row summing to 1: the mean over what lies in a cell of the coarse grid."""
    rows = _overlaps(coarse[0], latent[0], grid[0], downsampling)
    columns = _overlaps(coarse[1], latent[1], grid[1], downsampling)
    weights = torch.einsum("ay,bx->abyx", rows, columns).flatten(2).flatten(0, 1)
    return weights / weights.sum(dim=1, keepdim=True)


def _overlaps(coarse: int, cells: int, sites: int, downsampling: int) -> Tensor:
    """[coarse, sites]: how much of each site's cell lies in each coarse one, along one side. The UNet rounds halves of
    odd sides up, so a site's last cell may cover less than the others."""
    ours = torch.arange(coarse + 1) / coarse
    theirs = (torch.arange(sites + 1) * downsampling).clamp(max=cells) / cells
    inside = torch.minimum(ours[1:, None], theirs[None, 1:]) - torch.maximum(ours[:-1, None], theirs[None, :-1])
    return inside.clamp(min=0.0)
