"""The two commands do what they say and no more: read off `make -n`, in a folder whose `.venv` is there or is not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def set_up(clone: Path, *stamps: str) -> None:
    (clone / ".venv").mkdir()
    for stamp in (".made", *stamps):
        (clone / ".venv" / stamp).touch()


def plan(clone: Path, target: str) -> list[str]:
    """The commands that `make target` would run, one a line."""
    # `make test` runs this very test: what make hands on to the makes below it is not for this one
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(["make", "-n", target], cwd=clone, check=True, capture_output=True, text=True, env=outside)
    return done.stdout.replace("\\\n", "").splitlines()


def test_demo_installs_and_then_runs_xattn_demo_and_nothing_else(clone: Path) -> None:
    commands = plan(clone, "demo")
    assert "-m venv .venv" in commands[0]
    assert commands[1:] == [
        'echo "Installing into .venv, once: about 6 GB, a few minutes."',
        ".venv/bin/python -m pip install --disable-pip-version-check -e .",
        "touch .venv/.installed",
        ".venv/bin/xattn demo",
    ]


def test_a_second_demo_installs_nothing(clone: Path) -> None:
    set_up(clone, ".installed")
    assert plan(clone, "demo") == [".venv/bin/xattn demo"]


def test_demo_after_test_installs_nothing(clone: Path) -> None:
    set_up(clone, ".installed-dev", ".installed")
    assert plan(clone, "demo") == [".venv/bin/xattn demo"]
    assert not any("pip" in command for command in plan(clone, "test"))


def test_changed_dependencies_are_installed(clone: Path) -> None:
    set_up(clone, ".installed")
    later = (clone / ".venv" / ".installed").stat().st_mtime + 1
    os.utime(clone / "pyproject.toml", (later, later))
    assert any("pip install" in command for command in plan(clone, "demo"))


def test_make_test_runs_every_check(clone: Path) -> None:
    commands = plan(clone, "test")
    for check in ("ruff check .", "bin/mypy", "bin/lint-imports", "-m pytest"):
        assert any(check in command for command in commands), check


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("exit 1", "xattn needs Python 3.11 or newer"),
        ('case "$2" in *version_info*) ;; *) exit 1 ;; esac', "apt install python3-venv"),
    ],
    ids=["too old", "without venv"],
)
def test_make_says_which_python_it_lacks(clone: Path, python: str, sentence: str) -> None:
    tools = clone / "tools"
    tools.mkdir()
    for name in ("make", "bash", "touch"):
        (tools / name).symlink_to(shutil.which(name) or name)
    (tools / "python3").write_text(f"#!{tools / 'bash'}\n{python}\n")  # answers as such a Python answers
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        [tools / "make", "demo", f"SHELL={tools / 'bash'}"],
        cwd=clone,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert not (clone / ".venv").exists()


def test_ci_runs_make_test_and_stops_at_the_first_failure() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
