"""What the viewer is handed: values that become the JSON that README.md beside this file describes."""

from __future__ import annotations

import base64
import gzip
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xattn.errors import BadValue

Mode = Literal["look", "words", "paint", "regions", "compare"]
TokenRole = Literal["word", "start", "end"]
Json = dict[str, Any]
"""What json.dumps takes: the far side of this is JavaScript."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
MODES: tuple[Mode, ...] = ("look", "words", "paint", "regions", "compare")


def _checked_color(color: str) -> None:
    if not _COLOR.fullmatch(color):
        raise BadValue("color", color, 'written "#rrggbb"')


@dataclass(frozen=True, slots=True)
class Word:
    """A word or phrase whose map is at its place along the maps' first axis, and its colour "#rrggbb"."""

    text: str
    color: str

    def __post_init__(self) -> None:
        _checked_color(self.color)

    def to_json(self) -> Json:
        """As the browser reads it."""
        return {"text": self.text, "color": self.color}


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the prompt as it is written, and the index of the word it is; None cannot be clicked."""

    text: str
    word: int | None = None

    def to_json(self) -> Json:
        """As the browser reads it."""
        return {"text": self.text} if self.word is None else {"text": self.text, "word": self.word}


@dataclass(frozen=True, slots=True)
class Layer:
    """An attention site: its full name, what a person reads, its own grid (height, width), and its heads."""

    name: str
    label: str
    grid: tuple[int, int]
    heads: int

    def to_json(self) -> Json:
        """As the browser reads it."""
        return {"name": self.name, "label": self.label, "grid": list(self.grid), "heads": self.heads}


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Maps of every word along some axes: a value is `bytes / 255 * scale`.

    bytes: uint8 [word, step, layer, head, y, x]; an axis that was averaged has length 1 and no labels
    scale: one a word, or one a slice in C order of (word, step, layer, head)
    steps, layers, heads: labels along their axes, empty where averaged; steps count from 1, heads from 0
    lengths: float32 [word, layer, head] of each word's value: a share times it is what the word adds
    Raises BadValue where these do not fit.
    """

    bytes: NDArray[np.uint8]
    scale: tuple[float, ...]
    steps: tuple[int, ...] = ()
    layers: tuple[Layer, ...] = ()
    heads: tuple[int, ...] = ()
    lengths: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.bytes.ndim != 6 or self.bytes.dtype != np.uint8 or 0 in self.bytes.shape:
            got = f"{self.bytes.dtype}{list(self.bytes.shape)}"
            raise BadValue("bytes", got, "uint8 [word, step, layer, head, y, x], none of them empty")
        shape = self.bytes.shape
        for name, labels, length in (
            ("steps", self.steps, shape[1]),
            ("layers", self.layers, shape[2]),
            ("heads", self.heads, shape[3]),
        ):
            if len(labels) != length and not (length == 1 and not labels):
                raise BadValue(name, labels, f"{length} labels, or none where the axis was averaged to length 1")
        if len(self.scale) not in (shape[0], int(np.prod(shape[:4]))):
            raise BadValue("scale", f"{len(self.scale)} numbers", f"one a word ({shape[0]}) or one a slice")
        if self.lengths is not None and self.lengths.shape != (shape[0], *shape[2:4]):
            raise BadValue("lengths", list(self.lengths.shape), f"[word, layer, head], {[shape[0], *shape[2:4]]}")

    def to_json(self, *, compress: bool = False) -> Json:
        """As the browser reads it; `compress` gzips the bytes (smaller on disk, a little slower to show)."""
        raw = np.ascontiguousarray(self.bytes).tobytes()
        # mtime: the same maps make the same page
        packed = gzip.compress(raw, 9, mtime=0) if compress else raw
        told: Json = {} if self.lengths is None else {"lengths": [float(f"{one:.4g}") for one in self.lengths.ravel()]}
        return {
            "shape": list(self.bytes.shape),
            "data": base64.b64encode(packed).decode(),
            "encoding": "gzip" if compress else "raw",
            "scale": [float(f"{value:.5g}") for value in self.scale],
            "steps": list(self.steps),
            "layers": [layer.to_json() for layer in self.layers],
            "heads": list(self.heads),
            **told,
        }


@dataclass(frozen=True, slots=True)
class PlaceToken:
    """What a place asked of one token.

    score: the product of query and key, scaled, before softmax; share: after it, of 1; output: the length of what it
    added, share · value. A stage whose numbers are None is not told.
    """

    text: str
    share: float
    word: int | None = None
    score: float | None = None
    output: float | None = None
    role: TokenRole = "word"

    def to_json(self) -> Json:
        """As the browser reads it."""
        told: Json = {"text": self.text, "share": self.share, "role": self.role}
        for name, value in (("word", self.word), ("score", self.score), ("output", self.output)):
            if value is not None:
                told[name] = value
        return told


@dataclass(frozen=True, slots=True, eq=False)
class PlaceAnswer:
    """The answer to a click at (x, y), fractions of the picture from its upper left.

    looks: [y, x] of 0 and more, where self-attention looks from there; None leaves it out
    """

    x: float
    y: float
    tokens: tuple[PlaceToken, ...]
    note: str = ""
    looks: NDArray[np.float32] | None = None

    def to_json(self) -> Json:
        """As the browser reads it."""
        told: Json = {"x": self.x, "y": self.y, "tokens": [token.to_json() for token in self.tokens]}
        if self.note:
            told["note"] = self.note
        if self.looks is not None:
            top = float(self.looks.max()) or 1.0
            small = np.rint(np.clip(self.looks / top, 0, 1) * 255).astype(np.uint8)
            told["looks"] = {
                "shape": list(small.shape),
                "data": base64.b64encode(small.tobytes()).decode(),
                "scale": top,
            }
        return told


@dataclass(frozen=True, slots=True)
class Region:
    """A box with a prompt of its own; sides are fractions of the picture from its upper left."""

    id: str
    left: float
    top: float
    right: float
    bottom: float
    prompt: str = ""
    color: str = "#f66754"

    def __post_init__(self) -> None:
        _checked_color(self.color)
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            box = (self.left, self.top, self.right, self.bottom)
            raise BadValue("region", box, "left < right and top < bottom, fractions from 0 to 1")

    def to_json(self) -> Json:
        """As the browser reads it."""
        return {name: getattr(self, name) for name in self.__slots__}
