"""What can go wrong, in one tree. Each message is a sentence: what was given, what is expected, the remedy.

ValueError
└── XattnError              the caller's mistake, told before any denoising
    ├── BadValue            a parameter of the wrong type, range or form
    │   ├── UnknownName     a name that is not in a list: scheduler, backend, dtype, model
    │   └── UnknownWord     a word that is not in the prompt
    ├── BadModel            a folder or file that is no usable model
    ├── Unsupported         a backend, model or machine that cannot do what is asked, and why
    ├── Conflict            two edits that cannot both hold
    ├── NonFinite           latents that are not numbers any more (found before decoding)
    └── CannotWrite         an output that cannot be written
Exception
└── Cancelled               the caller asked a run to stop; not a mistake
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class XattnError(ValueError):
    """The caller's mistake. `str(error)` is meant to be read by a person."""


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _suggestion(word: str, known: Iterable[str]) -> str:
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.55)
    if not near and len(word) > 3:  # "steps" is far from num_inference_steps by letters, and part of it
        near = [name for name in lowered if word.lower() in name]
    return f' Did you mean "{lowered[near[0]]}"?' if near else ""


class BadValue(XattnError):
    """A parameter of the wrong type, range or form.

    `parameter` is its name, `got` what was given, `expected` what would do, `remedy` an optional last sentence.
    """

    def __init__(self, parameter: str, got: object, expected: str, remedy: str = "") -> None:
        self.parameter, self.got, self.expected, self.remedy = parameter, got, expected, remedy
        given = "empty" if got == "" else repr(got)
        message = _sentence(f"{parameter} is {given}, but it must be {expected}")
        super().__init__(f"{message} {_sentence(remedy)}" if remedy else message)


class UnknownName(BadValue):
    """A name that is not in a list. `kind` says of what ("scheduler"), `known` are the names that are.

    meant: the one that is most likely meant, where that is not the nearest by its letters
    """

    def __init__(self, kind: str, got: object, known: Sequence[str], remedy: str = "", *, meant: str = "") -> None:
        self.parameter, self.got, self.known, self.remedy = kind, got, tuple(known), remedy
        self.expected = f"one of: {', '.join(known)}"
        hint = _suggestion(got, known) if isinstance(got, str) else ""
        hint = f' Did you mean "{meant}"?' if meant else hint
        message = f"There is no {kind} {_quoted(got)}. Known: {', '.join(known)}.{hint}"
        XattnError.__init__(self, f"{message} {_sentence(remedy)}" if remedy else message)


class UnknownWord(BadValue):
    """A word or phrase that is not in the prompt; `words` are those that are. `whose`: which prompt that is."""

    def __init__(self, word: str, words: Sequence[str], remedy: str = "", *, whose: str = "prompt") -> None:
        self.parameter, self.got, self.words, self.remedy = "word", word, tuple(words), remedy
        self.expected = "a word of the prompt"
        listed = f"Its words are: {', '.join(words)}." if words else "It has no words."
        message = f"The {whose} has no word {_quoted(word)}. {listed}{_suggestion(word, words)}"
        XattnError.__init__(self, f"{message} {_sentence(remedy)}" if remedy else message)


def _quoted(got: object) -> str:
    return f'"{got}"' if isinstance(got, str) else repr(got)


class BadModel(XattnError):
    """A folder or file that is no usable model."""


class Unsupported(XattnError):
    """What is asked is sound, but this backend, model or machine cannot do it; the message says why."""


class Conflict(XattnError):
    """Two parts of a program, or two edits, that cannot both hold."""


class NonFinite(XattnError):
    """The latents hold NaN or infinity, so there is no picture to decode."""


class CannotWrite(XattnError):
    """An output that cannot be written; nothing is left behind."""

    def __init__(self, path: object, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(_sentence(f"Cannot write {str(path)!r}: {why}"))


class Cancelled(Exception):
    """The run was asked to stop and did, between two steps."""
