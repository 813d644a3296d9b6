"""Draw one group: once more where it fails, and in smaller parts where memory runs out."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.batch.plan import Item
from xattn.errors import Cancelled

if TYPE_CHECKING:
    from pipelines.capture import Capture
    from pipelines.pipeline import Pipeline, Result

TRIES = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the run is done; nothing else has happened."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures that are wanted, with their results."""

    results: tuple[tuple[Item, Result], ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """A picture whose run failed `tries` times, and what it said last."""

    item: Item
    message: str
    tries: int


@dataclass(frozen=True, slots=True)
class Smaller:
    """So many pictures were too many for the memory; from here on it is `size` at once."""

    size: int


def draw(
    pipe: Pipeline,
    items: Sequence[Item],
    wanted: frozenset[str],
    size: int,
    capture: Capture | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Step | Drawn | Broken | Smaller]:
    """Draw a group, `size` pictures at once, and give those whose hash is in `wanted`.

    Those that are not wanted are drawn along in their places, for a picture's bits depend on how many are drawn at
    once. Raises Cancelled between two steps when `cancel` is set.
    """
    start = 0
    while start < len(items):
        part = items[start : start + size]
        start += len(part)
        if not any(item.hash in wanted for item in part):
            continue
        for event in _part(pipe, part, size, wanted, capture, cancel):
            if isinstance(event, Smaller):
                # nothing of this part was given yet: it begins again, smaller
                size, start = event.size, start - len(part)
            yield event


def _part(
    pipe: Pipeline,
    part: Sequence[Item],
    size: int,
    wanted: frozenset[str],
    capture: Capture | None,
    cancel: threading.Event | None,
) -> Iterator[Step | Drawn | Broken | Smaller]:
    message = ""
    for _ in range(TRIES):
        try:
            yield from _once(pipe, part, size, wanted, capture, cancel)
            return
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001  whatever a run fails with is told, and recorded
            message, short = _said(error), is_out_of_memory(error)
        _let_go(pipe)
        if short and size > 1:
            yield Smaller(min(size, len(part) + 1) // 2)
            return
    if len(part) == 1:
        yield Broken(part[0], message, TRIES)
        return
    # one of them breaks the others' run: each alone, so that only that one is lost
    for item in part:
        if item.hash in wanted:
            yield from _part(pipe, [item], 1, wanted, capture, cancel)


def _once(
    pipe: Pipeline,
    part: Sequence[Item],
    size: int,
    wanted: frozenset[str],
    capture: Capture | None,
    cancel: threading.Event | None,
) -> Iterator[Step | Drawn]:
    from pipelines.results import Finished

    recipes = [item.recipe for item in part]
    for event in pipe.stream(recipes, maps=capture, batch_size=size, cancel=cancel):
        if isinstance(event, Finished):
            pairs = zip(part, event.results, strict=True)
            yield Drawn(tuple((item, result) for item, result in pairs if item.hash in wanted))
        else:
            yield Step()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a run failed for want of memory: torch's own error on a GPU, a plain RuntimeError on a CPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _let_go(pipe: Pipeline) -> None:
    """Give back what the failed run held."""
    gc.collect()
    if pipe.model.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
