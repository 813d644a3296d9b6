"""What holds for every test: one torch thread a process, and no network beyond this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# One process a core (pytest-xdist); more threads than that only wait for each other. Read before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# Timing is never a test, so hypothesis has no deadline either.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: a test that reaches for another machine fails there and then."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event == "socket.getaddrinfo":
        host = arguments[0] or ""
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if host not in LOCAL:
        raise RuntimeError(f"A test tried to reach {host}: tests know no network.")


sys.addaudithook(refuse_network)


@pytest.fixture(autouse=True)
def gradients_stay_on() -> Iterator[None]:
    """A test that leaves gradients off in this thread fails itself, not the next one that needs them."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        pytest.fail("This test left gradients off.")
