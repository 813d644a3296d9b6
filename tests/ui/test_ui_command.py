"""`xattn ui` before there is a page."""

from __future__ import annotations

import pytest

from ui.commands.ui import address, own
from xattn.errors import BadValue


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.7", "desk.example.org", "")],
)
def test_an_address_that_others_reach_is_told_apart(host: str, ours: bool) -> None:
    assert own(host) is ours


def test_addresses_are_as_urls_have_them_and_an_empty_one_is_none() -> None:
    assert [address(host) for host in ("::1", "[::1]", "0.0.0.0")] == ["[::1]", "[::1]", "0.0.0.0"]
    with pytest.raises(BadValue, match=r"--host is .* Leave it out"):
        address(" ")
