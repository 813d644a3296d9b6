"""Reductions of taps while they stream: the only mutable object in xattn.

Kept whole, the cross-attention maps of one picture are gigabytes (SD1.5, 50 steps: 3.3 GB). Added up as they come they
are the size of what was asked for: memory grows with the axes that are kept and with nothing else. Names of words,
layers and steps belong to the layers above; here they are keys in the order in which they came.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xattn.errors import BadValue

Axis = Literal["step", "layer", "head"]
AXES: tuple[Axis, ...] = ("step", "layer", "head")
Dtype = Literal["float32", "float16", "uint8"]
DTYPES: dict[Dtype, int] = {"float32": 4, "float16": 2, "uint8": 1}
"""Bytes of a value."""
LEVELS_BYTES = 8
"""What a map needs beside its values where it is not kept in float32: its lowest value and its step."""
WAITING = 1 << 18
"""Bytes of taps that wait to be added up together: calls on small maps cost more than their arithmetic."""
Reduce = Literal["mean", "sum", "daam"]
REDUCTIONS: tuple[Reduce, ...] = ("mean", "sum", "daam")


@dataclass(frozen=True, eq=False, slots=True)
class Reduced:
    """What was added up, an axis that was not kept having length 1.

    stored: [steps, layers, heads, rows, n, y, x], float32, float16 or uint8
    levels: [steps, layers, heads, rows, n, 2], float32: a map's values are levels[0] + levels[1] · stored; None for
        float32, which is stored as it is
    counts: int64 [steps, layers, heads], of how many maps each is the mean or the sum. A layer that did not run at some
        step has 0, and so have the heads that a layer lacks: their values are 0.
    steps, layers: the keys along the first two axes, empty where the axis was not kept
    """

    stored: Tensor
    levels: Tensor | None
    counts: Tensor
    steps: tuple[Hashable, ...]
    layers: tuple[Hashable, ...]

    @property
    def values(self) -> Tensor:
        """float32 [steps, layers, heads, rows, n, y, x]."""
        return _unpacked(self.stored, self.levels)


Place = tuple[Hashable, Hashable]
"""The step and the layer that a sum is kept under, None for an axis that is not kept."""


@dataclass(slots=True)
class _Slice:
    """Sum of one step's and layer's maps [rows, heads, n, y, x], packed once nothing is added any more.

    shape: its (rows, heads, n); total: None while all that was added waits; count, steps: of all that was added
    """

    shape: tuple[int, int, int]
    total: Tensor | None
    levels: Tensor | None
    count: int
    steps: set[Hashable]


class Accumulator:
    """Adds up taps over every axis that is not kept.

    Small taps wait, up to `WAITING` bytes, until several can be added up at once; a result has them all.

    size: (height, width) that all maps are brought to: by area averaging where that is smaller than a site's grid, by
        bicubic interpolation clamped at 0 where it is larger (Tang et al. 2022, DAAM).
    keep: which of "step", "layer", "head" stay apart. By default none, so memory does not grow with steps.
    reduce: "mean" over all maps that were added, each head of each layer and step counting once; their "sum"; or
        "daam", the sum over steps of the mean over layers and heads (Tang et al. 2022, "What the DAAM").
    dtype: what the result is in, and each step that is over where steps are kept. Sums that still grow are float32.
        Each map has its own scale: float16 is off by at most 2^-11 of its greatest value, uint8 by 1/510 of its range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        keep: Collection[Axis] = (),
        reduce: Reduce = "mean",
        dtype: Dtype = "float32",
    ) -> None:
        if min(size) < 1:
            raise BadValue("size", size, "a height and a width of at least 1")
        unknown = sorted(set(keep) - set(AXES))
        if unknown:
            raise BadValue("keep", unknown[0], f"some of {', '.join(AXES)}")
        if dtype not in DTYPES:
            raise BadValue("dtype", dtype, f"one of {', '.join(DTYPES)}")
        self.size, self.keep, self.reduce, self.dtype = size, frozenset(keep), reduce, dtype
        self._slices: dict[Place, _Slice] = {}
        self._waiting: dict[tuple[Place, tuple[int, int], Tensor | None], list[Tensor]] = {}
        self._waiting_bytes = 0
        self._steps: dict[Hashable, None] = {}
        self._layers: dict[Hashable, None] = {}

    @property
    def nbytes(self) -> int:
        """Memory that the maps take now."""
        self._add_up()
        held = [some for one in self._slices.values() for some in (one.total, one.levels) if some is not None]
        return sum(some.numel() * some.element_size() for some in held)

    def add(
        self,
        taps: Tensor,
        grid: tuple[int, int],
        *,
        step: Hashable = None,
        layer: Hashable = None,
        combine: Tensor | None = None,
    ) -> None:
        """Take in taps [rows, heads, N, n] of a grid (height, width), N = height · width. They may not change later.

        combine: [n, m], makes m maps of the n once they have their size: DAAM's mean over the tokens of a word, each
            clamped for itself
        Raises BadValue where N is not the grid's, or heads are kept but layers have different numbers of them.
        """
        rows, heads, places, n = taps.shape
        if places != grid[0] * grid[1]:
            raise BadValue("grid", grid, f"of {places} places, as the taps are")
        apart = "head" in self.keep
        shape = (rows, heads if apart else 1, n if combine is None else combine.shape[1])
        place = (step if "step" in self.keep else None, layer if "layer" in self.keep else None)
        if "step" in self.keep and step not in self._steps:
            self._settle()
            self._steps[step] = None
        if "layer" in self.keep:
            self._layers[layer] = None
        one = self._slices.get(place)
        if one is None:
            one = self._slices[place] = _Slice(shape, None, None, 0, set())
        elif one.shape != shape:
            what = f"{list(one.shape)} as before, in rows, heads and columns"
            raise BadValue("taps", list(shape), what, 'Keep "layer" apart or do not keep "head"')
        one.count += 1 if apart else heads
        one.steps.add(step)
        self._waiting.setdefault((place, grid, combine), []).append(taps.detach() if taps.requires_grad else taps)
        self._waiting_bytes += taps.numel() * taps.element_size()
        if self._waiting_bytes >= WAITING:
            self._add_up()

    def _add_up(self) -> None:
        for (place, grid, combine), taps in self._waiting.items():
            maps = self._summed(taps, grid, combine)
            one = self._slices[place]
            one.total = maps if one.total is None else _unpacked(one.total, one.levels) + maps
            one.levels = None
        self._waiting.clear()
        self._waiting_bytes = 0

    def _summed(self, taps: list[Tensor], grid: tuple[int, int], combine: Tensor | None) -> Tensor:
        """The sum of taps [rows, heads, N, n] of one grid as maps [rows, heads or 1, m, y, x]."""
        if "head" in self.keep:
            several = torch.stack(taps, dim=1)
        else:
            several = (taps[0] if len(taps) == 1 else torch.cat(taps, dim=1))[:, :, None]
        several = several.float()
        if self.size[0] > grid[0] or self.size[1] > grid[1]:
            # clamping comes before the sum, as in DAAM: it is not linear
            maps = _resized(several.movedim(4, 3).unflatten(4, grid), self.size).sum(dim=1)
        else:
            maps = _resized(several.sum(dim=1).movedim(3, 2).unflatten(3, grid), self.size)
        return maps if combine is None else torch.einsum("rhnyx,nm->rhmyx", maps, combine.to(maps))

    def result(self) -> Reduced:
        """What has been added so far; may be asked at any time. Raises BadValue while there is nothing."""
        if not self._slices:
            raise BadValue("taps", None, "added before a result is asked for")
        self._add_up()
        steps, layers = tuple(self._steps) or (None,), tuple(self._layers) or (None,)
        heads = max(one.shape[1] for one in self._slices.values())
        first = next(iter(self._slices.values()))
        assert first.total is not None  # nothing waits
        size, device = (len(steps), len(layers), first.shape[0], heads, first.shape[2]), first.total.device
        stored = torch.zeros((*size, *self.size), dtype=getattr(torch, self.dtype), device=device)
        levels = None if self.dtype == "float32" else torch.zeros((*size, 2), device=device)
        counts = torch.zeros(len(steps), len(layers), heads, dtype=torch.int64)
        for (step, layer), one in self._slices.items():
            assert one.total is not None
            place = (steps.index(step), layers.index(layer))
            total, own = (one.total, one.levels) if one.levels is not None else _packed(one.total, self.dtype)
            share = self._share(one)
            stored[place][:, : total.shape[1]] = total if own is not None else total / share
            if own is not None and levels is not None:
                levels[place][:, : total.shape[1]] = own / share
            counts[place][: total.shape[1]] = one.count
        laid = None if levels is None else levels.movedim(3, 2)
        return Reduced(stored.movedim(3, 2), laid, counts, tuple(self._steps), tuple(self._layers))

    def _share(self, one: _Slice) -> float:
        if self.reduce == "sum":
            return 1
        return one.count if self.reduce == "mean" else one.count / len(one.steps)

    def _settle(self) -> None:
        """Steps that are over do not change any more."""
        self._add_up()
        for one in self._slices.values():
            if one.total is not None and one.levels is None:
                one.total, one.levels = _packed(one.total, self.dtype)


