"""The words that a small model has learned, and a kind notice about those it has not."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

from pipelines.ledger import Ledger, keys, word_key
from xattn.errors import BadModel

FILE = "vocabulary.json"
COLORABLE, TINT = "colorable", "tint"
"""Two lists beside the kinds, which name words of kinds again: objects that training coloured, and in which colours."""
_APART = re.compile(r"[,;!?\n|]|\.\s")
"""What between two words says that the first does not describe the second."""


@dataclass(frozen=True, slots=True)
class UnknownNotice:
    """A word of the prompt that the model never saw, and up to three that it did, the nearest first."""

    word: str
    nearest: tuple[str, ...]

    def __str__(self) -> str:
        if not self.nearest:
            return f'This model does not know "{self.word}".'
        return f'This model does not know "{self.word}". Nearest: {", ".join(self.nearest)}.'


@dataclass(frozen=True, slots=True)
class ColorNotice:
    """A colour right before an object that training never showed in that colour.

    word: where the colour stands in the ledger's words; color, name: as the vocabulary spells them
    instead: what may be said: colours of this object, or where it has none, objects that may be coloured
    colorable: which of the two
    """

    word: int
    color: str
    name: str
    instead: tuple[str, ...]
    colorable: bool

    def __str__(self) -> str:
        said = ", ".join(self.instead)
        if self.colorable:
            return f'This model never saw "{self.name}" in {self.color}. It knows it in: {said}.'
        return f'This model knows "{self.name}" in its own colours only. Things it knows in others: {said}.'


class _Stretch(NamedTuple):
    """Words of a ledger, `first` to `last`, that are one name, by its key; or one unknown word."""

    name: tuple[str, ...] | None
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names by kind, in the file's order: `kinds["object"]` holds "fox" and "ice cream".

    colorable: objects that training showed in colours that captions name; tints: those colours. Both are names of
        `kinds` once more; empty where a model knows objects in their own colours only.
    """

    kinds: Mapping[str, tuple[str, ...]]
    colorable: tuple[str, ...] = ()
    tints: tuple[str, ...] = ()

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self | None:
        """Read a model folder's `vocabulary.json`; None where it has none, for most models know no bounds.

        Raises BadModel where the file is there and is not of the form
        `{"version": 1, "kinds": {"object": ["fox", …], …}}`. Among its kinds, "colorable" and "tint" are no kinds of
        their own: they name objects and colours again, and go into fields of their own.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError) as problem:
            raise BadModel(f"{path} is no readable JSON. Copy that file again.") from problem
        match raw:
            case {"version": 1, "kinds": dict(kinds)}:
                if all(isinstance(names, list) and all(map(_is_name, names)) for names in kinds.values()):
                    return cls._of({kind: tuple(names) for kind, names in kinds.items()}, path)
            case {"version": version} if version != 1:
                raise BadModel(f"{path} is of version {version!r}, but only version 1 is known here.")
        raise BadModel(f'{path} must look like {{"version": 1, "kinds": {{"object": ["fox", "ice cream"]}}}}.')

    @classmethod
    def _of(cls, kinds: dict[str, tuple[str, ...]], path: Path) -> Self:
        again = {COLORABLE: kinds.pop(COLORABLE, ()), TINT: kinds.pop(TINT, ())}
        made = cls(kinds, again[COLORABLE], again[TINT])
        for name, kind in ((COLORABLE, "object"), (TINT, "color")):
            known = set(map(keys, kinds.get(kind, ())))
            strange = next((one for one in again[name] if keys(one) not in known), None)
            if strange is not None:
                raise BadModel(f'{path} lists {strange!r} as "{name}", but not as "{kind}". Copy that file again.')
        return made

    @property
    def names(self) -> tuple[str, ...]:
        """All names of all kinds, each once."""
        return tuple(dict.fromkeys(name for names in self.kinds.values() for name in names))

    def kind(self, name: str) -> str | None:
        """The kind of a name, whatever its case; None where it is not known. The first kind wins."""
        wanted = keys(name)
        return next((kind for kind, names in self.kinds.items() if any(keys(known) == wanted for known in names)), None)

    def unknown(self, ledger: Ledger) -> tuple[UnknownNotice, ...]:
        """A notice for each word of the prompt that is in no name, each once, in reading order.

        Names are matched greedily, the longest first: in "hot dog dog" the first two words are one name, and
        "hot" alone is unknown where only "hot dog" is known.
        """
        notices: dict[str, UnknownNotice] = {}
        for stretch in self._read(ledger):
            text = ledger.words[stretch.first].text
            if stretch.name is None and word_key(text) not in notices:
                notices[word_key(text)] = UnknownNotice(text, self._nearest(word_key(text)))
        return tuple(notices.values())

    def miscolored(self, ledger: Ledger) -> tuple[ColorNotice, ...]:
        """A notice for each colour right before an object that training never showed so, in reading order.

        None where the model lists no objects that may be coloured: then nothing is known about it.
        """
        if not self.colorable:
            return ()
        colors, objects = self._by_key("color"), self._by_key("object")
        colorable, tints = set(map(keys, self.colorable)), set(map(keys, self.tints))
        notices: list[ColorNotice] = []
        for one, other in pairwise(self._read(ledger)):
            color, name = colors.get(one.name or ()), objects.get(other.name or ())
            between = ledger.prompt[ledger.words[one.last].end : ledger.words[other.first].start]
            if color is None or name is None or _APART.search(between):
                continue
            can = other.name in colorable
            if not can or one.name not in tints:
                notices.append(ColorNotice(one.first, color, name, self.tints if can else self.colorable, can))
        return tuple(notices)

    def _by_key(self, kind: str) -> dict[tuple[str, ...], str]:
        return {keys(name): name for name in self.kinds.get(kind, ())}

    def _read(self, ledger: Ledger) -> list[_Stretch]:
        """The ledger's words by known names."""
        phrases = {keys(name) for name in self.names}
        longest = max(map(len, phrases), default=0)
        words = tuple(word_key(word.text) for word in ledger.words)
        read: list[_Stretch] = []
        index = 0
        while index < len(words):
            taken = next((n for n in range(longest, 0, -1) if words[index : index + n] in phrases), 0)
            read.append(_Stretch(words[index : index + taken] or None, index, index + max(taken, 1) - 1))
            index += taken or 1
        return read

    def _nearest(self, word: str) -> tuple[str, ...]:
        # by whole name and by its parts, so that "creme" finds "ice cream"
        spellings: dict[str, list[str]] = {}
        for name in self.names:
            for spelling in {" ".join(keys(name)), *keys(name)}:
                spellings.setdefault(spelling, []).append(name)
        near = difflib.get_close_matches(word, spellings, n=3, cutoff=0.55)
        return tuple(dict.fromkeys(name for spelling in near for name in spellings[spelling]))[:3]


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(keys(name))
