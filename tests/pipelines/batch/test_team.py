"""Several processes share one plan and one manifest, whatever the numbers of both."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.batch.manifest import read_manifest
from tests.forked import Process, Server
from tests.ui.conftest import environment

SIZE = 2


def launch(processes: Server, *argv: str | Path, cwd: Path) -> list[Process]:
    """Two processes with what `accelerate launch` puts into their environment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    common = {"WORLD_SIZE": str(SIZE), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    common |= {"LOCAL_WORLD_SIZE": str(SIZE), "ACCELERATE_USE_CPU": "true"}
    return [processes.start(*argv, cwd=cwd, **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(SIZE)]


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def provenance_apart(folder: Path) -> dict[str, object]:
    return {entry.file: (entry.sha256, entry.row) for entry in read_manifest(folder).entries.values()}


@pytest.mark.parametrize("length", range(2 * SIZE + 1))
def test_two_processes_make_what_one_makes(processes: Server, model: Path, tmp_path: Path, length: int) -> None:
    file = tmp_path / "rows.jsonl"
    # of one more row everything is there already: a length of 0 has nothing left to do
    file.write_text('{"prompt": "a dog", "seed": 1}\n')
    flags = ("batch", "rows.jsonl", "--model", model, "--batch-size", "1", "--json")
    assert processes.start(*flags, "--out", "two", cwd=tmp_path).wait() == 0
    with file.open("a") as more:
        more.writelines(json.dumps({"prompt": "a fox", "seed": seed}) + "\n" for seed in range(length))
    assert processes.start(*flags, "--out", "one", cwd=tmp_path).wait() == 0
    both = launch(processes, *flags, "--out", "two", cwd=tmp_path)
    assert [one.wait() for one in both] == [0, 0], both[0].err + both[1].err
    assert pictures(tmp_path / "two") == pictures(tmp_path / "one")
    assert provenance_apart(tmp_path / "two") == provenance_apart(tmp_path / "one")
    assert both[1].out == "", "the first process tells"
    events = [json.loads(line) for line in both[0].out.splitlines()]
    assert [event["event"] for event in events].count("made") == length
    assert (events[-1]["made"], events[-1]["total"]) == (length, length + 1)


def test_both_killed_and_started_again_lose_nothing(processes: Server, model: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox", "seed": "0-7"}\n')
    flags = ("batch", "rows.jsonl", "--model", model, "--batch-size", "2", "--json")
    assert processes.start(*flags, "--out", "one", cwd=tmp_path).wait() == 0
    both = launch(processes, *flags, "--out", "two", cwd=tmp_path)
    while not pictures(tmp_path / "two"):
        pass
    for one in both:
        one.signal(signal.SIGKILL)
    for one in both:
        one.wait()
    again = launch(processes, *flags, "--out", "two", cwd=tmp_path)
    assert [one.wait() for one in again] == [0, 0], again[0].err
    assert pictures(tmp_path / "two") == pictures(tmp_path / "one")
    assert provenance_apart(tmp_path / "two") == provenance_apart(tmp_path / "one")


def test_bad_rows_end_all_processes_before_anything_is_made(processes: Server, model: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox", "width": 3}\n')
    both = launch(processes, "batch", "rows.jsonl", "--model", model, "--out", "two", cwd=tmp_path)
    assert [one.wait() for one in both] == [2, 0]
    assert "rows.jsonl:1: width is 3" in both[0].err
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
def test_accelerate_launch_itself(model: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox", "seed": "0-4"}\n')
    command = Path(sys.executable).with_name("xattn")
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
         "--mixed_precision", "no", "--dynamo_backend", "no", command, "batch", "rows.jsonl", "--model", model,
         "--out", "out", "--batch-size", "1"],
        cwd=tmp_path,
        env=environment(XATTN_CACHE=str(tmp_path / "cache"), OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo"),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "out: 5 of 5 pictures, 5 of them new" in done.stdout
    assert len(read_manifest(tmp_path / "out").entries) == len(pictures(tmp_path / "out")) == 5
