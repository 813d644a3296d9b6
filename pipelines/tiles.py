"""A function on pictures run tile by tile, where the whole would not fit into memory; tiles overlap and are blended.

The overlap is blended by weights that rise linearly from a tile's edge, divided by their sum: where all tiles agree the
blend is what they agree on. A function that looks at the whole picture, as an autoencoder's group normalisation and
attention do, answers a little differently in each tile; the blend hides the seam and does not undo the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from xattn.errors import BadValue


@dataclass(frozen=True, slots=True)
class Tiling:
    """When pictures are cut, and into what; sides in pixels.

    above: width · height up to which a picture stays whole
    side, overlap: of a tile
    """

    above: int = 1024 * 1024
    side: int = 768
    overlap: int = 128

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= self.side // 2:
            raise BadValue("overlap", self.overlap, f"from 0 to half of a tile's side, {self.side // 2}")


def starts(size: int, side: int, overlap: int) -> list[int]:
    """Where tiles of `side` begin to cover `size` evenly, each overlapping the next by `overlap` at least."""
    if size <= side:
        return [0]
    count = ceil((size - overlap) / (side - overlap))
    return [round(place * (size - side) / (count - 1)) for place in range(count)]


def ramp(length: int, overlap: int) -> Tensor:
    """[length] weights that rise over `overlap` from either end, and are 1 in the middle."""
    steps = (torch.arange(length, dtype=torch.float32) + 0.5) / max(overlap, 0.5)
    return torch.minimum(steps, steps.flip(0)).clamp(max=1.0)


def by_tiles(
    function: Callable[[Tensor], Tensor],
    given: Tensor,
    *,
    cells: tuple[int, int],
    side: int,
    overlap: int,
    read: int = 1,
    written: int = 1,
) -> Tensor:
    """`function(given)`, tile by tile; float32.

    given: [1, channels, cells·read]; what comes out is [1, other channels, cells·written], in both directions
    cells: height and width of the grid on which tiles lie; side, overlap: of a tile, in cells
    """
    height, width = min(side, cells[0]), min(side, cells[1])
    weights = torch.outer(ramp(height * written, overlap * written), ramp(width * written, overlap * written))
    weights = weights.to(given.device)
    total: Tensor | None = None
    sums = torch.zeros(cells[0] * written, cells[1] * written, device=given.device)
    for top in starts(cells[0], height, overlap):
        for left in starts(cells[1], width, overlap):
            rows = slice(top * read, (top + height) * read)
            columns = slice(left * read, (left + width) * read)
            answer = function(given[..., rows, columns]).float()
            if total is None:
                total = torch.zeros(*answer.shape[:2], *sums.shape, device=given.device)
            rows = slice(top * written, (top + height) * written)
            columns = slice(left * written, (left + width) * written)
            total[..., rows, columns] += answer * weights
            sums[rows, columns] += weights
    assert total is not None, "there is at least one tile"
    return total / sums
