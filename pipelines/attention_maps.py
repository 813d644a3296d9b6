"""Where words were drawn: attention maps with named axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines import asked
from pipelines.asked import Asked
from pipelines.map_names import file_names
from xattn.errors import BadValue, UnknownName, UnknownWord

if TYPE_CHECKING:
    from pipelines.where import Where
    from xattn.maps import Reduced

AXES = ("word", "step", "layer", "head", "y", "x")
Axis = Literal["step", "layer", "head", "resolution"]


@dataclass(frozen=True, slots=True)
class Made:
    """How maps were made: see pipelines.capture.Capture, whose words these are.

    heads: most that a layer has; sites: the layers that were read, kept apart or not
    sigmas: standard deviation of the noise before each step, the picture's being 1
    tokens: the columns of the text that each word has, at the first step that says it
    edited: whether edits acted on the picture: no share passes 1 where none did, but where a coarse map was enlarged
    """

    measure: str
    reduce: str
    role: str
    heads: int
    at: str = "edited"
    sites: tuple[str, ...] = ()
    sigmas: tuple[float, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    edited: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMaps:
    """Maps of one picture's words.

    values: [word, step, layer, head, y, x]; an axis that was not kept has length 1. float32, or as stored where the
        capture asked for "float16" or "uint8": `to_numpy()` is float32 always
    words: along the first axis, as they were asked for
    steps, layers: along theirs, empty where they were not kept; steps count from 1, layers are sites' names
    levels: float32 [word, step, layer, head, 2] of maps not stored in float32: a map is levels[0] + levels[1] · values
    counts: [step, layer, head], of how many maps each is the mean or sum; None counts all alike
    resolutions: along the layers' axis instead, where layers of one grid are kept together: "1/2" has half of the
        latent's side
    times: along the steps' axis instead, of a picture that was looked at (Pipeline.look): shares of noise
    parts: further maps that came with these: `rest`, `places`, `shares`, `grid`, `model`, which have properties
    """

    values: NDArray[Any]
    words: tuple[Asked, ...]
    steps: tuple[int, ...]
    layers: tuple[str, ...]
    made: Made
    levels: NDArray[np.float32] | None = None
    counts: NDArray[np.int64] | None = None
    resolutions: tuple[str, ...] = ()
    times: tuple[float, ...] = ()
    parts: Mapping[str, AttentionMaps] = field(default_factory=dict)

    @classmethod
    def of(cls, words: tuple[Asked, ...], reduced: Reduced, made: Made, *, resolutions: bool = False) -> AttentionMaps:
        """From xattn's sums of one row: [step, layer, head, 1, word, y, x]. resolutions: what its layers are."""
        levels = None if reduced.levels is None else reduced.levels[:, :, :, 0].movedim(3, 0).cpu().numpy()
        layers = tuple(str(layer) for layer in reduced.layers)
        return cls(
            values=np.ascontiguousarray(reduced.stored[:, :, :, 0].movedim(3, 0).cpu().numpy()),
            words=words,
            steps=tuple(int(str(step)) + 1 for step in reduced.steps),
            layers=() if resolutions else layers,
            made=made,
            levels=None if levels is None else np.ascontiguousarray(levels),
            counts=reduced.counts.numpy(),
            resolutions=layers if resolutions else (),
        )

    # Reading

    def __getitem__(self, word: Asked | int) -> NDArray[np.float32]:
        """The word's map [y, x] over steps, layers and heads, as a capture that keeps none of them would have it.

        word: as it was asked for; a number is the place along the first axis. Raises UnknownWord.
        """
        return self.over(self.decoded(self._place(word)))

    def at(
        self,
        *,
        step: int | None = None,
        layer: str | None = None,
        head: int | None = None,
        resolution: str | None = None,
        time: float | None = None,
    ) -> AttentionMaps:
        """The maps of one step (counted from 1), layer (a site's name, or the end of one), head (from 0), resolution
        ("1/2") or time.

        Raises BadValue or UnknownName for one that was not kept, with the remedy.
        """
        maps = self
        if step is not None:
            maps = maps._one("step", self.steps, step)
        if time is not None:
            maps = maps._one("time", self.times, time)
        if layer is not None:
            whole = [name for name in self.layers if name == layer or name.endswith(f".{layer}")]
            if self.layers and len(whole) != 1:
                raise UnknownName("layer", layer, self.layers)
            maps = maps._one("layer", self.layers, whole[0] if whole else layer)
        if resolution is not None:
            maps = maps._one("resolution", self.resolutions, resolution)
        if head is not None:
            maps = maps._one("head", maps.heads, head)
        return maps

    @property
    def heads(self) -> tuple[int, ...]:
        """Along the heads' axis, those that a layer has at most; empty where they were not kept."""
        if self.values.shape[3] == 1 and self.made.heads > 1:
            return ()
        if self.counts is None:
            return tuple(range(self.values.shape[3]))
        return tuple(int(head) for head in np.flatnonzero(self.counts.any(axis=(0, 1))))

    def along(self, axis: Axis) -> tuple[AttentionMaps, ...]:
        """One value for each step (or time), layer, head or resolution that was kept. Raises BadValue."""
        by_time = axis == "step" and self.times
        name = "time" if by_time else axis
        kept: Sequence[object] = {
            "step": self.times or self.steps,
            "layer": self.layers,
            "head": self.heads,
            "resolution": self.resolutions,
        }[axis]
        if not kept:
            return (self._one(name, (), None),)
        return tuple(self._one(name, kept, one) for one in kept)

    def where(self, x: float, y: float) -> Where:
        """How a place of the picture shares out its attention among the words, and where it looks in the picture.

        x, y: fractions of the picture. Of a place in `Capture(places=…)` exactly, else of the cell of the maps that it
        lies in. Over all that was kept: `maps.at(step=3).where(x, y)` is one step's. Raises BadValue.
        """
        from pipelines.where import where

        return where(self, x, y)

    def to_numpy(self) -> NDArray[np.float32]:
        """float32 [word, step, layer, head, y, x], a copy."""
        return np.stack([self.decoded(place) for place in range(len(self.words))])

    @property
    def nbytes(self) -> int:
        """Bytes of the maps, and of those of rest, places, grid and model."""
        own = self.values.nbytes + (0 if self.levels is None else self.levels.nbytes)
        return own + sum(child.nbytes for child in self.parts.values())

    @property
    def dtype(self) -> str:
        """What they are stored in."""
        return str(self.values.dtype)

    @property
    def rest(self) -> AttentionMaps | None:
        """Maps of "begin", "end", "padding" and "other", what the words leave of each place's attention; None where the
        capture was not of all words."""
        return self.parts.get("rest")

    @property
    def places(self) -> AttentionMaps | None:
        """Where the capture's places look in the picture: self-attention; None without any.

        Each map sums to 1, to a few percent where a layer's grid is coarser than the maps, for enlarging overshoots.
        """
        return self.parts.get("places")

    @property
    def shares(self) -> AttentionMaps | None:
        """How a capture's places share out their attention, exactly: [place, step, layer, head, 1, words and rest]."""
        return self.parts.get("shares")

    @property
    def grid(self) -> AttentionMaps | None:
        """Where each place of a coarse grid looks, as `places`, row by row; None unless `self_attention` was kept."""
        return self.parts.get("grid")

    @property
    def model(self) -> AttentionMaps | None:
        """The same of the model's own attention, before all edits; None unless the capture was at "both"."""
        return self.parts.get("model")

    # Names

    @staticmethod
    def label(word: Asked) -> str:
        """The word as a person reads it: "cat", or "cat (2)" for the second one."""
        return asked.label(word)

    def file_name(self, word: Asked) -> str:
        """The word as a file's name without a suffix, its own among these words (map_names.py)."""
        return file_names([self.label(known) for known in self.words])[self._place(word)]

    # Writing

    def overlay(
        self,
        image: Image.Image,
        *,
        words: Sequence[Asked] | None = None,
        by: Axis | None = None,
        scale: Literal["shared", "each"] = "each",
        title: str = "",
    ) -> Image.Image:
        """The picture with each word's map laid over it, words over them, a colour bar below (figures.contact_sheet).

        The figure is a picture: `.save("fox.png")`, `.save("fox.pdf")`. Raises UnknownName, UnknownWord, BadValue.
        """
        from pipelines.figures import contact_sheet

        return contact_sheet(image, self, words=words, by=by, scale=scale, title=title)

    def save(self, path: str | Path) -> tuple[Path, ...]:
        """Into "maps.npz", whole, for `AttentionMaps.load`; or into a folder, for people and other programs.

        A folder gets a grey PNG and a float32 .npy a word, and maps.json, which says what they are.
        Raises CannotWrite.
        """
        from pipelines.maps_file import save_folder, save_npz

        return (save_npz(self, path),) if Path(path).suffix == ".npz" else save_folder(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> AttentionMaps:
        """Maps that `save` wrote into an .npz. Raises BadValue."""
        from pipelines.maps_file import load_npz

        return load_npz(path)

    def document(self) -> dict[str, object]:
        """What these are, as JSON's types."""
        height, width = self.values.shape[4:]
        return {
            "axes": AXES,
            "words": [self.label(word) for word in self.words],
            "steps": self.steps,
            "times": self.times,
            "layers": self.layers,
            "resolutions": self.resolutions,
            "dtype": "float32",
            "stored": self.dtype,
            "pooling": f"to {height}×{width}: area averages of larger grids, bicubic of smaller ones",
            "measure": self.made.measure,
            "reduce": self.made.reduce,
            "rows": self.made.role,
            "at": self.made.at,
            "edited": self.made.edited,
            "sites": self.made.sites,
            "sigmas": self.made.sigmas,
            "tokens": self.made.tokens,
        }

    # Inside

    def cell(self, place: int, cell: tuple[int, int]) -> float:
        """`self[place]` at one cell (row, column), without decoding the others."""
        row, column = cell
        values = self.values[..., row : row + 1, column : column + 1]
        return float(replace(self, values=values, parts={})[place][0, 0])

    def decoded(self, place: int) -> NDArray[np.float32]:
        """float32 [step, layer, head, y, x] of one word."""
        own: NDArray[np.float32] = self.values[place].astype(np.float32)
        if self.levels is None:
            return own
        levels = self.levels[place]
        low, step = levels[..., 0], levels[..., 1]
        return np.asarray(low[..., None, None] + step[..., None, None] * own, dtype=np.float32)

    def over(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """One word's [step, layer, head, y, x] → [y, x], by the capture's own reduction."""
        counts = np.ones(values.shape[:3]) if self.counts is None else self.counts
        if self.made.reduce == "sum":
            return np.asarray(values.sum(axis=(0, 1, 2)), dtype=np.float32)
        axes = (1, 2) if self.made.reduce == "daam" else (0, 1, 2)
        total = counts.sum(axis=axes, keepdims=True)
        weights = counts / np.maximum(total, 1)
        return np.asarray(np.einsum("slhyx,slh->yx", values, weights), dtype=np.float32)

    def _one(self, axis: str, kept: Sequence[object], wanted: object) -> AttentionMaps:
        if not kept:
            remedy = f'Ask for maps=Capture(…, keep=("{axis}",))' if axis != "time" else "Only Pipeline.look has times"
            raise BadValue(axis, wanted, f"left out, for these maps were not kept by {axis}", remedy)
        if wanted not in kept:
            raise BadValue(axis, wanted, f"one of {', '.join(map(str, kept))}")
        return self._taken(axis, kept.index(wanted))

    def _taken(self, axis: str, place: int) -> AttentionMaps:
        """The maps at one place along an axis; what else there is goes along where it was kept by it too."""
        along = {"step": 0, "time": 0, "layer": 1, "resolution": 1, "head": 2}[axis]
        counts = None if self.counts is None else np.take(self.counts, [place], axis=along)
        kept = slice(place, place + 1)
        return replace(
            self,
            values=np.take(self.values, [place], axis=along + 1),
            levels=None if self.levels is None else np.take(self.levels, [place], axis=along + 1),
            counts=counts,
            steps=self.steps[kept] if axis == "step" else self.steps,
            times=self.times[kept] if axis == "time" else self.times,
            layers=self.layers[kept] if axis == "layer" else self.layers,
            resolutions=self.resolutions[kept] if axis == "resolution" else self.resolutions,
            parts={
                name: part._taken(axis, place) if part.values.shape[along + 1] == self.values.shape[along + 1] else part
                for name, part in self.parts.items()
            },
        )

    def _place(self, word: Asked | int) -> int:
        if isinstance(word, int):
            if not -len(self.words) <= word < len(self.words):
                raise BadValue("word", word, f"a place along the first axis, 0 to {len(self.words) - 1}")
            return word % len(self.words)
        for place, known in enumerate(self.words):
            if asked.same(known, word):
                return place
        named = [self.label(known) for known in self.words]
        if isinstance(word, str) and word in named:  # a probe by its text
            return named.index(word)
        raise UnknownWord(self.label(word), tuple(named), "These are the words whose maps were asked for")


def scaled(values: NDArray[np.float32], between: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """A map from 0 to 1 between its least and greatest value, or two others (the same for several maps)."""
    low, high = (float(values.min()), float(values.max())) if between is None else between
    spread = high - low
    return np.asarray(np.clip((values - low) / spread, 0.0, 1.0) if spread > 0 else 0 * values, dtype=np.float32)
