"""Read a parsed JSON object key by key, with one sentence for each thing that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard, TypeVar, overload

from xattn.errors import BadModel

Choice = TypeVar("Choice", bound=object)
Depths = tuple[int | tuple[int, ...], ...]


class Reading:
    """One pass over a config: each method takes a key, and `finish` refuses what nobody took.

    Every method raises BadModel naming the key, what it holds and what it may hold.
    """

    def __init__(self, json: Mapping[str, object]) -> None:
        self._json = json
        self._left = {key for key in json if not key.startswith("_")}

    def bad(self, key: str, expected: str) -> BadModel:
        """The error for `key`, to be raised by the caller."""
        return BadModel(f"{key} is {self._json.get(key)!r}, but it must be {expected}.")

    def _take(self, key: str, default: object) -> object:
        self._left.discard(key)
        return self._json.get(key, default)

    def notes(self, *, _class_name: str) -> None:
        """The class that diffusers noted, if it did, must be `_class_name`."""
        if self._json.get("_class_name", _class_name) != _class_name:
            raise self.bad("_class_name", f"{_class_name!r}; this folder holds another kind of model")

    def off(self, features: Mapping[str, tuple[object, ...]]) -> None:
        """Features that are not implemented may only have a value that switches them off."""
        for key, accepted in features.items():
            if self._take(key, accepted[0]) not in accepted:
                raise self.bad(key, f"{accepted[0]!r}, for this UNet implements nothing else")

    def without_effect(self, keys: tuple[str, ...]) -> None:
        """Keys that change nothing while the features of `off` are off."""
        self._left.difference_update(keys)

    def all_false(self, key: str) -> None:
        """A switch, or a list of switches, that must be off."""
        value = self._take(key, False)
        if value is not None and value is not False and not (isinstance(value, list | tuple) and not any(value)):
            raise self.bad(key, "false, for this UNet implements nothing else")

    def boolean(self, key: str, default: bool) -> bool:
        """A switch."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, "true or false")
        return value

    def integer(self, key: str, default: int) -> int:
        """A count or a width."""
        value = self._take(key, default)
        if not _whole(value):
            raise self.bad(key, "a whole number of at least 1")
        return value

    def integer_or_none(self, key: str) -> int | None:
        """A count or a width that may be left out."""
        return None if self._take(key, None) is None else self.integer(key, 1)

    def odd(self, key: str, default: int) -> int:
        """A convolution's kernel: an even one would change the size of the picture."""
        value = self.integer(key, default)
        if value % 2 == 0:
            raise self.bad(key, "odd")
        return value

    def number(self, key: str, default: float, *, above_zero: bool = False) -> float:
        """A finite number of at least 0."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.bad(key, "a number")
        if value < 0 or (above_zero and value == 0):
            raise self.bad(key, "above 0" if above_zero else "at least 0")
        return float(value)

    def choice(self, key: str, default: Choice, known: tuple[Choice, ...]) -> Choice:
        """One of the `known` values."""
        value = self._take(key, default)
        for name in known:
            if value == name and isinstance(value, bool) == isinstance(name, bool):
                return name
        raise self.bad(key, f"one of {', '.join(map(repr, known))}, which is what this UNet implements")

    def choices(self, key: str, default: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
        """A list of `known` names."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or any(name not in known for name in value):
            raise self.bad(key, f"a list of {' or '.join(map(repr, known))}, which is what this UNet implements")
        return tuple(value)

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of widths."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or not value or not all(_whole(entry) for entry in value):
            raise self.bad(key, "a list of whole numbers of at least 1")
        return tuple(value)

    def per_level(self, key: str, default: int, levels: int) -> tuple[int, ...]:
        """One number for all levels, or one for each."""
        value = self._take(key, default)
        if _whole(value):
            return (value,) * levels
        if isinstance(value, list | tuple) and len(value) == levels and all(_whole(entry) for entry in value):
            return tuple(value)
        raise self.bad(key, f"a whole number of at least 1, or a list of one for each of the {levels} levels")

    def same_everywhere(self, key: str, default: int) -> int:
        """One number, or a list that repeats one number."""
        value = self._take(key, default)
        if isinstance(value, list | tuple) and len(set(value)) == 1:
            value = value[0]
        if not _whole(value):
            raise self.bad(key, "one whole number of at least 1, the same at all levels")
        return value

    def size(self, key: str) -> int | tuple[int, int] | None:
        """The side of the latents, or their height and width."""
        value = self._take(key, None)
        if value is None or _whole(value):
            return value
        if isinstance(value, list | tuple) and len(value) == 2 and all(_whole(side) for side in value):
            return value[0], value[1]
        raise self.bad(key, "null, a side, or [height, width]")

    @overload
    def depths(self, key: str, default: int, levels: int) -> Depths: ...
    @overload
    def depths(self, key: str, default: None, levels: int) -> Depths | None: ...
    def depths(self, key: str, default: int | None, levels: int) -> Depths | None:
        """A number for all levels, or for each level a number or a list of one for each of its layers."""
        value = self._take(key, default)
        if value is None and default is None:
            return None
        if _whole(value, least=0):
            return (value,) * levels
        if isinstance(value, list | tuple) and len(value) == levels and all(map(_is_depth, value)):
            return tuple(entry if isinstance(entry, int) else tuple(entry) for entry in value)
        raise self.bad(key, f"a whole number, or a list of {levels}: for each level a number or one for each layer")

    def finish(self) -> None:
        """Raise BadModel if a key was never taken: what it asks for would silently not happen."""
        if self._left:
            key = min(self._left)
            raise BadModel(
                f"{key} ({self._json[key]!r}) is no setting that this UNet knows; "
                "remove it if it does not change the network."
            )


def _is_depth(value: object) -> bool:
    entries = value if isinstance(value, list | tuple) and value else (value,)
    return all(_whole(entry, least=0) for entry in entries)


def _whole(value: object, least: int = 1) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
