"""Maps as a session keeps them: a byte a value, and a scale a slice.

Kept whole (float32, every word, step, layer and head) ten words over 50 steps of Stable Diffusion 1.5 at 512² are
65 MB a picture; here 16.5 MB, with step, layer and head all kept, at 16² (program.md). A value is off by at most
1/510 of its slice's greatest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from pipelines.attention_maps import AttentionMaps
from pipelines.ledger import Phrase
from ui.web.viewer.data import Block, Layer
from ui.web.viewer.packing import pack
from xattn.errors import BadValue, UnknownName
from xattn.sites import AttentionSite

JOINT_BYTES = 3 * 2**20
"""Up to this size all axes go to the browser jointly; above, two by two, and the rest when it is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredMaps:
    """Maps of one picture.

    values: uint8 [word, step, layer, head, y, x]; scales: float32 [word, step, layer, head], the value of 255
    layers: with the heads that each has; beyond these a layer's values are 0
    rest: what the words leave (pipelines.where.REST), kept by the same axes; None where it was not
    looks: uint8 [place, y, x], where each place of a coarse grid looks in the picture, each by its greatest value;
        their scales beside them
    lengths: float32 [word, layer, head], of each word's value (pipelines.value_lengths): a few kilobytes
    """

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]
    words: tuple[Phrase, ...]
    steps: tuple[int, ...]
    layers: tuple[Layer, ...]
    rest: StoredMaps | None = None
    looks: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None
    lengths: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        maps: AttentionMaps,
        sites: Iterable[AttentionSite] = (),
        lengths: NDArray[np.float32] | None = None,
    ) -> StoredMaps:
        """Quantised, each slice by its own greatest value.

        sites: of the UNet that they are from; lengths: [words and what they leave, layer, head], of their values
        """
        known = tuple(sites)
        values = maps.values
        # no colour shows a share below 0, where an edit turned a word round; one over 1 stays, or means would differ
        scales = np.clip(values.max(axis=(4, 5)), 0.0, None)
        made = np.zeros(values.shape, dtype=np.uint8)
        for word in range(values.shape[0]):  # one word at a time: no second float copy of everything
            divisor = np.where(scales[word] > 0, scales[word], 1.0)[..., None, None]
            made[word] = np.rint(np.clip(values[word], 0.0, None) / divisor * 255.0).astype(np.uint8)
        layers = pack(replace(maps, values=values[:1, :1], steps=maps.steps[:1], counts=None, parts={}), known).layers
        words = tuple(word for word in maps.words if isinstance(word, str) or _occurrence(word))
        own = None if lengths is None else _fitted(lengths, values.shape[2:4])
        left = None if own is None else own[len(maps.words) :]
        rest = None if maps.rest is None else cls.of(replace(maps.rest, parts={}), known, left)
        here = None if own is None else own[: len(maps.words)]
        return cls(made, scales.astype(np.float32), words, maps.steps, layers, rest, _looks(maps), here)

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        looks = 0 if self.looks is None else self.looks[0].nbytes
        looks += 0 if self.lengths is None else self.lengths.nbytes
        return self.values.nbytes + self.scales.nbytes + looks + (0 if self.rest is None else self.rest.nbytes)

    def look(self, x: float, y: float) -> NDArray[np.float32] | None:
        """[y, x], where the place at these fractions looks in the picture; None where it was not kept."""
        if self.looks is None:
            return None
        values, scales = self.looks
        rows, columns = values.shape[1:]
        place = min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)
        return np.asarray(values[place] * (scales[place] / 255.0), dtype=np.float32)

    def mean(
        self,
        *,
        words: Sequence[int] | None = None,
        step: int | None = None,
        layers: Sequence[str] | None = None,
        head: int | None = None,
        keep: Sequence[str] = (),
        cell: tuple[int, int] | None = None,
        added: bool = False,
    ) -> NDArray[np.float32]:
        """float32 [word, step, layer, head, y, x], averaged over each axis that is neither kept nor pinned.

        step, layers, head are pinned by number and name; heads that a layer lacks count for nothing
        cell: (row, column), for that place alone; added: each share times the length of its value, what the word adds
        Raises BadValue, UnknownName for what was not kept.
        """
        if added and self.lengths is None:
            raise BadValue("added", True, "left out: values' lengths were not kept")
        chosen = range(len(self.words)) if words is None else words
        steps = self._steps(step)
        places = self._layers(layers)
        counts = np.array([self.layers[place].heads for place in places], dtype=np.float32)
        heads = range(self.values.shape[3])
        if head is not None:
            if not 0 <= head < self.values.shape[3]:
                raise BadValue("head", head, f"a whole number from 0 to {self.values.shape[3] - 1}")
            heads = range(head, head + 1)
            if not (counts > head).any():
                raise BadValue("head", head, f"one that the layer has, 0 to {int(counts.max()) - 1}")
            counts = (counts > head).astype(np.float32)
        rows, columns = (slice(None), slice(None)) if cell is None else (slice(at, at + 1) for at in cell)
        made = []
        for word in chosen:
            if not 0 <= word < len(self.words):
                raise BadValue("word", word, f"the place of a word, 0 to {len(self.words) - 1}")
            block = self.values[word, steps.start : steps.stop, :, heads.start : heads.stop, rows, columns][:, places]
            scale = self.scales[word, steps.start : steps.stop, :, heads.start : heads.stop][:, places]
            if added and self.lengths is not None:
                scale = scale * self.lengths[word, places, heads.start : heads.stop]
            made.append(_averaged(block, scale, counts, keep))
        return np.stack(made)

    def _steps(self, step: int | None) -> range:
        if step is None:
            return range(self.values.shape[1])
        if step not in self.steps:
            listed = f"one of {self.steps[0]} to {self.steps[-1]}" if self.steps else "left out: steps were not kept"
            raise BadValue("step", step, listed)
        place = self.steps.index(step)
        return range(place, place + 1)

    def _layers(self, layers: Sequence[str] | None) -> list[int]:
        if not layers:
            return list(range(self.values.shape[2]))
        places = []
        for name in layers:
            found = [place for place, known in enumerate(self.layers) if name in (known.name, known.label)]
            if len(found) != 1:
                raise UnknownName("layer", name, tuple(known.name for known in self.layers))
            places.append(found[0])
        return places

    # -- for the browser -----------------------------------------------------------------------------------------

    def blocks(self) -> tuple[Block, ...]:
        """What travels with the picture: all axes jointly where that is small, else each word's mean, its steps, and
        its layers and heads; other combinations are asked for (`cut`).
        """
        if self.values.nbytes <= JOINT_BYTES:
            return (self._block(self.values, self.scales, ("step", "layer", "head")),)
        return self.marginals()

    def marginals(self) -> tuple[Block, ...]:
        """Each word's mean, then by step, then by layer and head."""
        kept: tuple[tuple[str, ...], ...] = ((), ("step",), ("layer", "head"))
        return tuple(self._block(*_quantised(self.mean(keep=keep)), keep) for keep in kept)

    def cut(self, selection: Mapping[str, object]) -> Block:
        """One more block: what a selection pins, all words. Raises BadValue, UnknownName."""
        step, layers, head = read_selection(selection)
        values, scales = _quantised(self.mean(step=step, layers=layers, head=head))
        lengths = self.lengths
        if lengths is not None:
            lengths = lengths[:, self._layers(layers)]
            lengths = _fitted(lengths if head is None else lengths[:, :, head : head + 1], values.shape[2:4])
        return Block(
            values,
            tuple(map(float, scales.reshape(-1))),
            () if step is None else (step,),
            (self.layers[self._layers(layers)[0]],) if layers and len(layers) == 1 else (),
            () if head is None else (head,),
            lengths,
        )

    def _block(self, values: NDArray[np.uint8], scales: NDArray[np.float32], keep: Sequence[str]) -> Block:
        return Block(
            values,
            tuple(map(float, scales.reshape(-1))),
            self.steps if "step" in keep else (),
            self.layers if "layer" in keep else (),
            tuple(range(values.shape[3])) if "head" in keep else (),
            None if self.lengths is None else _fitted(self.lengths, values.shape[2:4]),
        )


