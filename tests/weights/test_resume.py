"""A stage that is killed goes on from its last state as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from weights.train import judge
from weights.train.loop import Ema, Log, Run, flat_tail
from weights.train.muon import Muon


class Stage:
    """A stage in small: a model, its average, both optimizers, a run."""

    def __init__(self, path: Path) -> None:
        torch.manual_seed(1)
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
        self.ema = Ema(self.model, 0.9)
        self.muon = Muon([p for p in self.model.parameters() if p.ndim >= 2], lr=0.01)
        self.adam = torch.optim.AdamW([p for p in self.model.parameters() if p.ndim < 2], lr=0.01)
        self.run = Run(path, model=self.model, ema=self.ema, muon=self.muon, adam=self.adam)

    def steps(self, count: int) -> None:
        for _ in range(count):
            batch = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(self.run.step))
            self.muon.zero_grad()
            self.adam.zero_grad()
            self.model(batch).square().mean().backward()
            self.muon.step()
            self.adam.step()
            self.ema.update(self.model)
            self.run.tick(0.5)

    def everything(self) -> list[torch.Tensor]:
        return [*self.model.state_dict().values(), *self.ema.model.state_dict().values()]


def test_stopping_and_going_on_gives_the_same_weights_bit_for_bit(tmp_path):
    straight = Stage(tmp_path / "straight.pt")
    straight.steps(6)
    first = Stage(tmp_path / "stopped.pt")
    first.steps(3)
    first.run.save()
    first.steps(2)  # done, never saved, lost
    second = Stage(tmp_path / "stopped.pt")
    assert (second.run.step, second.run.seconds) == (3, 1.5)
    second.steps(3)
    assert all(torch.equal(a, b) for a, b in zip(straight.everything(), second.everything(), strict=True))


def test_a_kill_while_saving_leaves_the_last_state(tmp_path):
    stage = Stage(tmp_path / "stage.pt")
    stage.steps(2)
    stage.run.save()
    (tmp_path / "stage.tmp").write_bytes(b"half a file")
    assert Stage(tmp_path / "stage.pt").run.step == 2


def test_a_stopped_clock_does_not_count(tmp_path):
    run = Run(tmp_path / "stage.pt")
    run.tick(3600.0)
    assert run.seconds == 10.0


def test_a_stage_that_has_had_its_minutes_takes_no_further_step(tmp_path):
    judge.train(tmp_path, minutes=1e-6, batch=8)
    before = torch.load(tmp_path / "judge.pt", weights_only=True)
    judge.train(tmp_path, minutes=1e-6, batch=8)
    after = torch.load(tmp_path / "judge.pt", weights_only=True)
    assert after["step"] == before["step"] == 1
    assert all(torch.equal(after["model"][name], value) for name, value in before["model"].items())


def test_a_stage_with_more_minutes_goes_on(tmp_path):
    judge.train(tmp_path, minutes=1e-6, batch=8)
    spent = torch.load(tmp_path / "judge.pt", weights_only=True)["seconds"]
    judge.train(tmp_path, minutes=(spent + 1e-6) / 60, batch=8)
    assert torch.load(tmp_path / "judge.pt", weights_only=True)["step"] == 2


def test_the_log_holds_means_over_its_interval(tmp_path):
    run, log = Run(tmp_path / "stage.pt"), Log(tmp_path / "stage.log", every=2)
    for loss in (1.0, 3.0, 5.0, 7.0):
        run.tick(6.0)
        log.add(run, loss=loss)
    assert (tmp_path / "stage.log").read_text().splitlines() == [
        '{"step": 2, "minutes": 0.2, "loss": 2.0}',
        '{"step": 4, "minutes": 0.4, "loss": 6.0}',
    ]


def test_the_rate_rises_stays_and_falls_to_zero():
    assert flat_tail(0, 0.0, warmup=10) == 0.1
    assert flat_tail(500, 0.5, warmup=10) == 1.0
    assert 0.49 < flat_tail(900, 1 - 0.35 / 2, warmup=10) < 0.51
    assert flat_tail(1000, 1.0, warmup=10) == 0.0
