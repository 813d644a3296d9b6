"""A picture needs no network, no web UI and no optional library: shown in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import write_model

ROOT = Path(__file__).parents[2]

DRAW = """
import sys
from xattn import Pipeline
result = Pipeline.from_pretrained(sys.argv[1])("a fox on red", seed=7, num_inference_steps=2)
assert any(low < high for low, high in result.image.getextrema()), "a flat picture"
print(*result.image.size)
"""

# Before anything is imported: whoever in this process reaches for another machine, or for its address, ends it. (An
# exception might be caught by a library that then goes on without the network; the claim is that none is asked for.
# Making a socket is no reach: urllib3 binds one to itself when imported, to see whether there is IPv6.)
NO_SOCKETS = """
import os, sys
def end(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"):
        sys.stderr.write(f"refused: {event} {arguments}")
        sys.stderr.flush()
        os._exit(9)
sys.addaudithook(end)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def python(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python; no setting of the caller's that keeps libraries offline may help."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(
        [sys.executable, *arguments], env={**inherited, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("reach", "event"),
    [
        ("socket.socket().connect(('127.0.0.1', 9))", "socket.connect"),
        ("socket.create_connection(('localhost', 9))", "socket.getaddrinfo"),
    ],
)
def test_the_socket_block_blocks(reach: str, event: str) -> None:
    done = python("-c", NO_SOCKETS + f"import socket; {reach}")
    assert done.returncode == 9
    assert f"refused: {event}" in done.stderr


def test_a_picture_is_drawn_with_all_sockets_blocked(model: Path, tmp_path: Path) -> None:
    done = python("-c", NO_SOCKETS + DRAW, model, XATTN_CACHE=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "64 64\n"), done.stderr


def test_a_picture_is_drawn_without_gradio_xformers_and_accelerate(model: Path, tmp_path: Path) -> None:
    """In a copy of the environment, by links, that lacks them: no import is faked."""
    missing = ("gradio", "xformers", "accelerate")
    packages = tmp_path / "packages"
    packages.mkdir()
    for folder in {path for path in sys.path if path.endswith("site-packages")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith(missing):
                (packages / entry.name).symlink_to(entry)
    path = os.pathsep.join((str(ROOT), str(packages)))
    absent = f"from importlib.util import find_spec; assert not any(map(find_spec, {missing}))\n"
    done = python("-S", "-c", absent + DRAW, model, PYTHONPATH=path, XATTN_CACHE=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "64 64\n"), done.stderr
