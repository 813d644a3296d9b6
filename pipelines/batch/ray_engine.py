"""Groups on several machines, by Ray Data: an actor on each GPU loads the model once, results stream back.

The process that started the batch writes every file and every line of the manifest, so the machines need no common
disk. An actor that dies is started again by Ray, and its groups are drawn again; a picture comes to the manifest once,
for its writer is one.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.batch.drawing import Broken, Drawn, Smaller, draw
from pipelines.batch.models import Models
from pipelines.batch.plan import Group, capture_of
from pipelines.batch.writer import Parcel, parcel
from xattn.errors import Unsupported

if TYPE_CHECKING:
    from pipelines.batch.options import Options
    from pipelines.pipeline import Pipeline

Job = tuple[Group, frozenset[str], int]
_BLOCKS = 10_000
"""Ray's unit of work is a block: one group a block, unless there are so many that keeping account would take longer."""


class Drawer:
    """Lives on a worker. `options` are pickled; of the machine that sent them they hold the model's name or path."""

    def __init__(self, options: bytes) -> None:
        self._options: Options = pickle.loads(options)
        self._models = Models(str(self._options.model), self._load)

    def _load(self, name: str) -> Pipeline:
        from pipelines.pipeline import Pipeline

        return Pipeline.from_pretrained(
            name, dtype=self._options.dtype, device=self._options.device, backend=self._options.backend
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Draw the groups of a batch of Ray's, which is one."""
        done = [pickle.dumps(self._draw(pickle.loads(job))) for job in batch["job"]]
        return {"number": list(batch["number"]), "done": done}

    def _draw(self, job: Job) -> list[Parcel | Broken | Smaller]:
        group, wanted, size = job
        pipe = self._models.get(group.model)
        made: list[Parcel | Broken | Smaller] = []
        for event in draw(pipe, group.items, wanted, size, capture_of(self._options)):
            if isinstance(event, Drawn):
                made += [parcel(item, result, self._options.form) for item, result in event.results]
            elif isinstance(event, Broken | Smaller):
                made.append(event)
        return made


def draw_on_ray(jobs: Sequence[Job], options: Options) -> Iterator[tuple[Group, list[Parcel | Broken | Smaller]]]:
    """Draw groups wherever Ray has room, and give each when it is done, in any order. Raises Unsupported without Ray.

    Closing the generator ends the work; a Ray that was started here is shut down.
    """
    if not jobs:
        return
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise Unsupported('--engine ray needs Ray; install it with: pip install "xattn[ray]".') from error

    ours = not ray.is_initialized()
    if ours:
        _begin(options)
    try:
        yield from _stream(jobs, options)
    finally:
        if ours:
            ray.shutdown()


def _begin(options: Options) -> None:
    import ray

    if options.ray_address is not None:
        ray.init(address=options.ray_address, logging_level=logging.WARNING, log_to_driver=False)
        return
    # on this machine only, seen by nobody else
    ray.init(
        num_cpus=options.workers if options.device == "cpu" else None,
        include_dashboard=False,
        logging_level=logging.WARNING,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
    )


def _stream(jobs: Sequence[Job], options: Options) -> Iterator[tuple[Group, list[Parcel | Broken | Smaller]]]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    groups = {group.number: group for group, _, _ in jobs}
    rows = [{"number": job[0].number, "job": pickle.dumps(job)} for job in jobs]
    workers = options.workers or 1
    on_gpu = options.device.startswith("cuda")
    drawn = ray.data.from_items(rows, override_num_blocks=min(len(rows), _BLOCKS)).map_batches(
        Drawer,
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        num_cpus=1,
        num_gpus=1 if on_gpu else 0,
        fn_constructor_args=(pickle.dumps(replace(options, device="cuda" if on_gpu else options.device)),),
    )
    seen: set[int] = set()
    for row in drawn.iter_rows():
        number = int(row["number"])
        if number not in seen:  # an actor may die between its answer and Ray's note of it
            seen.add(number)
            yield groups[number], pickle.loads(row["done"])
