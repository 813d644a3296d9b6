"""Words as names of files: each contains its word, as far as any system's files can, and is its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MOST_BYTES = 120
"""Systems allow 255 a name, of which suffixes and a temporary file's marks take some."""
_TAKEN = re.compile(
    r"con|prn|aux|nul|(com|lpt)[0-9]|picture|sheet|maps|source|(target|place|word)-.*|.*-(overlay|word-[0-9]+)",
    re.IGNORECASE,
)
"""Windows' devices, and what the commands write beside the maps."""


def file_names(labels: Sequence[str]) -> tuple[str, ...]:
    """For each word, as a person reads it, a name without a suffix: letters, digits and signs such as emoji, what else
    there is a hyphen; cut where it is long. A word without any, or whose name another has or that is taken, has its
    number in it. Names differ also where a system takes A for a."""
    made: list[str] = []
    known: set[str] = set()
    for number, label in enumerate(labels, 1):
        name = _cut("".join(_kept(sign) for sign in unicodedata.normalize("NFC", label)))
        if _TAKEN.fullmatch(name):
            name = f"word-{name}"
        if not name or name.casefold() in known:
            name = f"{name}-word-{number}" if name else f"word-{number}"
        known.add(name.casefold())
        made.append(name)
    return tuple(made)


def _kept(sign: str) -> str:
    return sign if sign == "_" or unicodedata.category(sign)[0] in "LMN" or unicodedata.category(sign) == "So" else "-"


def _cut(name: str) -> str:
    short = re.sub("-+", "-", name).strip("-").encode()[:MOST_BYTES].decode(errors="ignore")
    return short.strip("-")
