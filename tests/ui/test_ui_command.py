"""`xattn ui` before there is a page."""

from __future__ import annotations

import pytest

from ui.commands.ui import own


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.7", "desk.example.org", "")],
)
def test_an_address_that_others_reach_is_told_apart(host: str, ours: bool) -> None:
    assert own(host) is ours
