"""Running a batch in a test, and a UNet that fails on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipelines import batch
from pipelines.batch import Ended, Noticed, Options
from pipelines.pipeline import Pipeline

ROOT = Path(__file__).parents[3]
ROWS: list[Mapping[str, object]] = [
    {"prompt": "a fox", "seed": "0-2"},
    {"prompt": "a cat on red", "seed": 4, "width": 32},
    {"prompt": "a dog", "seed": 9},
]
TWO = Options(batch_size=2)


def drawn(pipe: Pipeline, rows: object, out: Path, options: Options = TWO) -> list[batch.Event]:
    return list(batch.run(rows, out=out, options=options, pipe=pipe))  # type: ignore[arg-type]


def ended(events: list[batch.Event]) -> Ended:
    assert isinstance(events[-1], Ended)
    return events[-1]


def notices(events: list[batch.Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Noticed))


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@contextmanager
def failing(pipe: Pipeline, fails: Any) -> Iterator[None]:
    """A UNet that raises what `fails` says of its sample, as a device does that has no memory or is broken."""

    def look(_: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        if (error := fails(arguments[0])) is not None:
            raise error

    handle = pipe.model.unet.register_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()


def begins_with(sample: torch.Tensor, seed: int) -> bool:
    noise = torch.randn((1, *sample.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return any(torch.allclose(one, noise[0], atol=1e-5) for one in sample)
