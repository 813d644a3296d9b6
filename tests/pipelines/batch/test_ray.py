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


def workers(mark: str) -> list[int]:
    """Ray's actors that draw, and that have our mark in their environment: nobody else's are touched."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            drawing = b"ray::MapWorker(MapBatches(Drawer))" in (place / "cmdline").read_bytes()
            if drawing and mark.encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
    return found


def test_a_killed_worker_loses_and_doubles_nothing(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a fox", "seed": "0-39", "num_inference_steps": 8}\n')
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
    found = workers(str(tmp_path))
    assert found, "there are workers to kill"
    os.kill(found[0], signal.SIGKILL)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "40 of 40 pictures, 40 of them new" in out
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in ("one", "two"))
    assert two.keys() == one.keys()
    assert two == one
    assert len(read_manifest(tmp_path / "two").entries) == 40
    assert manifest.read_bytes().count(b"\n") == 40
