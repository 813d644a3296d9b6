from __future__ import annotations

import errno
from pathlib import Path

import pytest

import ui.commands.generate
from tests.ui.conftest import Xattn
from xattn import __version__


def test_the_version_is_the_packages(xattn: Xattn) -> None:
    assert xattn("--version") == (0, f"xattn {__version__}\n", "")


def test_help_names_every_command_and_every_exit_code(xattn: Xattn) -> None:
    done = xattn("--help")
    assert (done.code, done.err) == (0, "")
    assert all(f"\n  {command} " in done.out for command in ("generate", "words", "doctor", "demo"))
    assert all(word in done.out for word in ("0 done", "2 a mistake", "1 anything", "130"))


def test_help_says_what_happens_to_a_file_that_is_there(xattn: Xattn) -> None:
    assert "one that is there is replaced" in " ".join(xattn("generate", "--help").out.split())


@pytest.mark.parametrize("arguments", [(), ("a fox",), ("--seed",), ("words", "--modl", "x"), ("doctor", "me")])
def test_what_is_not_understood_is_the_callers_mistake(xattn: Xattn, arguments: tuple[str, ...]) -> None:
    done = xattn(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "--help" in done.err
    assert "Traceback" not in done.err


def failing(error: BaseException):
    def load(*_: object) -> None:
        raise error

    return load


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch):
    """Make loading a model fail: what goes wrong beyond the caller's reach has no flag to ask for it."""
    return lambda error: monkeypatch.setattr(ui.commands.generate, "load", failing(error))


@pytest.mark.parametrize("error", [RuntimeError("out of\nmemory"), MemoryError(), OSError(errno.EIO, "broken disk")])
def test_anything_else_is_one_line_and_exit_code_1(xattn: Xattn, fail, here: Path, error: Exception) -> None:
    fail(error)
    done = xattn("generate", "a fox")
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert type(error).__name__ in done.err
    assert "XATTN_TRACEBACK=1" in done.err
    assert list(here.iterdir()) == []


def test_a_traceback_is_there_for_who_asks(xattn: Xattn, fail, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(RuntimeError("deep"))
    monkeypatch.setenv("XATTN_TRACEBACK", "1")
    done = xattn("generate", "a fox")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert "raise error\nRuntimeError: deep" in done.err


def test_an_interrupt_is_exit_code_130(xattn: Xattn, fail) -> None:
    fail(KeyboardInterrupt())
    assert xattn("generate", "a fox") == (130, "", "Interrupted.\n")
