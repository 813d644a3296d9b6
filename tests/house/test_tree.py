"""The tracked tree: small files, a small whole, and nothing in it that belongs to one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = 400
MEBIBYTES = 50
ABSOLUTE = re.compile(r"(?<![\w./~-])/(?:home|root|Users|work|mnt|media)/\w+|[A-Z]:\\\\?Users\b")
MADE_UP = {"/" + "home/ann"}  # in tests of what refuses such a path


def tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_of_code_passes_four_hundred_lines() -> None:
    counts = {path: len(path.read_text().splitlines()) for path in tracked() if path.suffix == ".py"}
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in counts.items() if lines >= LINES] == []


def test_the_tracked_tree_stays_under_fifty_mebibytes() -> None:
    assert sum(path.stat().st_size for path in tracked()) < MEBIBYTES * 2**20


def test_no_tracked_text_holds_an_absolute_path_of_some_machine() -> None:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data:  # safetensors and pictures; their metadata is short and read by their own tests
            data = re.sub(rb"[^\x20-\x7e\n]+", b"\n", data[:65536])
        names = {match[0] for match in ABSOLUTE.finditer(data.decode(errors="replace"))} - MADE_UP
        found += [f"{path.relative_to(ROOT)}: {name}" for name in names]
    assert found == []


def test_no_room_is_called_utils() -> None:
    assert [path.name for path in tracked() if path.name in ("utils.py", "helpers.py", "misc.py", "common.py")] == []
