"""The benchmark measures what it says: right pictures only, in turn, and says so in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import Picture, Task, Theirs
from benchmarks.plain import Entry, main, psnr, ratios, rounds
from tests.models import write_model

TASK = Task("a fox", "", 2, 5.0, 64, 64)


@dataclass
class Noting:
    """A peer that notes when it draws."""

    name: str
    turns: list[str] = field(default_factory=list)

    def draw(self, task: Task) -> Picture:
        self.turns.append(self.name)
        return np.zeros((task.height, task.width, 3), np.uint8)

    def denoise(self, task: Task) -> None:
        raise AssertionError("the whole was asked for")


def test_the_command_compares_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(tmp_path / "tiny")
    main(["--model", str(folder), "--rounds", "1", "--steps", "2", "--starts", "0", "--threads", "1"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    plain = [entry for entry in report["entries"] if entry["setting"] == "plain"]
    assert [entry["peer"] for entry in plain] == ["xattn", "diffusers"]
    assert all(entry["levels_off"] <= 2 and len(entry["seconds"]) == 1 for entry in plain)
    tuned = [entry for entry in report["entries"] if entry["setting"] == "tuned"]
    assert all(entry["not_counted"] is None for entry in tuned)
    assert report["ratios"]["plain"]["median"] == pytest.approx(plain[1]["seconds"][0] / plain[0]["seconds"][0])


def test_an_unknown_model_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "emoji-129"]) == 2
    assert 'There is no model "emoji-129".' in capsys.readouterr().err


def test_peers_take_turns_and_wrong_pictures_are_not_timed() -> None:
    turns: list[str] = []
    entries = [
        Entry("plain", Noting("a", turns)),
        Entry("plain", Noting("wrong", turns), why_not="9 levels off"),
        Entry("tuned", Noting("b", turns)),
    ]
    timed = rounds(entries, TASK, 2, whole=True)
    assert turns == ["a", "b", "b", "a"]
    assert [len(entry.seconds) for entry in timed] == [2, 0, 2]


def test_ratios_are_taken_round_by_round() -> None:
    ours, theirs = Noting("xattn"), Theirs(None)
    timed = [
        Entry("plain", ours, seconds=(1.0, 2.0)),
        Entry("plain", theirs, seconds=(2.0, 6.0)),
        Entry("tuned", ours, seconds=(4.0, 4.0)),
        Entry("tuned", theirs, seconds=(1.0, 2.0)),
    ]
    assert ratios(timed) == {"plain": (2.0, 3.0), "tuned": (0.25, 0.5), "best": (1.0, 1.0)}


def test_psnr_is_its_formula() -> None:
    black = np.zeros((2, 2, 3), np.uint8)
    assert psnr(black, black) == float("inf")
    assert psnr(black, black + np.uint8(255)) == 0.0
