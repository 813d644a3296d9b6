"""What every stage of training shares: a resumable run, an average of the weights, a rate, a log."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weights.train import workers


class Ema:
    """Exponential moving average of a module's parameters (buffers are copied)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model: Any = copy.deepcopy(model).eval().requires_grad_(False)
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))  # short memory while everything still moves
        ours, theirs = list(self.model.parameters()), list(model.parameters())
        torch._foreach_lerp_(ours, theirs, 1.0 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]


class Run:
    """Step count, seconds spent, and everything that must survive a kill, in one file replaced at once."""

    def __init__(self, path: Path, **parts: Any) -> None:
        self.path, self.parts = path, parts
        self.step, self.seconds = 0, 0.0
        if path.exists():
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.step, self.seconds = state["step"], state["seconds"]
            for name, part in parts.items():
                part.load_state_dict(state[name])

    def tick(self, seconds: float) -> None:
        self.step += 1
        # a stopped process (SIGSTOP) must not count as training time
        self.seconds = workers.agree(self.seconds + min(seconds, 10.0))

    def save(self) -> None:
        if workers.rank():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in self.parts.items()}
        temporary = self.path.with_suffix(".tmp")
        torch.save({"step": self.step, "seconds": self.seconds, **state}, temporary)
        os.replace(temporary, self.path)


class Log:
    """JSON lines: the mean of each figure over the last `every` steps."""

    def __init__(self, path: Path, every: int = 50) -> None:
        self.path, self.every = path, every
        self.sums: dict[str, float] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, run: Run, **figures: float) -> None:
        for name, value in figures.items():
            self.sums[name] = self.sums.get(name, 0.0) + value / self.every
        if run.step % self.every == 0:
            self.note(run, **self.sums)
            self.sums = {}

    def note(self, run: Run, **figures: float) -> None:
        if workers.rank():
            return
        line = {"step": run.step, "minutes": round(run.seconds / 60, 2)}
        with self.path.open("a") as file:
            file.write(json.dumps(line | {k: round(v, 5) for k, v in figures.items()}) + "\n")


def flat_tail(step: int, done: float, warmup: int, tail: float = 0.35) -> float:
    """Factor on the learning rate: linear warm-up, flat, cosine to zero over the last `tail` of the time."""
    rise = min(1.0, (step + 1) / warmup)
    left = min(1.0, max(0.0, (1.0 - done) / tail))
    return rise * 0.5 * (1.0 - math.cos(math.pi * left))
