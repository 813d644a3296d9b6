"""The rows of a run's batch, and at which steps they run: where nothing is guided, those of the prompts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from xattn.sites import Role, Row


def rows_for(images: int, roles: Sequence[Role]) -> tuple[Row, ...]:
    """Rows ordered by role, then image; a row's prompt is its own place among the encoded prompts."""
    return tuple(
        Row(image=image, prompt=place * images + image, role=role)
        for place, role in enumerate(roles)
        for image in range(images)
    )


class Running:
    """Which rows run at each step of one pass. guided: the steps at which all do."""

    def __init__(self, rows: Sequence[Row], guided: range) -> None:
        self.rows, self.guided = tuple(rows), guided
        self.prompts = tuple(place for place, row in enumerate(rows) if row.role != "uncond")
        """The rows that run at every step."""
        self._all = {place: place for place in range(len(rows))}
        self._alone = {place: now for now, place in enumerate(self.prompts)}

    def whole(self, index: int) -> bool:
        """Whether all rows run at step `index`, counted from 0."""
        return index in self.guided or len(self.prompts) == len(self.rows)

    def at(self, index: int) -> Mapping[int, int]:
        """The rows that run at a step, and the place that each has in that step's batch."""
        return self._all if self.whole(index) else self._alone

    def spread(self, read: Tensor, index: int) -> Tensor:
        """What was read of the rows that ran at a step, [rows that ran, …], as [all rows, …]; 0 of the others."""
        if self.whole(index):
            return read
        every = read.new_zeros(len(self.rows), *read.shape[1:])
        every[list(self.prompts)] = read
        return every
