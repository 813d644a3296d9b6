"""One small model for all, a way to run a command line in this process, and one to run it in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright import sync_api

from tests.models import WORDS, write_model
from ui.cli import run
from ui.process import XformersNotice

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Xattn = Callable[..., Done]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests, for Playwright allows one of itself a thread.

    Without one they are skipped, but not where CI says that there is one.
    """
    if CHROMIUM is None:
        reason = "no Chromium on this machine: apt install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows its words, all but "cream", and draws with two steps unless told otherwise."""
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    kinds = {"object": ["fox", "cat", "dog", "ice cream"], "color": ["purple", "red"], "filler": ["a", "on", "and"]}
    assert {word for names in kinds.values() for name in names for word in name.split()} == set(WORDS)
    (folder / "vocabulary.json").write_text(json.dumps({"version": 1, "kinds": kinds}))
    (folder / "defaults.json").write_text(json.dumps({"num_inference_steps": 2}))
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a cache elsewhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def xattn(here: Path, capsys: pytest.CaptureFixture[str]) -> Xattn:
    """Run a command line in this process, in an empty folder."""
    # what main() does for a process of ours, once; here it is the first import that would print
    logging.getLogger("xformers").addFilter(XformersNotice())

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


def environment(**settings: str) -> dict[str, str]:
    """This process's environment, without what changes how libraries or Python print, for a process of its own."""
    quiet = ("HF_", "TRANSFORMERS_", "TQDM_", "XATTN_", "FORCE_COLOR", "NO_COLOR", "PYTHONUNBUFFERED")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(quiet)}
    return {**inherited, "PYTHONPATH": str(ROOT), **settings}


def python(*arguments: str | Path, folder: Path, **settings: str) -> Done:
    """Run this Python with `arguments` in `folder`."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(**settings), capture_output=True, text=True
    )
    return Done(done.returncode, done.stdout, done.stderr)
