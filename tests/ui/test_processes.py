"""What only a process of its own can show: imports, signals, terminals and pipes. Few, for each start costs seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.conftest import environment, python

XATTN = (sys.executable, "-m", "ui.cli")


def test_help_imports_nothing_heavy_and_prints_no_foreign_notice(tmp_path: Path) -> None:
    code = (
        "import sys; from ui.cli import run\n"
        "assert run(['--help']) == run(['generate', '--help']) == run(['--version']) == 0\n"
        "heavy = 'torch diffusers transformers gradio open_clip xformers numpy PIL rich accelerate'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = python("-c", code, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "[]"


def test_in_a_pipe_there_is_only_the_answer(model: Path, tmp_path: Path) -> None:
    done = python(
        *XATTN[1:],
        *("generate", "a fox", "--seed", "7", "--json", "--model", model),
        folder=tmp_path,
        XATTN_CACHE=str(tmp_path / "cache"),
        FORCE_COLOR="1",  # rich takes it for a terminal; we ask the stream
    )
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["images"][0]["file"] == "out/a-fox-7.png"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-fox-7.png"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there is no pty to be a terminal")
@pytest.mark.parametrize("what", [("generate", "a fox"), ("maps", "a fox"), ("edit", "a fox", "a dog")])
def test_ctrl_c_on_a_terminal_ends_the_bar_with_130_and_leaves_nothing(
    model: Path, tmp_path: Path, what: tuple[str, ...]
) -> None:
    ours, theirs = os.openpty()
    # a shell's background job ignores SIGINT, and so would what it starts
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [*XATTN, *what, "--steps", "1000", "--model", model, "--out", "made/here"],
            cwd=tmp_path,
            env=environment(XATTN_CACHE=str(tmp_path / "cache"), TERM="xterm"),
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(theirs)
    seen = b""
    while b"/1000" not in seen:
        seen += os.read(ours, 1024)
    process.send_signal(signal.SIGINT)
    while chunk := _read(ours):
        seen += chunk
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"Interrupted." in seen
    assert b"Traceback" not in seen
    assert "xFormers" not in seen.decode(), "no foreign notice"
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # how Linux says that the other side is closed
        return b""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows ends processes without a word")
def test_a_process_told_to_terminate_cleans_up_first(tmp_path: Path) -> None:
    code = (
        "import os, signal, time; from ui.process import settle; settle()\n"
        "try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "finally: print('cleaned up')"
    )
    assert python("-c", code, folder=tmp_path) == (143, "cleaned up\n", "")


@pytest.mark.parametrize("argument", ["--help", "--version"], ids=["typer prints", "we print"])
def test_a_reader_that_leaves_early_is_no_accident(tmp_path: Path, argument: str) -> None:
    process = subprocess.Popen(
        [*XATTN, argument],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (1, b"")
