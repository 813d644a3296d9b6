"""Edits as JSON: {"kind": "reweight", "word": "fox", "scale": 2.0, "window": {"steps": [0.0, 0.8]}}.

What is at its default is left out, so a new field with a default leaves the hashes of old recipes as they were. Tuples
are lists; a Shape tells itself apart by its keys (values.py). Knows no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pipelines.assets import Asset
from pipelines.techniques.edit import Edit
from pipelines.techniques.values import Box, WordMap, shape_from
from pipelines.techniques.window import Window
from xattn.errors import BadValue, UnknownName

NESTED = "nested"
"""Key of a field's metadata: the dataclass that JSON objects in it are."""


def edit_document(edit: Edit, *, identity: bool = False) -> dict[str, object]:
    """JSON's types. identity: of an asset only the sha256."""
    return {"kind": edit.kind} | _document(edit, identity)


def _document(value: Any, identity: bool) -> dict[str, object]:
    made: dict[str, object] = {}
    for field in fields(value):
        own = getattr(value, field.name)
        if field.default is MISSING or own != field.default:
            made[field.name] = _written(own, identity)
    return made


def _written(value: Any, identity: bool) -> object:
    if isinstance(value, Asset):
        return {"sha256": value.sha256} if identity else value.document()
    if isinstance(value, Box | WordMap):
        return value.document()
    if isinstance(value, tuple):
        return [_written(one, identity) for one in value]
    return _document(value, identity) if is_dataclass(value) else value


def read_edits(document: object, techniques: Sequence[type[Edit]]) -> tuple[Edit, ...]:
    """Back from a list of `edit_document`s. Raises BadValue, UnknownName."""
    if not isinstance(document, list | tuple):
        raise BadValue("edits", document, 'a list of objects such as {"kind": "reweight", "word": "fox", "scale": 2}')
    return tuple(_edit(one, techniques) for one in document)


def _edit(document: object, techniques: Sequence[type[Edit]]) -> Edit:
    if not isinstance(document, Mapping) or "kind" not in document:
        raise BadValue("edits", document, 'objects such as {"kind": "reweight", "word": "fox", "scale": 2}')
    known = {technique.kind: technique for technique in techniques}
    kind = document["kind"]
    if not isinstance(kind, str) or kind not in known:
        raise UnknownName("kind of edit", str(kind)[:60], tuple(known))
    rest = {name: value for name, value in document.items() if name != "kind"}
    made: Edit = _made(known[kind], rest, str(kind))
    return made


def _made(cls: Any, document: Mapping[str, object], called: str) -> Any:
    known = {field.name: field for field in fields(cls)}
    for name in document:
        if name not in known:
            raise UnknownName(f"{called} field", name, tuple(known))
    for name, field in known.items():
        if field.default is MISSING and name not in document:
            raise BadValue(f"{called}.{name}", None, "given")
    values = {
        name: _read(value, Window if name == "window" else known[name].metadata.get(NESTED), f"{called}.{name}")
        for name, value in document.items()
    }
    return cls(**values)


def _read(value: object, nested: Any, called: str) -> object:
    if isinstance(value, list | tuple):
        return tuple(_read(one, nested, called) for one in value)
    if isinstance(value, Mapping):
        if nested is not None:
            return _made(nested, value, called)
        shape = shape_from(value)
        if shape is None:
            raise BadValue(called, dict(value), 'a place: an asset, {"box": […]} or {"word_map": "cat"}')
        return shape
    return value
