"""The folder's memory: manifest.jsonl, one line a picture, written after the picture it speaks of.

A line is appended and fsynced only once its picture lies under its name, so a picture that the manifest names is whole.
A process that dies while it writes leaves a torn last line, which is recognised and cut off at the next start. Where a
line names a hash again, the later one holds.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines import recipe_json
from pipelines.recipe import Recipe
from xattn.errors import BadValue, CannotWrite

MANIFEST, REJECTED = "manifest.jsonl", "rejected.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture that is there.

    file: its name in the folder; size: its bytes; source: the file whose row asked for it
    seconds: what its run cost, shared among the pictures of the run
    maps: the shard that has its maps, "" for none
    superseded: the row that asked for it asks for another now
    """

    row: int
    hash: str
    file: str
    sha256: str
    size: int
    seconds: float
    source: str
    recipe: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    provenance: Mapping[str, object] = field(default_factory=dict, hash=False, repr=False)
    maps: str = ""
    superseded: bool = False

    def record(self) -> dict[str, object]:
        """As it stands in the manifest."""
        made: dict[str, object] = {"v": 1, "row": self.row, "hash": self.hash, "file": self.file}
        made |= {"sha256": self.sha256, "size": self.size, "seconds": self.seconds, "source": self.source}
        made |= {"maps": self.maps} if self.maps else {}
        return made | {"recipe": dict(self.recipe), "provenance": dict(self.provenance)}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Entry:
        """Back from a line's object. Raises KeyError and TypeError for one that is no entry."""
        if not isinstance(record["recipe"], Mapping) or not isinstance(record["provenance"], Mapping):
            raise TypeError("recipe and provenance must be objects")
        return cls(
            row=int(record["row"]),
            hash=str(record["hash"]),
            file=str(record["file"]),
            sha256=str(record["sha256"]),
            size=int(record.get("size", -1)),
            seconds=float(record["seconds"]),
            source=str(record.get("source", "")),
            recipe=record["recipe"],
            provenance=record["provenance"],
            maps=str(record.get("maps", "")),
        )

    def to_recipe(self) -> Recipe:
        """The picture's recipe. Raises BadValue, UnknownName where it was written by a newer xattn."""
        return Recipe.from_json(self.recipe)


@dataclass(frozen=True, slots=True)
class Read:
    """What a manifest says: entries by hash; how many lines are broken; whether the last one is torn; its bytes."""

    entries: Mapping[str, Entry]
    broken: int
    torn: bool
    end: int


def mark(recipe_hash: str, *, superseded: bool) -> dict[str, object]:
    """A line that changes one thing of an earlier line: whether a row still asks for that picture."""
    return {"v": 1, "hash": recipe_hash, "superseded": superseded}


def read_manifest(folder: str | Path, *, lean: bool = False) -> Read:
    """What the folder's manifest says; nothing where there is none. Raises BadValue where it cannot be read.

    lean: without recipes and provenances, which are most of a long manifest
    """
    path = Path(folder) / MANIFEST
    entries: dict[str, Entry] = {}
    broken, end, torn = 0, 0, False
    for line in read_lines(path):
        torn = not line.endswith(b"\n")
        if torn:
            break
        end += len(line)
        try:
            record = json.loads(line)
            if "file" not in record:
                entries[record["hash"]] = replace(entries[record["hash"]], superseded=record["superseded"] is True)
                continue
            entry = Entry.of(record)
        except (ValueError, KeyError, TypeError):
            broken += 1 if line.strip() else 0
            continue
        entries[entry.hash] = replace(entry, recipe={}, provenance={}) if lean else entry
    return Read(entries, broken, torn, end)


def read_lines(path: Path) -> Iterator[bytes]:
    """The file's lines with their ends; none where there is no file."""
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise BadValue("out", str(path), "a manifest that can be read", f"The system says: {reason}") from error


class Tail:
    """What comes to a file of JSON lines from now on, whoever writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The objects of whole lines that have come since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._end)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._end += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):  # half a line, of a process that died
                record = json.loads(line)
                if isinstance(record, dict):
                    yield record


class Lines:
    """A file of JSON lines, opened to append. Each `append` is on the disk when it returns, whole or not at all.

    shared: whether other processes of this run append too, each line of them under a lock
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        self._lock: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if shared:
            from filelock import FileLock

            self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise CannotWrite(path, (error.strerror or type(error).__name__).lower()) from error

    def append(self, *records: Mapping[str, object]) -> None:
        """Add lines, together. Raises CannotWrite, and then none of them is there."""
        if not records:
            return
        data = b"".join(recipe_json.canonical(record).encode() + b"\n" for record in records)
        with self._lock:
            before = os.fstat(self._file).st_size
            # a neighbour that died while it wrote leaves half a line: it must not swallow ours
            healed = b"\n" if before and os.pread(self._file, 1, before - 1) != b"\n" else b""
            try:
                _write_all(self._file, healed + data)
                os.fsync(self._file)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, before)
                raise CannotWrite(self.path, (error.strerror or type(error).__name__).lower()) from error

    def cut(self, end: int) -> None:
        """Drop what lies behind `end`: a line that was torn when its process died."""
        os.ftruncate(self._file, end)
        os.fsync(self._file)

    def close(self) -> None:
        """No more lines from here."""
        os.close(self._file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
