"""Rows that make no picture, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.batch.manifest import REJECTED, Lines
from xattn.errors import CannotWrite, XattnError

if TYPE_CHECKING:
    from pipelines.batch.plan import Item

Stage = Literal["row", "run"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that asks for what cannot be drawn ("row"), or a picture whose run failed twice ("run").

    document: the row as it was given; hash, tries: of a run
    """

    source: str
    row: int
    line: int
    message: str
    document: Mapping[str, object] = field(default_factory=dict, hash=False)
    stage: Stage = "row"
    hash: str = ""
    tries: int = 0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Rejected:
        """Back from `record`."""
        return cls(
            str(record["source"]),
            int(record["row"]),
            int(record["line"]),
            str(record["error"]),
            record["document"],
            "run" if record["stage"] == "run" else "row",
            str(record.get("hash", "")),
            int(record.get("tries", 0)),
        )

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}"

    def record(self) -> dict[str, object]:
        """As it stands in rejected.jsonl."""
        made: dict[str, object] = {"v": 1, "source": self.source, "row": self.row, "line": self.line}
        made |= {"stage": self.stage, "error": self.message, "document": dict(self.document)}
        return made | ({"hash": self.hash, "tries": self.tries} if self.stage == "run" else {})


class Rejections:
    """rejected.jsonl: the bad rows of a run, then each run that fails, as it fails; no file where there is none.

    shared: whether several processes add to it
    """

    def __init__(self, folder: Path, source: str, *, shared: bool = False) -> None:
        self._path, self._source, self._shared = folder / REJECTED, source, shared

    def begin(self, rejected: Sequence[Rejected]) -> None:
        """Forget the run before, and note these rows. Raises CannotWrite."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise CannotWrite(self._path, (error.strerror or type(error).__name__).lower()) from error
        self._write([one.record() for one in rejected])

    def add(self, item: Item, message: str, tries: int) -> Rejected:
        """Note a run that failed. Raises CannotWrite."""
        document = item.recipe.portable().document()
        one = Rejected(self._source, item.row, item.line, message, document, "run", item.hash, tries)
        self._write([one.record()])
        return one

    def _write(self, records: Sequence[Mapping[str, object]]) -> None:
        if records:
            lines = Lines(self._path, shared=self._shared)
            try:
                lines.append(*records)
            finally:
                lines.close()


class BadRows(XattnError):
    """Rows that cannot be drawn, all of them with file and line; nothing was drawn."""

    def __init__(self, rejected: Sequence[Rejected], of: int) -> None:
        self.rejected = tuple(rejected)
        listed = "\n".join(map(str, rejected))
        count = f"{len(rejected)} of {of} rows cannot be drawn" if of != 1 else "The only row cannot be drawn"
        super().__init__(f"{listed}\n{count}; mend them, or draw the others with --on-error skip.")
