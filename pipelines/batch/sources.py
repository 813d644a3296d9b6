"""Rows from a file: JSONL, JSON, CSV, TSV, parquet, a text file of prompts, or standard input."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from pipelines import recipe_json
from pipelines.batch.paths import assign
from pipelines.recipe import Recipe
from xattn.errors import BadValue, UnknownName, XattnError

Form = Literal["jsonl", "json", "csv", "tsv", "parquet", "txt"]
_SUFFIXES: Mapping[str, Form] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "txt",
}
# Columns of CSV that are text whatever they look like: a prompt may be "1984", or "[cat]".
_TEXT = ("prompt", "negative_prompt", "scheduler", "sigmas", "noise", "emphasis", "syntax", "init", "mask", "model")


@dataclass(frozen=True, slots=True)
class Raw:
    """One row as it stands in the file.

    number: which row, from 1; line: where, from 1 (in a parquet file the row again)
    document: its fields; empty where `problem` says why it is none
    """

    number: int
    line: int
    document: Mapping[str, object] = field(default_factory=dict, hash=False)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """All rows of one source.

    name: the file's own name, without folders; "-" is standard input
    folder: what paths in rows start from
    sha256: of its bytes
    """

    name: str
    folder: Path
    sha256: str
    rows: tuple[Raw, ...]


def read_source(given: str | Path | Iterable[Recipe | Mapping[str, object] | str], form: str | None = None) -> Source:
    """Every row of a file, of standard input ("-"), or of values in memory: recipes, objects, prompts.

    form: what the file is, where its suffix does not tell. Standard input is told by its first character.
    Raises BadValue, UnknownName where nothing can be read at all; a bad row only has its `problem`.
    """
    if form is not None and form not in get_args(Form):
        raise UnknownName("form", form, get_args(Form))
    if not isinstance(given, str | Path):
        return _from_memory(given)
    if str(given) == "-":
        data = sys.stdin.buffer.read()
        return Source("-", Path(), hashlib.sha256(data).hexdigest(), _rows(data, form or _guessed(data), "-"))
    path = Path(given)
    known = form or _SUFFIXES.get(path.suffix.lower())
    if known is None:
        raise BadValue("file", str(given), f"a file that ends in {', '.join(_SUFFIXES)}", "Or say what it is: --form")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "this is no name of a file").lower()
        raise BadValue("file", str(given), "a file that can be read", f"The system says: {reason}") from error
    return Source(path.name, path.parent, hashlib.sha256(data).hexdigest(), _rows(data, known, path.name))


def _from_memory(given: Iterable[Recipe | Mapping[str, object] | str]) -> Source:
    rows = []
    for number, one in enumerate(given, 1):
        row: object = one
        if isinstance(row, Recipe):
            rows.append(Raw(number, number, row.document()))
        elif isinstance(row, str):
            rows.append(Raw(number, number, {"prompt": row}))
        elif isinstance(row, Mapping):
            rows.append(Raw(number, number, dict(row)))
        else:
            rows.append(Raw(number, number, problem=f"it is a {type(row).__name__}, not a recipe, an object or text"))
    said = json.dumps([dict(row.document) for row in rows], sort_keys=True, default=str)
    return Source("memory", Path(), hashlib.sha256(said.encode()).hexdigest(), tuple(rows))


def _guessed(data: bytes) -> Form:
    first = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if data[:4] == b"PAR1":
        return "parquet"
    return "jsonl" if first == b"{" else "json" if first == b"[" else "txt"


def _rows(data: bytes, form: str, name: str) -> tuple[Raw, ...]:
    if form == "parquet":
        return tuple(_parquet(data, name))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadValue("file", name, "text in UTF-8", f"Line {line} is not; save it again as UTF-8") from error
    if form == "json":
        return tuple(_json(text, name))
    if form in ("csv", "tsv"):
        return tuple(_csv(text, "," if form == "csv" else "\t", name))
    return tuple(_lines(text, prompts=form == "txt"))


def _lines(text: str, *, prompts: bool) -> Iterator[Raw]:
    number = 0
    # only "\n": str.splitlines would also cut at form feeds and at U+2028, which JSON strings may hold
    for line, written in enumerate(text.split("\n"), 1):
        said = written.strip()
        if not said or (prompts and said.startswith("#")):
            continue
        number += 1
        if prompts:
            yield Raw(number, line, {"prompt": said})
            continue
        try:
            yield Raw(number, line, recipe_json.parse(said))
        except XattnError as error:
            yield Raw(number, line, problem=str(error))


def _json(text: str, name: str) -> Iterator[Raw]:
    try:
        made = recipe_json.parse('{"rows":' + text + "}")["rows"]
    except XattnError as error:
        raise BadValue("file", name, "a JSON list of objects", str(error)) from error
    if not isinstance(made, list):
        made = [made]
    for number, document in enumerate(made, 1):
        if isinstance(document, dict):
            yield Raw(number, number, document)
        elif isinstance(document, str):
            yield Raw(number, number, {"prompt": document})
        else:
            yield Raw(number, number, problem=f"it is {json.dumps(document)[:40]}, not an object")


def _csv(text: str, delimiter: str, name: str) -> Iterator[Raw]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
    except csv.Error as error:
        raise BadValue("file", name, "CSV with a line of column names", str(error)) from error
    if not any(header) or len(set(header)) != len(header):
        raise BadValue("file", name, "CSV whose first line names each column once", 'Begin it with "prompt,seed"')
    number = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:  # a quote that never ends: nothing after it can be told apart
            yield Raw(number + 1, line, problem=f"this is no CSV: {error}")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if len(cells) > len(header):
            yield Raw(number, line, problem=f"it has {len(cells)} cells, but there are {len(header)} columns")
            continue
        try:
            yield Raw(number, line, _from_cells(dict(zip(header, cells, strict=False))))
        except XattnError as error:
            yield Raw(number, line, problem=str(error))


def _from_cells(cells: Mapping[str, str]) -> dict[str, object]:
    """A row of text cells as fields; a dotted name is a path, an empty cell is not given."""
    document: dict[str, object] = {}
    for name, cell in cells.items():
        if cell.strip():
            assign(document, name, read_value(name, cell), grow=True)
    return document


def read_value(name: str, text: str) -> object:
    """What a cell or a flag says for a field: text for the fields that are text, else JSON where it is JSON."""
    if name.split(".")[-1] in _TEXT and not text.lstrip().startswith("{"):
        return text
    try:
        return recipe_json.parse('{"value":' + text + "}")["value"]
    except XattnError:
        return text.strip()


def _parquet(data: bytes, name: str) -> Iterator[Raw]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise BadValue("file", name, "a parquet file", f"Arrow says: {said}") from error
    for number, cells in enumerate(table.to_pylist(), 1):
        try:
            yield Raw(number, number, _from_columns(cells))
        except XattnError as error:
            yield Raw(number, number, problem=str(error))


def _from_columns(cells: Mapping[str, object]) -> dict[str, object]:
    document: dict[str, object] = {}
    for name, value in cells.items():
        if value is None:
            continue
        # edits and sources are nested, and in a table mostly JSON in a column of text
        read = read_value(name, value) if isinstance(value, str) and name not in _TEXT else _without_nulls(value)
        assign(document, name, read, grow=True)
    return document


def _without_nulls(value: object) -> object:
    """Arrow gives every struct all of its columns; what is null there was not given."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value
