"""Fields by dotted path, such as `edits.0.scale`: how sweeps and the columns of a table name what lies deep."""

from __future__ import annotations

from collections.abc import Mapping

from xattn.errors import BadValue


def assign(document: dict[str, object], path: str, value: object, *, grow: bool = False) -> None:
    """Set a field of a document in place, along objects by name and along lists by number.

    grow: whether a list may get longer by one, as where a table's columns spell it out.
    Raises BadValue where the path leads nowhere.
    """
    steps = path.split(".")
    if not all(steps):
        raise BadValue("field", path, "a name such as guidance_scale, or a path such as edits.0.scale")
    place: object = document
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        following: object = value if last else [] if steps[depth + 1].isdecimal() else {}
        if isinstance(place, dict):
            if last or not isinstance(place.get(step), dict | list):
                _check_replaceable(place.get(step), path, last)
                place[step] = following
            place = place[step]
        elif isinstance(place, list):
            number = _number(step, path)
            if number == len(place) and grow:
                place.append(following)
            elif number >= len(place):
                where = ".".join(steps[:depth])
                raise BadValue("field", path, f"a path to what the row has; {where} has {len(place)} entries")
            elif last:
                place[number] = value
            place = place[number]


def _check_replaceable(there: object, path: str, last: bool) -> None:
    if not last and there is not None:
        raise BadValue("field", path, f"a path along objects and lists; {there!r} is neither")


def _number(step: str, path: str) -> int:
    if not step.isdecimal():
        raise BadValue("field", path, f"a path with a number where there is a list, not {step!r}")
    return int(step)


def lookup(document: Mapping[str, object], path: str) -> object:
    """What a path leads to; None where it leads nowhere."""
    place: object = document
    for step in path.split("."):
        if isinstance(place, Mapping):
            place = place.get(step)
        elif isinstance(place, list) and step.isdecimal() and int(step) < len(place):
            place = place[int(step)]
        else:
            return None
    return place


def flattened(value: object, path: str = "") -> dict[str, object]:
    """Every leaf of a document by its path; an empty object or list is a leaf."""
    inner: list[tuple[str, object]] = []
    if isinstance(value, Mapping):
        inner = [(str(name), one) for name, one in value.items()]
    elif isinstance(value, list):
        inner = [(str(number), one) for number, one in enumerate(value)]
    if not inner:
        return {path: value}
    made: dict[str, object] = {}
    for name, one in inner:
        made |= flattened(one, f"{path}.{name}" if path else name)
    return made
