"""Reductions of taps while they stream: the only mutable object in xattn.

Kept whole, the cross-attention maps of one picture are gigabytes (SD1.5, 50 steps: 3.3 GB). Added up as they come they
are the size of what was asked for: memory grows with the axes that are kept and with nothing else. Names of words,
layers and steps belong to the layers above; here they are keys in the order in which they came.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xattn.errors import BadValue

Axis = Literal["step", "layer", "head"]
AXES: tuple[Axis, ...] = ("step", "layer", "head")


@dataclass(frozen=True, eq=False, slots=True)
class Reduced:
    """values: [steps, layers, heads, rows, n, y, x], float32; an axis that was not kept has length 1.

    steps, layers: the keys along the first two axes, empty where the axis was not kept. A layer that did not run at
    some step is 0 there, and so are the heads that a layer lacks.
    """

    values: Tensor
    steps: tuple[Hashable, ...]
    layers: tuple[Hashable, ...]


class Accumulator:
    """Adds up taps over every axis that is not kept.

    size: (height, width) that all maps are brought to: by area averaging where that is smaller than a site's grid, by
        bicubic interpolation clamped at 0 where it is larger (Tang et al. 2022, DAAM).
    keep: which of "step", "layer", "head" stay apart. By default none, so memory does not grow with steps.
    reduce: "mean" over all maps that were added, each head of each layer and step counting once, or their "sum".
    rows: the rows of the batch to keep, all when None.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        keep: Collection[Axis] = (),
        reduce: Literal["mean", "sum"] = "mean",
        rows: Collection[int] | None = None,
    ) -> None:
        if min(size) < 1:
            raise BadValue("size", size, "a height and a width of at least 1")
        unknown = sorted(set(keep) - set(AXES))
        if unknown:
            raise BadValue("keep", unknown[0], f"some of {', '.join(AXES)}")
        self.size, self.keep, self.reduce = size, frozenset(keep), reduce
        self.rows = None if rows is None else list(rows)
        self._sums: dict[tuple[Hashable, Hashable], Tensor] = {}
        self._counts: dict[tuple[Hashable, Hashable], int] = {}
        self._steps: dict[Hashable, None] = {}
        self._layers: dict[Hashable, None] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the maps take now."""
        return sum(total.numel() * total.element_size() for total in self._sums.values())

    def add(self, taps: Tensor, grid: tuple[int, int], *, step: Hashable = None, layer: Hashable = None) -> None:
        """Take in taps [rows, heads, N, n] of a grid (height, width), N = height · width.

        Raises BadValue where N is not the grid's, or heads are kept but layers have different numbers of them.
        """
        if taps.shape[2] != grid[0] * grid[1]:
            raise BadValue("grid", grid, f"of {taps.shape[2]} places, as the taps are")
        maps = taps.detach() if self.rows is None else taps.detach()[self.rows]
        count = 1 if "head" in self.keep else maps.shape[1]
        laid = maps.float().movedim(3, 2).unflatten(3, grid)
        if "head" in self.keep:
            pooled = _resized(laid, self.size)
        elif self.size[0] > grid[0] or self.size[1] > grid[1]:
            # clamping comes before the sum, as in DAAM: it is not linear
            pooled = _resized(laid, self.size).sum(dim=1, keepdim=True)
        else:
            pooled = _resized(laid.sum(dim=1, keepdim=True), self.size)
        key = (step if "step" in self.keep else None, layer if "layer" in self.keep else None)
        if "step" in self.keep and step not in self._steps:
            self._settle()
            self._steps[step] = None
        if "layer" in self.keep:
            self._layers[layer] = None
        before = self._sums.get(key)
        if before is not None and before.shape != pooled.shape:
            what = f"{list(before.shape[:3])} as before, in rows, heads and columns"
            raise BadValue("taps", list(pooled.shape[:3]), what, 'Keep "layer" apart or do not keep "head"')
        self._sums[key] = pooled if before is None else before.float() + pooled
        self._counts[key] = self._counts.get(key, 0) + count

    def result(self) -> Reduced:
        """What has been added so far; may be asked at any time. Raises BadValue while there is nothing."""
        if not self._sums:
            raise BadValue("taps", None, "added before a result is asked for")
        steps, layers = tuple(self._steps) or (None,), tuple(self._layers) or (None,)
        heads = max(total.shape[1] for total in self._sums.values())
        like = next(iter(self._sums.values()))
        values = like.new_zeros((len(steps), len(layers), *like.shape[:1], heads, *like.shape[2:]), dtype=torch.float32)
        for (step, layer), total in self._sums.items():
            share = self._counts[step, layer] if self.reduce == "mean" else 1
            values[steps.index(step), layers.index(layer), :, : total.shape[1]] = total.float() / share
        return Reduced(values.movedim(3, 2), tuple(self._steps), tuple(self._layers))

    def _settle(self) -> None:
        """Steps that are over do not change any more: half precision is enough for them."""
        self._sums = {key: total.half() for key, total in self._sums.items()}


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[rows, heads, n, y, x] at another size."""
    grid = (maps.shape[-2], maps.shape[-1])
    if grid == size:
        return maps
    flat = maps.flatten(0, 1)
    if size[0] <= grid[0] and size[1] <= grid[1]:
        resized = F.interpolate(flat, size, mode="area")
    else:
        resized = F.interpolate(flat, size, mode="bicubic", align_corners=False).clamp(min=0.0)
    shaped: Tensor = resized.unflatten(0, maps.shape[:2])
    return shaped
