"""Several processes on one machine, as `accelerate launch` starts them: one plan, each process its share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from accelerate import PartialState

    from pipelines.batch.options import Options

Value = TypeVar("Value")
# The first process waits for the plan and for the slowest share; a collective's own limit is minutes.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those of its run; alone, where nothing launched several."""

    rank: int = 0
    size: int = 1
    _state: PartialState | None = None

    @classmethod
    def here(cls, options: Options) -> Team:
        """As the environment says that `accelerate launch` sets."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or options.engine != "local":
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=options.device == "cpu", timeout=_PATIENCE)
        return cls(state.process_index, state.num_processes, state)

    @property
    def first(self) -> bool:
        """Whether this is the process that plans and tells."""
        return self.rank == 0

    def device(self, asked: str) -> str:
        """The device of this process: of several GPUs its own."""
        return str(self._state.device) if self._state is not None and asked == "cuda" else asked

    def send(self, value: Value) -> Value:
        """The first process's value, in every process. It goes by pickle, among processes of one run."""
        if self._state is None:
            return value
        from accelerate.utils import broadcast_object_list

        box = [value]
        broadcast_object_list(box)
        return box[0]

    def share(self, values: list[Value]) -> list[Value]:
        """This process's part: each value in exactly one process, whatever the numbers of both."""
        if self._state is None:
            return values
        with self._state.split_between_processes(values) as mine:
            return list(mine)

    def wait(self) -> None:
        """Until every process is here."""
        if self._state is not None:
            self._state.wait_for_everyone()
