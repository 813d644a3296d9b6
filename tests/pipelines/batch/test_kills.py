"""A batch that is killed loses nothing: real processes, real signals, every byte compared."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from pipelines.batch.manifest import MANIFEST, read_manifest
from tests.forked import Process, Server

ROWS = [
    {"prompt": "a fox", "seed": "0-2"},
    {"prompt": "a cat on red", "seed": 1},
    {"prompt": "a dog", "seed": 5, "width": 32},
    {"prompt": "a fox on purple", "seed": 2, "num_inference_steps": 3},
    {"prompt": "a dog on red", "seed": "1-2", "guidance_scale": 1},
]
COUNT = 8


def lines(folder: Path) -> int:
    path = folder / MANIFEST
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(folder: Path, count: int, process: Process) -> None:
    end = time.monotonic() + 120
    while lines(folder) < count:
        assert time.monotonic() < end, process.err
        time.sleep(0.002)


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


class Batch:
    """One file of rows, its undisturbed pictures, and ways to draw it again."""

    def __init__(self, folder: Path, model: Path, processes: Server) -> None:
        self.folder, self._processes = folder, processes
        folder.mkdir()
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        self._flags = ("--model", model, "--batch-size", "2", "--maps", "a", "--json")
        assert self.start("whole").wait() == 0
        self.whole = pictures(folder / "whole")
        assert len(self.whole) == COUNT

    def start(self, out: str) -> Process:
        return self._processes.start("batch", "rows.jsonl", "--out", out, *self._flags, cwd=self.folder)

    def check(self, out: str) -> None:
        """Nothing lost, nothing doubled, nothing torn, every picture equal to the undisturbed run's."""
        folder = self.folder / out
        assert pictures(folder) == self.whole
        read = read_manifest(folder)
        files = [entry.file for entry in read.entries.values()]
        assert sorted(files) == sorted(self.whole)
        assert (lines(folder), read.broken, read.torn) == (COUNT, 0, False)
        assert not list(folder.glob(".xattn-*")), "what was half written is cleared away"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, model: Path, processes: Server) -> Batch:
    return Batch(tmp_path_factory.mktemp("kills") / "batch", model, processes)


def killed_once(batch: Batch, out: str, chance: random.Random) -> None:
    process = batch.start(out)
    wait_for(batch.folder / out, chance.randrange(1, COUNT), process)
    time.sleep(chance.uniform(0, 0.15))
    process.signal(signal.SIGKILL)
    assert process.wait() in (-signal.SIGKILL, 0), process.err
    again = batch.start(out)
    assert again.wait() == 0, again.err
    batch.check(out)


@pytest.mark.parametrize("number", range(3))
def test_a_kill_between_two_pictures_loses_nothing(batch: Batch, number: int) -> None:
    killed_once(batch, f"killed-{number}", random.Random(number))


@pytest.mark.slow
def test_twenty_kills_lose_nothing(batch: Batch) -> None:
    chance = random.Random()
    for number in range(20):
        killed_once(batch, f"often-{number}", chance)


@pytest.mark.slow
def test_kill_after_kill_of_one_run_loses_nothing(batch: Batch) -> None:
    chance = random.Random()
    for made in range(1, COUNT):
        process = batch.start("again")
        wait_for(batch.folder / "again", made, process)
        time.sleep(chance.uniform(0, 0.05))
        process.signal(signal.SIGKILL)
        process.wait()
    assert batch.start("again").wait() == 0
    batch.check("again")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_after_the_step_and_the_next_run_goes_on(batch: Batch, number: signal.Signals, code: int) -> None:
    out = f"told-{number.name}"
    process = batch.start(out)
    wait_for(batch.folder / out, 1, process)
    process.signal(number)
    assert process.wait() == code, process.err
    assert "Ending after the step under way" in process.err
    assert "Traceback" not in process.err
    between = lines(batch.folder / out)
    assert len(pictures(batch.folder / out)) == between, "what was drawn is written, whole, before the end"
    assert between < COUNT
    again = batch.start(out)
    assert again.wait() == 0
    events = [json.loads(line) for line in again.out.splitlines()]
    assert events[0]["kept"] == between
    assert events[-1]["made"] == COUNT - between
    batch.check(out)


def test_a_second_process_is_refused_and_told_whose_the_folder_is(batch: Batch) -> None:
    first = batch.start("shared")
    wait_for(batch.folder / "shared", 1, first)
    os.killpg(first.pid, signal.SIGSTOP)  # it stays alive, however slow this test is
    second = batch.start("shared")
    code = second.wait()
    os.killpg(first.pid, signal.SIGCONT)
    assert code == 2
    assert f"process {first.pid} on " in second.err
    assert first.wait() == 0
    batch.check("shared")


def test_the_lock_of_a_process_that_died_is_taken_over(batch: Batch) -> None:
    process = batch.start("stale")
    wait_for(batch.folder / "stale", 1, process)
    process.signal(signal.SIGKILL)
    process.wait()
    assert (batch.folder / "stale" / ".batch.owner").exists()
    assert batch.start("stale").wait() == 0
    batch.check("stale")
