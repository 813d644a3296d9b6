"""`xattn --help` answers with its own words, and loads nothing heavy to do so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("xattn")
HEAVY = ("torch", "numpy", "PIL", "diffusers", "transformers", "open_clip", "gradio", "xformers", "accelerate")

ASK = f"""
import sys
from ui.cli import main
sys.argv = ["xattn", *sys.argv[1:]]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
sys.stderr.write(",".join(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [(), ("generate",), ("words",), ("doctor",)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", ASK, *arguments, "--help"], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_help_prints_no_foreign_notices() -> None:
    done = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for command in ("generate", "words", "doctor", "demo"):
        assert command in done.stdout
    for foreign in HEAVY:
        assert f"{foreign.upper()}]" not in done.stdout.upper()
