"""What a batch tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.batch.manifest import Entry
from pipelines.batch.rejected import Rejected

if TYPE_CHECKING:
    from pipelines.batch.plan import Plan


@dataclass(frozen=True, slots=True)
class Planned:
    """Every row is checked; drawing begins. `kept` pictures of `total` are there from earlier runs."""

    plan: Plan
    kept: int
    total: int


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that a person should know: rows that changed, a batch that had to get smaller."""

    text: str


@dataclass(frozen=True, slots=True)
class Made:
    """One more picture is on the disk and in the manifest; `done` of `total` are."""

    entry: Entry
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Failed:
    """One picture's run failed twice; it is in rejected.jsonl. Another run of the batch tries it again."""

    rejected: Rejected
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event. `made` now, `kept` from earlier runs, `failed` runs, `rejected` rows."""

    made: int
    kept: int
    failed: int
    rejected: int
    total: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every picture that the rows ask for is there, and every row asks for one that can be."""
        return not self.rejected and self.made + self.kept == self.total


def counted(number: int, thing: str) -> str:
    """Such as "1 row" and "2 rows"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


Event = Planned | Noticed | Made | Failed | Ended
