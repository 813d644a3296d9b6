"""Rows that make no picture, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from xattn.errors import XattnError

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

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.message}"

    def record(self) -> dict[str, object]:
        """As it stands in rejected.jsonl."""
        made: dict[str, object] = {"v": 1, "source": self.source, "row": self.row, "line": self.line}
        made |= {"stage": self.stage, "error": self.message, "document": dict(self.document)}
        return made | ({"hash": self.hash, "tries": self.tries} if self.stage == "run" else {})


class BadRows(XattnError):
    """Rows that cannot be drawn, all of them with file and line; nothing was drawn."""

    def __init__(self, rejected: Sequence[Rejected], of: int) -> None:
        self.rejected = tuple(rejected)
        listed = "\n".join(map(str, rejected))
        count = f"{len(rejected)} of {of} rows cannot be drawn" if of != 1 else "The only row cannot be drawn"
        super().__init__(f"{listed}\n{count}; mend them, or draw the others with --on-error skip.")
