"""What a training has cost over all its runs, on whatever machines: `training.json` in the model's folder.

It travels with the weights, so that hours and curves survive when a training goes on from the weights alone.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TypedDict

from weights.train.stages import minutes_spent, steps_done

STAGES = ("vae", "text", "unet", "decoder")
POINTS = 60
"""Lines of a stage's log that are kept, besides those with more than the loss."""


class Stage(TypedDict):
    """Over all runs; the lines of `log` have `step`, `minutes` and figures such as `loss`, `psnr` and `single`."""

    minutes: float
    steps: int
    log: list[dict[str, float]]


class History(TypedDict):
    stages: dict[str, Stage]
    machines: list[str]


def history(run: Path, machine: str | None = None) -> History:
    """The run's own minutes, steps and logs after those in `before.json`, which came with unpacked weights."""
    before: History = {"stages": {}, "machines": []}
    if (run / "before.json").exists():
        before = json.loads((run / "before.json").read_text())
    stages: dict[str, Stage] = {}
    trained = False
    for stage in STAGES:
        old = before["stages"].get(stage, Stage(minutes=0.0, steps=0, log=[]))
        minutes, steps = minutes_spent(run / f"{stage}.pt"), steps_done(run / f"{stage}.pt")
        trained = trained or steps > 0
        stages[stage] = Stage(
            minutes=round(old["minutes"] + minutes, 1),
            steps=old["steps"] + steps,
            log=old["log"] + _log(run / f"{stage}.log", old, steps),
        )
    here = machine or describe_machine()
    machines = before["machines"] if here in before["machines"] or not trained else [*before["machines"], here]
    return History(stages=stages, machines=machines)


def describe_machine() -> str:
    """The processor, as it calls itself, and how many cores of it there are."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{os.cpu_count()} cores of {name}"


def _log(path: Path, old: Stage, steps: int) -> list[dict[str, float]]:
    """A log's lines, thinned. Those past the checkpoint, or done again after a kill, are dropped."""
    if not path.exists():
        return []
    kept: list[dict[str, float]] = []
    for text in path.read_text().splitlines():
        line: dict[str, float] = json.loads(text)
        kept = [other for other in kept if not _repeats(line, other)]
        if line["step"] <= steps:
            kept.append(line)
    every = max(1, len(kept) // POINTS)
    thin = [line for place, line in enumerate(kept) if place % every == 0 or "loss" not in line]
    return [
        line | {"step": int(line["step"] + old["steps"]), "minutes": round(line["minutes"] + old["minutes"], 2)}
        for line in thin
    ]


def _repeats(line: dict[str, float], before: dict[str, float]) -> bool:
    """A stage resumed from an earlier state writes steps again; a step may have one line of losses, one of figures."""
    return before["step"] > line["step"] or (before["step"] == line["step"] and before.keys() == line.keys())