def _packed(values: Tensor, dtype: Dtype) -> tuple[Tensor, Tensor | None]:
    """Maps [..., y, x] as `stored` and `levels` [..., 2] of a dtype (Reduced)."""
    if dtype == "float32":
        return values, None
    # edited attention may be negative, and a map that never is keeps 0 as 0
    low = values.amin(dim=(-2, -1)).clamp(max=0.0)
    if dtype == "float16":  # scaled, so that sums do not pass 65,504 nor faint maps lose their digits
        low = torch.zeros_like(low)
        spread = values.abs().amax(dim=(-2, -1))
    else:
        spread = (values.amax(dim=(-2, -1)) - low) / 255
    step = torch.where(spread > 0, spread, torch.ones_like(spread))
    stored = (values - low[..., None, None]) / step[..., None, None]
    stored = stored.half() if dtype == "float16" else stored.round().clamp(0, 255).to(torch.uint8)
    return stored, torch.stack([low, step], dim=-1)


def _unpacked(stored: Tensor, levels: Tensor | None) -> Tensor:
    if levels is None:
        return stored
    return levels[..., 0, None, None] + levels[..., 1, None, None] * stored.float()


def straight(numbers: list[int]) -> slice | list[int]:
    """An index of these numbers: a slice, which copies nothing, where they follow each other."""
    follow = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return slice(numbers[0], numbers[0] + len(numbers)) if follow else numbers


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[…, y, x] at another size."""
    grid = (maps.shape[-2], maps.shape[-1])
    if grid == size:
        return maps
    if size[0] <= grid[0] and size[1] <= grid[1]:
        averaged: Tensor = F.interpolate(maps.flatten(0, -4), size, mode="area").unflatten(0, maps.shape[:-3])
        return averaged
    down, across = (_bicubic(*both).to(maps) for both in zip(grid, size, strict=True))
    return (down @ maps @ across.mT).clamp_(min=0.0)


@lru_cache(maxsize=64)
def _bicubic(before: int, after: int) -> Tensor:
    """What bicubic interpolation makes of one axis, [after, before]: torch's own of the identity.

    As products with these, many small maps are enlarged in a tenth of the time that torch's own kernel takes on a CPU.
    """
    columns = torch.eye(before, dtype=torch.float32, device="cpu").view(1, before, before, 1)
    enlarged: Tensor = F.interpolate(columns, (after, 1), mode="bicubic", align_corners=False)
    return enlarged[0, :, :, 0].mT.contiguous()
