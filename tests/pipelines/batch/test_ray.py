"""A real Ray on this machine: two workers, one of them killed in the middle. Only with the extra [ray]."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.batch.manifest import MANIFEST, read_manifest
from tests.ui.conftest import environment

pytestmark = pytest.mark.slow
XATTN = Path(sys.executable).with_name("xattn")


def workers(children_of: int) -> list[int]:
    """Ray's actors among the processes under this one."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    family, grown = {children_of}, True
    while grown:
        more = {int(pid) for pid, parent, _ in rows if int(parent) in family} - family
        family, grown = family | more, bool(more)
    return [int(pid) for pid, _, said in rows if int(pid) in family and "MapWorker" in said]


def test_a_killed_worker_loses_and_doubles_nothing(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox", "seed": "0-11", "num_inference_steps": 8}\n')
    flags = ["batch", "rows.jsonl", "--model", model, "--batch-size", "1"]
    settings = environment(XATTN_CACHE=str(tmp_path / "cache"), OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0")
    subprocess.run([XATTN, *flags, "--out", "one"], cwd=tmp_path, env=settings, check=True, capture_output=True)
    process = subprocess.Popen(
        [XATTN, *flags, "--out", "two", "--engine", "ray", "--workers", "2"],
        cwd=tmp_path,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    manifest = tmp_path / "two" / MANIFEST
    while process.poll() is None and not (manifest.exists() and manifest.read_bytes().count(b"\n") >= 2):
        time.sleep(0.02)
    found = workers(process.pid)
    assert found, "there are workers to kill"
    with contextlib.suppress(ProcessLookupError):
        os.kill(found[0], signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "12 of 12 pictures, 12 of them new" in out
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in ("one", "two"))
    assert two.keys() == one.keys()
    assert two == one
    assert len(read_manifest(tmp_path / "two").entries) == 12
    assert manifest.read_bytes().count(b"\n") == 12
