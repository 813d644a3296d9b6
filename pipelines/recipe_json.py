"""JSON of recipes: one canonical text for one value, and old versions brought up to date.

Canonical: keys sorted, no blanks, defaults left out, text as UTF-8 and not as escapes, floats as Python's shortest
that reads back equal (the same since 3.1), no NaN or infinity. So equal recipes give equal text and equal hashes in
every process, and a new field with a default leaves the hashes of old recipes as they were.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from xattn.errors import BadValue

Document = Mapping[str, object]
Migration = Callable[[dict[str, Any]], dict[str, Any]]

VERSION = 1
# MIGRATIONS[n] turns a document of version n into one of version n + 1. It sees one recipe at a time: a `source`
# inside has its own version. Raise VERSION when a field is renamed, removed or means something else; a new field with
# a default needs neither.
MIGRATIONS: Mapping[int, Migration] = MappingProxyType({})


def canonical(document: Document) -> str:
    """The one text for a document of JSON's types. Raises ValueError on NaN or infinity."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse(text: str | bytes) -> dict[str, Any]:
    """A JSON object from text. Raises BadValue on anything else, and on keys given twice, NaN and infinity."""
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        document = json.loads(decoded, object_pairs_hook=_once, parse_constant=_no_constant)
    except BadValue:
        raise
    except UnicodeDecodeError as error:
        raise BadValue("recipe", "not UTF-8", "JSON in UTF-8", "Save the file again as UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadValue("recipe", _shortened(decoded), f"a JSON object; at {where}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # digits without end, brackets without end
        raise BadValue("recipe", _shortened(decoded), f"a JSON object of a sensible size ({error})") from error
    if not isinstance(document, dict):
        raise BadValue("recipe", _shortened(decoded), 'a JSON object such as {"prompt": "a fox"}')
    return document


def upgrade(
    document: Document, version: int = VERSION, migrations: Mapping[int, Migration] = MIGRATIONS
) -> dict[str, Any]:
    """The document as `version` writes it, without its "version". Raises BadValue.

    A document without a version is taken as the present one: people write {"prompt": "a fox"} by hand.
    """
    rest = dict(document)
    given = rest.pop("version", version)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise BadValue("version", given, f"a whole number from 1 to {version}")
    if given > version:
        raise BadValue(
            "version", given, f"{version} or lower", "The recipe was made by a newer xattn; install that version"
        )
    for step in range(given, version):
        rest = migrations[step](rest)
    return rest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValue("recipe", f"one with {twice!r} twice", "JSON that gives each field once")
    return made


def _no_constant(name: str) -> float:
    raise BadValue("recipe", f"one with {name}", "JSON with finite numbers only")


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
