"""The words that a small model has learned, and a kind notice about those it has not."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipelines.ledger import Ledger, keys, word_key
from xattn.errors import BadModel

FILE = "vocabulary.json"


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
class Vocabulary:
    """Names by kind, in the file's order: `kinds["object"]` holds "fox" and "ice cream"."""

    kinds: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self | None:
        """Read a model folder's `vocabulary.json`; None where it has none, for most models know no bounds.

        Raises BadModel where the file is there and is not of the form
        `{"version": 1, "kinds": {"object": ["fox", …], …}}`.
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
                    return cls({kind: tuple(names) for kind, names in kinds.items()})
            case {"version": version} if version != 1:
                raise BadModel(f"{path} is of version {version!r}, but only version 1 is known here.")
        raise BadModel(f'{path} must look like {{"version": 1, "kinds": {{"object": ["fox", "ice cream"]}}}}.')

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
        phrases = {keys(name) for name in self.names}
        longest = max(map(len, phrases), default=0)
        words = tuple(word_key(word.text) for word in ledger.words)
        notices: dict[str, UnknownNotice] = {}
        index = 0
        while index < len(words):
            taken = next((n for n in range(longest, 0, -1) if words[index : index + n] in phrases), 0)
            if not taken and words[index] not in notices:
                notices[words[index]] = UnknownNotice(ledger.words[index].text, self._nearest(words[index]))
            index += taken or 1
        return tuple(notices.values())

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
