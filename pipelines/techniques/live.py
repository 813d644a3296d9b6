"""Words' maps while a picture is drawn, for edits that look at them: regions that follow a word, local blending."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.techniques.edit import Live
from pipelines.techniques.values import Shape
from xattn.sites import AttentionSite

Key = tuple[int, Live]
"""Which image of the run, and which of its words."""


@dataclass(slots=True)
class _Sum:
    total: Tensor
    count: int


@dataclass(slots=True, eq=False)
class LiveMaps:
    """Sums over the steps so far of one pass, kept by downsampling, so that an edit may choose its grids.

    latent: (height, width)
    """

    latent: tuple[int, int]
    _sums: dict[Key, dict[int, _Sum]] = field(default_factory=dict)

    def add(self, key: Key, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:
        """Take in one word's map [heads, N] of one site; each head counts once in the means, as in a capture."""
        seen, heads = taps.float().sum(dim=0).view(grid), taps.shape[0]
        kept = self._sums.setdefault(key, {})
        before = kept.get(site.downsampling)
        kept[site.downsampling] = (
            _Sum(seen, heads) if before is None else _Sum(before.total + seen, before.count + heads)
        )

    def __contains__(self, key: Key) -> bool:
        return key in self._sums

    def on_grids(self, key: Key) -> dict[int, Tensor]:
        """By downsampling, the mean map [height, width] over heads, sites of that grid, and steps so far."""
        return {down: one.total / one.count for down, one in self._sums[key].items()}

    def map(self, key: Key) -> Tensor:
        """The mean over all heads of all sites, on the latent's grid: [height, width], bicubic, at least 0."""
        heads = sum(one.count for one in self._sums[key].values())
        total = sum(resized(one.total, self.latent) for one in self._sums[key].values())
        assert isinstance(total, Tensor)
        return total / heads

    def scaled(self, key: Key, threshold: float | None) -> Tensor:
        """`map` from 0 to 1 between its least and greatest value; 1 and 0 where a threshold is given."""
        seen = self.map(key)
        low, high = seen.min(), seen.max()
        soft = (seen - low) / (high - low).clamp(min=1e-12)
        return soft if threshold is None else (soft > threshold).to(soft)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """What `Edit.keep` is told after a step.

    index, steps: the step that is done, counted from 0, of how many; latent: (height, width)
    own, source: the latents of the edited picture and of its source, [c, h, w]
    maps: a word's maps so far, by downsampling (LiveMaps.on_grids)
    field: a place on the latent's grid, [height, width]
    """

    index: int
    steps: int
    latent: tuple[int, int]
    own: Tensor
    source: Tensor
    maps: Callable[[Live], dict[int, Tensor]]
    field: Callable[[Shape], Tensor]


def blended(latents: Tensor, image: int, source: int, mask: Tensor) -> Tensor:
    """Latents [images, c, h, w] in which an image has its source's where the mask [height, width] is 0."""
    share = mask.to(latents)
    mixed = share * latents[image] + (1 - share) * latents[source]
    return torch.cat([latents[:image], mixed[None], latents[image + 1 :]])


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A map [height, width] at another size: by area where smaller, bicubic and at least 0 where larger."""
    if tuple(image.shape) == size:
        return image
    if size[0] <= image.shape[0] and size[1] <= image.shape[1]:
        return F.interpolate(image[None, None], size, mode="area")[0, 0]
    return F.interpolate(image[None, None], size, mode="bicubic", align_corners=False)[0, 0].clamp(min=0.0)


def on_grid(field: Tensor, latent: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """A field of the latent's size on a site's grid, by area averaging.

    A UNet halves odd sides upwards, so the last cell of a grid may cover less than the others: it is the mean of what
    it covers (368×696 pixels are 46×87 latents, whose second grid is 23×44).
    """
    if grid == latent:
        return field
    steps = math.ceil(latent[0] / grid[0]), math.ceil(latent[1] / grid[1])
    pooled = F.avg_pool2d(field[None, None], steps, ceil_mode=True, count_include_pad=False)[0, 0]
    return pooled if tuple(pooled.shape) == grid else F.interpolate(field[None, None], grid, mode="area")[0, 0]
