"""Attention maps as the viewer's blocks: a byte a value, and no axis that is not worth its bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ui.web.viewer.data import Block, Layer
from xattn.errors import BadValue

if TYPE_CHECKING:  # either would bring torch, and the web page is to open before torch is there
    from pipelines.attention_maps import AttentionMaps
    from xattn.sites import AttentionSite

Axis = Literal["step", "layer", "head"]
_AXES: tuple[Axis, ...] = ("step", "layer", "head")
_EACH_SLICE = 2048
"""Up to so many slices have a scale of their own (a quiet head keeps its 256 levels); more have one a word."""


def pack(
    maps: AttentionMaps,
    sites: Iterable[AttentionSite] = (),
    *,
    latent: tuple[int, int] | None = None,
    keep: tuple[Axis, ...] = _AXES,
    side: int | None = None,
) -> Block:
    """The maps as one block, those axes averaged that are not in `keep` (and were kept by the capture).

    sites: where the maps are from, and latent: height and width of the picture's; they say each layer's own grid and
        heads. Without them the maps' own are taken.
    side: the longer side at most, by averaging whole cells; None leaves the grid as it is
    Each head of each layer counts once in a mean, as in a capture. Raises BadValue where side does not divide the grid.
    """
    values = maps.values
    known = {site.name: site for site in sites}
    heads = _heads(maps, known)
    weight = _weight(heads, values.shape[2:4])
    over = tuple(axis for axis, name in ((2, "layer"), (3, "head")) if name not in keep)
    if over:
        weighted = np.einsum("wslhyx,lh->wslhyx", values, weight).sum(axis=over, keepdims=True)
        counted = weight[None, None, :, :, None, None].sum(axis=over, keepdims=True)
        values = weighted / np.maximum(counted, 1)
    if "step" not in keep:
        values = values.mean(axis=1, keepdims=True)
    values = _smaller(np.asarray(values, dtype=np.float32), side)
    raw, scale = _bytes(values)
    finest = latent or (maps.values.shape[4], maps.values.shape[5])
    layers = _layers(maps.layers, known, finest, heads) if "layer" in keep else ()
    steps = maps.steps if "step" in keep else ()
    numbers = tuple(range(values.shape[3])) if values.shape[3] > 1 or (maps.made.heads == 1 and "head" in keep) else ()
    return Block(raw, scale, steps, layers, numbers)


def _heads(maps: AttentionMaps, known: dict[str, AttentionSite]) -> tuple[int, ...]:
    """How many heads each layer of the values has; the most that any has where nobody says."""
    named = maps.layers or ("",) * maps.values.shape[2]
    return tuple(known[name].heads if name in known else maps.made.heads for name in named)


def _weight(heads: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """[layer, head]: what each counts in a mean, so that every head of every layer counts once, as in a capture."""
    if shape[1] == 1:
        return np.array(heads, dtype=np.float32)[:, None]
    return np.asarray(np.arange(shape[1])[None, :] < np.array(heads)[:, None], dtype=np.float32)


def _smaller(values: NDArray[np.float32], side: int | None) -> NDArray[np.float32]:
    height, width = values.shape[-2:]
    if side is None or max(height, width) <= side:
        return values
    cells = -(-max(height, width) // side)
    if height % cells or width % cells:
        raise BadValue("side", side, f"such that whole cells of the grid {height}×{width} can be averaged")
    shape = (*values.shape[:4], height // cells, cells, width // cells, cells)
    return np.asarray(values.reshape(shape).mean(axis=(5, 7)), dtype=np.float32)


def _bytes(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    each = values.shape[0] * values.shape[1] * values.shape[2] * values.shape[3] <= _EACH_SLICE
    top = values.max(axis=(4, 5) if each else (1, 2, 3, 4, 5))
    # The viewer multiplies with five significant digits; divide by the same, so that no byte is off by one.
    scale = np.array([float(f"{value:.5g}") for value in top.ravel()], dtype=np.float32).reshape(top.shape)
    spread = np.where(scale > 0, scale, 1).reshape(top.shape + (1,) * (6 - top.ndim))
    raw = np.rint(np.clip(values / spread, 0, 1) * 255).astype(np.uint8)
    return raw, tuple(float(value) for value in scale.ravel())


def _layers(
    names: tuple[str, ...], known: dict[str, AttentionSite], finest: tuple[int, int], heads: tuple[int, ...]
) -> tuple[Layer, ...]:
    layers = []
    for place, name in enumerate(names):
        coarser = known[name].downsampling if name in known else 1
        own = (-(-finest[0] // coarser), -(-finest[1] // coarser))
        layers.append(Layer(name, short_name(name), own, heads[place]))
    return tuple(layers)


def short_name(site: str) -> str:
    """A site as a person reads it: "down_blocks.0.attentions.1.transformer_blocks.0.attn2" is "down 1.2"."""
    found = re.match(r"(down|mid|up)_block(?:s\.(\d+))?\.attentions\.(\d+)\.transformer_blocks\.(\d+)", site)
    if found is None:
        return site
    place, block, attention, depth = found.groups()
    numbers = [str(int(number) + 1) for number in (block, attention) if number is not None]
    if place == "mid":
        numbers = numbers[:0] if attention == "0" else numbers
    if depth != "0":
        numbers.append(str(int(depth) + 1))
    return " ".join([place, ".".join(numbers)]) if numbers else place
