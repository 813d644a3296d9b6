"""What a process costs before its first picture: seconds to import and load, and the most memory it held.

    python -m benchmarks.start xattn FOLDER float32 TASK     is the process that is measured

`measure` starts it and looks on. Each peer has a process of its own and loads by its own loader.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers import Task

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was asked for, and bytes held (resident), at most and after the imports."""

    imported_seconds: float
    loaded_seconds: float
    first_picture_seconds: float
    imported_bytes: int
    peak_bytes: int


def measure(peer: str, folder: Path, dtype: str, task: Task, threads: int) -> Start:
    """Run one peer in a process of its own and watch it. Raises RuntimeError where that process fails."""
    import psutil

    command = [sys.executable, "-m", "benchmarks.start", peer, str(folder), dtype, json.dumps(asdict(task))]
    begun = time.perf_counter()
    with subprocess.Popen([*command, str(threads)], cwd=ROOT, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        watched = psutil.Process(child.pid)
        marks: dict[str, float] = {}
        imported = peak = 0
        # resident memory is sampled: ru_maxrss of a child begins at its parent's, and the parent holds models
        while child.poll() is None:
            try:
                held = watched.memory_info().rss
            except psutil.NoSuchProcess:
                break
            peak = max(peak, held)
            # unbuffered, so select sees every line that is not read yet
            if select.select([child.stdout], [], [], 0.005)[0]:
                mark = child.stdout.readline().decode().strip()
                marks[mark] = time.perf_counter() - begun
                imported = held if mark == "imported" else imported
        for line in child.stdout:
            marks[line.decode().strip()] = time.perf_counter() - begun
    if child.returncode:
        raise RuntimeError(f"The process of {peer} ended with {child.returncode}; what it wrote is above.")
    return Start(marks["imported"], marks["loaded"], marks["drawn"], imported, peak)


def _main(peer: str, folder: str, dtype: str, task: str, threads: str) -> None:
    import torch

    torch.set_num_threads(int(threads))
    if peer == "xattn":
        from xattn import Pipeline

        _mark("imported")
        pipe = Pipeline.from_pretrained(folder, dtype=dtype)
    else:
        from diffusers import StableDiffusionPipeline  # from_pretrained imports the rest, as ours does

        _mark("imported")
        pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True)
    _mark("loaded")
    from benchmarks import peers

    drawn = json.loads(task)
    (peers.Ours(pipe) if peer == "xattn" else peers.Theirs(pipe)).draw(peers.Task(**drawn))
    _mark("drawn")


def _mark(name: str) -> None:
    print(name, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
