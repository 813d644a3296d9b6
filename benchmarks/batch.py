"""What a batch costs beside a bare loop of pipeline calls: `python -m benchmarks.batch`.

Both draw the same recipes at the same batch size, turn and turn about, so that what else the machine does falls on
both. The bare loop saves nothing; the batch writes every picture, its line and, with --maps, its maps.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines import batch
from pipelines.batch.events import Ended, Planned
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe


@dataclass(frozen=True)
class Cost:
    """Of one round: seconds on the wall, and of all threads of this process."""

    wall: float
    cpu: float


def bare(pipe: Pipeline, recipes: list[Recipe], size: int) -> Cost:
    """Pipeline calls, one after the other."""
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(recipes), size):
        pipe(recipes[start : start + size], batch_size=size)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def batched(pipe: Pipeline, recipes: list[Recipe], size: int) -> Cost:
    """The same by a batch, from the plan on: checking rows comes before the first picture."""
    with tempfile.TemporaryDirectory() as folder:
        for event in batch.run(recipes, out=folder, options=batch.Options(batch_size=size), pipe=pipe):
            if isinstance(event, Planned):
                wall, cpu = time.perf_counter(), time.process_time()
            elif isinstance(event, Ended):
                return Cost(time.perf_counter() - wall, time.process_time() - cpu)
    raise AssertionError("a batch ends with Ended")


def main() -> None:
    """Print both, and how much more the batch takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="emoji-128")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    pipe = Pipeline.from_pretrained(Path(chosen.model) if Path(chosen.model).is_dir() else chosen.model)
    recipes = [Recipe("a fox on purple", seed=seed) for seed in range(chosen.pictures)]
    bare(pipe, recipes[:1], 1)
    rounds = [
        (bare(pipe, recipes, chosen.batch_size), batched(pipe, recipes, chosen.batch_size))
        for _ in range(chosen.rounds)
    ]
    for kind in ("wall", "cpu"):
        pairs = [(getattr(alone, kind), getattr(together, kind)) for alone, together in rounds]
        alone, together = (statistics.median(side) for side in zip(*pairs, strict=True))
        share = statistics.median(second / first for first, second in pairs) - 1
        print(
            f"{kind}: bare {alone / chosen.pictures:.3f} s a picture, batch {together / chosen.pictures:.3f} s, "
            f"{100 * share:+.1f} %"
        )


if __name__ == "__main__":
    main()
