"""Where words were drawn: attention maps with named axes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.files import write_whole
from pipelines.ledger import Phrase, phrase_parts, word_key
from xattn.errors import BadValue, UnknownName, UnknownWord
from xattn.maps import Reduced

AXES = ("word", "step", "layer", "head", "y", "x")


@dataclass(frozen=True, slots=True)
class Made:
    """How maps were made: see pipelines.capture.Capture, whose words these are. `heads`: most that a layer has."""

    measure: str
    reduce: str
    role: str
    heads: int


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMaps:
    """Maps of one picture's words.

    values: float32 [word, step, layer, head, y, x]; an axis that was not kept has length 1
    words: along the first axis, as they were asked for
    steps, layers: along theirs, empty where they were not kept; steps count from 1, layers are sites' names
    """

    values: NDArray[np.float32]
    words: tuple[Phrase, ...]
    steps: tuple[int, ...]
    layers: tuple[str, ...]
    made: Made

    @classmethod
    def of(cls, words: tuple[Phrase, ...], reduced: Reduced, made: Made) -> AttentionMaps:
        """From xattn's sums of one row: [step, layer, head, 1, word, y, x]."""
        values = reduced.values[:, :, :, 0].movedim(3, 0).cpu().numpy()
        steps = tuple(int(str(step)) + 1 for step in reduced.steps)
        return cls(np.ascontiguousarray(values), words, steps, tuple(str(layer) for layer in reduced.layers), made)

    def __getitem__(self, word: Phrase) -> NDArray[np.float32]:
        """The word's map [y, x], the mean over steps, layers and heads. Raises UnknownWord."""
        return np.asarray(self.values[self._place(word)].mean(axis=(0, 1, 2)), dtype=np.float32)

    def at(self, *, step: int | None = None, layer: str | None = None, head: int | None = None) -> AttentionMaps:
        """The maps of one step (counted from 1), layer (a site's name, or the end of one) or head (from 0).

        Raises BadValue or UnknownName for one that was not kept, with the remedy.
        """
        maps = self
        if step is not None:
            maps = maps._one("step", self.steps, step)
        if layer is not None:
            whole = [name for name in self.layers if name == layer or name.endswith(f".{layer}")]
            if self.layers and len(whole) != 1:
                raise UnknownName("layer", layer, self.layers)
            maps = maps._one("layer", self.layers, whole[0] if whole else layer)
        if head is not None:
            kept = tuple(range(self.values.shape[3])) if self.values.shape[3] > 1 or self.made.heads == 1 else ()
            maps = maps._one("head", kept, head)
        return maps

    def _one(self, axis: str, kept: tuple[object, ...], wanted: object) -> AttentionMaps:
        if not kept:
            remedy = f'Ask for maps=Capture(…, keep=("{axis}",))'
            raise BadValue(axis, wanted, f"left out, for these maps were not kept by {axis}", remedy)
        if wanted not in kept:
            raise BadValue(axis, wanted, f"one of {', '.join(map(str, kept))}")
        place = kept.index(wanted)
        values = np.take(self.values, [place], axis=AXES.index(axis))
        return replace(
            self,
            values=values,
            steps=self.steps[place : place + 1] if axis == "step" else self.steps,
            layers=self.layers[place : place + 1] if axis == "layer" else self.layers,
        )

    def _place(self, word: Phrase) -> int:
        text, occurrence = phrase_parts(word)
        for place, known in enumerate(self.words):
            known_text, known_occurrence = phrase_parts(known)
            if (word_key(known_text), known_occurrence) == (word_key(text), occurrence):
                return place
        listed = tuple(self.label(known) for known in self.words)
        raise UnknownWord(text, listed, "These are the words whose maps were asked for")

    @staticmethod
    def label(word: Phrase) -> str:
        """The word as a person reads it: "cat", or "cat (2)" for the second one."""
        text, occurrence = phrase_parts(word)
        return text if occurrence == 1 else f"{text} ({occurrence})"

    def file_name(self, word: Phrase) -> str:
        """The word as a file's name without a suffix, its own among these words."""
        return re.sub(r"[^\w]+", "-", self.label(word)).strip("-") or f"word-{self._place(word) + 1}"

    def to_numpy(self) -> NDArray[np.float32]:
        """`values`, a copy: [word, step, layer, head, y, x]."""
        return self.values.copy()

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write a grey PNG and a float32 .npy a word, and maps.json, which says what they are. Raises CannotWrite."""
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        written = []
        for place, word in enumerate(self.words):
            name = self.file_name(word)
            target = root / f"{name}.npy"
            written += [
                write_whole(target, _npy(self.values[place])),
                write_whole(root / f"{name}.png", self._png(word)),
            ]
        about = {
            "axes": AXES[1:],
            "words": [self.label(word) for word in self.words],
            "steps": self.steps,
            "layers": self.layers,
            "dtype": "float32",
            "measure": self.made.measure,
            "reduce": self.made.reduce,
            "rows": self.made.role,
        }
        written.append(write_whole(root / "maps.json", json.dumps(about, ensure_ascii=False, indent=1).encode()))
        return tuple(written)

    def _png(self, word: Phrase) -> bytes:
        import io

        grey = np.rint(255 * scaled(self[word])).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, format="PNG")
        return buffer.getvalue()


def scaled(values: NDArray[np.float32], between: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """A map from 0 to 1 between its least and greatest value, or two others (the same for several maps)."""
    low, high = (float(values.min()), float(values.max())) if between is None else between
    spread = high - low
    return np.asarray(np.clip((values - low) / spread, 0.0, 1.0) if spread > 0 else 0 * values, dtype=np.float32)


def _npy(values: NDArray[np.float32]) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()
