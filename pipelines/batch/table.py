"""A batch as a table: one row a picture, for pandas, for parquet, and for whoever asks where its maps are."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipelines import recipe_json
from pipelines.batch import shards
from pipelines.batch.manifest import Entry, read_manifest
from pipelines.batch.paths import flattened
from pipelines.files import write_whole
from xattn.errors import BadValue, UnknownName, Unsupported

if TYPE_CHECKING:
    from pipelines.attention_maps import AttentionMaps

PARQUET = "manifest.parquet"
Form = Literal["pandas", "arrow"]


def entries(folder: str | Path, *, superseded: bool = False) -> tuple[Entry, ...]:
    """Every picture of a batch, in the order of rows. Raises BadValue where the folder has no manifest.

    superseded: those too whose row has changed since
    """
    read = read_manifest(folder)
    if not read.entries:
        raise BadValue("folder", str(folder), "a folder that a batch was drawn into, with a manifest.jsonl")
    kept = [entry for entry in read.entries.values() if superseded or not entry.superseded]
    return tuple(sorted(kept, key=lambda entry: (entry.source, entry.row)))


def table(folder: str | Path, form: Form = "pandas", *, superseded: bool = False) -> Any:
    """A batch as a pandas DataFrame or a pyarrow Table.

    Columns: row, hash, file, sha256, size, seconds, rows_from, maps; then each recipe field that any picture sets, by
    its path (prompt, seed, edits.0.scale …), null where a recipe has it at its default; then recipe and provenance as
    JSON. Raises BadValue where the folder has no manifest, UnknownName, and Unsupported without pandas.
    """
    if form not in get_args(Form):
        raise UnknownName("form", form, get_args(Form))
    made = _arrow(entries(folder, superseded=superseded))
    if form == "arrow":
        return made
    try:
        return made.to_pandas()
    except ImportError as error:
        raise Unsupported('pandas is not installed; install it, or ask for table(folder, "arrow").') from error


def export(folder: str | Path) -> Path:
    """Write the table beside the manifest, as manifest.parquet. Raises BadValue, CannotWrite."""
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(_arrow(entries(folder)), buffer)
    return write_whole(Path(folder) / PARQUET, buffer.getvalue())


def maps(folder: str | Path, recipe_hash: str) -> AttentionMaps:
    """The attention maps that were kept with a picture, by the hash of its recipe or the beginning of that.

    Values are what was seen, in half precision. Raises BadValue where there are none.
    """
    found = [one for one in entries(folder, superseded=True) if one.hash.startswith(recipe_hash)]
    if len(found) != 1:
        raise BadValue("recipe_hash", recipe_hash, f"that of one picture; {len(found)} have it")
    if not found[0].maps:
        raise BadValue("recipe_hash", recipe_hash, "that of a picture with maps", 'Draw with words=("fox",), or --maps')
    return shards.find(Path(folder), found[0].maps, found[0].hash)


def _arrow(found: Sequence[Entry]) -> Any:
    import pyarrow

    columns: dict[str, Any] = {
        "row": [entry.row for entry in found],
        "hash": [entry.hash for entry in found],
        "file": [entry.file for entry in found],
        "sha256": [entry.sha256 for entry in found],
        "size": [entry.size for entry in found],
        "seconds": [entry.seconds for entry in found],
        "rows_from": [entry.source for entry in found],
        "maps": [entry.maps or None for entry in found],
    }
    fields = [_leaves(entry.recipe) for entry in found]
    for path in dict.fromkeys(path for leaves in fields for path in leaves):
        columns[path] = _column([leaves.get(path) for leaves in fields])
    columns["recipe"] = [recipe_json.canonical(entry.recipe) for entry in found]
    columns["provenance"] = [recipe_json.canonical(entry.provenance) for entry in found]
    return pyarrow.table(columns)


def _leaves(recipe: Mapping[str, object]) -> dict[str, object]:
    """What a recipe sets, by path; pictures inside it by their hash alone."""
    skipped = ("version", "data", "media")
    return {path: value for path, value in flattened(recipe).items() if path.rpartition(".")[2] not in skipped}


def _column(values: list[object]) -> list[object]:
    """Values of one type, as a column must have them: numbers, or text, or else JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {str} or kinds <= {bool}:
        return values
    if kinds <= {int, float}:
        return [float(value) if isinstance(value, int | float) else None for value in values]
    return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
