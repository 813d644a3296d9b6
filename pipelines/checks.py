"""Checks of single values, each answering with a sentence: what was given, what is expected, the remedy."""

from __future__ import annotations

import re
from numbers import Integral, Real
from typing import TypeVar

from xattn.errors import BadValue

MAX_STEPS = 1000
"""Of a pass: a diffusion model is trained on as many, and no scheduler takes more."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


Given = TypeVar("Given")


def filled(parameter: str, value: Given | None) -> Given:
    """A field that a resolved recipe has. Raises BadValue where it is still open."""
    if value is None:
        raise BadValue(parameter, None, "filled in", "Resolve the recipe first: pipe.resolve(recipe)")
    return value


def shown(value: object) -> object:
    """`value` as a message may show it: Python refuses to print whole numbers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a whole number of {value.bit_length()} bits"
    return value


def flag(parameter: str, value: object) -> None:
    """Raise BadValue for what is neither True nor False."""
    if not isinstance(value, bool):
        raise BadValue(parameter, value, "True or False")


def whole(parameter: str, value: object, low: int, high: int, remedy: str = "") -> int:
    """`value` as an int from `low` to `high`, both allowed. Raises BadValue; True and 3.0 are no whole numbers."""
    # bool is an int in Python, but nobody means seed=True
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise BadValue(parameter, shown(value), f"a whole number from {low} to {high}", remedy)
    return int(value)


def number(parameter: str, value: object, low: float, high: float, remedy: str = "") -> float:
    """`value` as a finite float from `low` to `high`, both allowed. Raises BadValue."""
    expected = f"a number from {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise BadValue(parameter, shown(value), expected, remedy)
    try:
        made = float(value)
    except OverflowError as error:
        raise BadValue(parameter, shown(value), expected, remedy) from error
    if not low <= made <= high:  # NaN neither
        raise BadValue(parameter, shown(value), expected, remedy)
    return made + 0.0  # -0.0 becomes 0.0: equal values must be written alike, or their hashes differ


def text(parameter: str, value: object, *, blank: bool = True, remedy: str = "") -> str:
    """`value` as a str that UTF-8 can hold, and not only blanks unless `blank`. Raises BadValue."""
    if not isinstance(value, str):
        raise BadValue(parameter, value, "text", remedy)
    if not blank and not value.strip():
        raise BadValue(parameter, value, "text with at least one word", remedy)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadValue(
            parameter, value, "text that UTF-8 can hold", f"The character at {error.start} is half of a surrogate pair"
        ) from error
    return str(value)


def sha256(parameter: str, value: object) -> str:
    """`value` as 64 lower-case hexadecimal digits. Raises BadValue."""
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise BadValue(parameter, value, "a sha256 as 64 hexadecimal digits in lower case")
    return value