def _fitted(lengths: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """[word, layer, head] for maps of so many layers and heads: the mean over those that were not kept apart."""
    there = lengths.any(axis=0, keepdims=True)  # a head that a layer lacks has no length
    over = tuple(axis for axis in (1, 2) if shape[axis - 1] == 1)
    counted = np.maximum(there.sum(axis=over, keepdims=True), 1)
    return np.asarray(lengths.sum(axis=over, keepdims=True) / counted, dtype=np.float32)


def _looks(maps: AttentionMaps) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    if maps.grid is None:
        return None
    rows = np.stack([maps.grid[place] for place in range(len(maps.grid.words))])
    scales = rows.max(axis=(1, 2))
    divisor = np.where(scales > 0, scales, 1.0)[:, None, None]
    return np.rint(rows / divisor * 255.0).astype(np.uint8), scales.astype(np.float32)


def _occurrence(word: object) -> TypeGuard[tuple[str, int]]:
    return isinstance(word, tuple) and isinstance(word[0], str)


def read_selection(selection: Mapping[str, object]) -> tuple[int | None, tuple[str, ...] | None, int | None]:
    """Step, layers and head of a viewer's selection; None is all. Raises BadValue."""
    step, layers, head = selection.get("step"), selection.get("layers"), selection.get("head")
    for name, value in (("step", step), ("head", head)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise BadValue(name, value, "a whole number, or null for all")
    if isinstance(layers, str):
        layers = [layers]
    if layers is not None and not (isinstance(layers, list) and all(isinstance(name, str) for name in layers)):
        raise BadValue("layers", layers, "a list of layers' names, or null for all")
    assert step is None or isinstance(step, int)
    assert head is None or isinstance(head, int)
    return step, tuple(layers) if layers else None, head


def _averaged(
    block: NDArray[np.uint8], scale: NDArray[np.float32], counts: NDArray[np.float32], keep: Sequence[str]
) -> NDArray[np.float32]:
    """One word's [step, layer, head, y, x], each layer's heads counted by `counts` where heads are averaged."""
    # the weight of each slice in the mean, its byte's worth in it
    weight = scale / 255.0
    out = "".join(letter if axis in keep else "" for axis, letter in (("step", "s"), ("layer", "l"), ("head", "h")))
    steps, layers = block.shape[:2]
    if "head" not in keep:
        share = np.where(counts > 0, 1.0 / np.maximum(counts, 1.0), 0.0)
        # where layers are averaged too, each head of each layer counts once
        each = share[None, :, None] if "layer" in keep else 1.0 / max(float(counts.sum()), 1.0)
        weight = weight * each
    elif "layer" not in keep:
        weight = weight / max(layers, 1)
    if "step" not in keep:
        weight = weight / steps
    summed = np.einsum(f"slhyx,slh->{out}yx", block, weight.astype(np.float32), optimize=True)
    shape = tuple(
        size if axis in keep else 1 for axis, size in zip(("step", "layer", "head"), block.shape[:3], strict=True)
    )
    return np.asarray(summed, dtype=np.float32).reshape(*shape, *block.shape[3:])


def _quantised(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    scales = values.max(axis=(4, 5))
    divisor = np.where(scales > 0, scales, 1.0)[..., None, None]
    return np.rint(values / divisor * 255.0).astype(np.uint8), scales.astype(np.float32)
