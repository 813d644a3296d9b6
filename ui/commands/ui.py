"""`xattn ui`: the web page."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated

import typer

from ui.process import without_collection
from ui.request import parse_whole
from ui.terminal import say
from xattn.errors import BadValue, Unsupported


def ui(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Who may reach it: 127.0.0.1 is this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        str | None, typer.Option(metavar="N", help="The port.", show_default="7860, or the next that is free")
    ] = None,
    models_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="A folder of model folders to choose from.", show_default=False)
    ] = None,
    auth: Annotated[
        str | None, typer.Option(metavar="NAME:PASSWORD", help="Ask for these first.", show_default=False)
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Also at a public address of Gradio's, through their server. Use --auth.")
    ] = False,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve the endpoints as tools for models too; needs the extra `mcp`.")
    ] = False,
) -> None:
    """Open the web page: type, look where words look, paint them elsewhere.

    It is served to this machine alone unless --host says otherwise, and stops with Ctrl-C.
    """
    host = address(host)
    number = None if port is None else parse_whole("--port", port)
    if number is not None and not 1 <= number <= 65535:
        raise BadValue("--port", number, "a whole number from 1 to 65535")
    credentials = _credentials(auth)
    if mcp and find_spec("mcp") is None:
        raise Unsupported("--mcp needs packages that are not installed; get them with: pip install 'xattn[mcp]'")
    if share and credentials is None:
        raise BadValue("--share", True, "given together with --auth", "Anybody on the internet can reach that address")
    from ui.web.early import Early
    from ui.web.files import own_folder
    from ui.web.models import Models
    from ui.web.stubs import without_stubs

    models = Models.in_folder(models_dir)
    early = Early(host, number)
    say(f"xattn is starting at {early.address}")
    if credentials is None and not own(host):
        say(
            "Anybody who reaches this machine can use the page: --host opens it, and nobody is asked for a password. "
            "Add --auth NAME:PASSWORD, or leave --host out."
        )
    with own_folder():  # before gradio is imported, which reads it then
        with without_collection(), without_stubs(tools=mcp):
            from ui.web.app import Serving, serve
            from ui.web.limits import Limits
            from ui.web.studio import Studio
        studio = Studio(models, Limits())
        serve(studio, Serving(host, early.port, credentials, share, mcp), say, early=early)


def address(host: str) -> str:
    """As URLs have it: one of IPv6 in brackets. Raises BadValue where it is empty, which would be every address."""
    if not host.strip("[] "):
        raise BadValue("--host", host, "an address of this machine", "Leave it out for this machine alone")
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def own(host: str) -> bool:
    """Whether an address is this machine's own, which no other reaches."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _credentials(auth: str | None) -> tuple[str, str] | None:
    if auth is None:
        return None
    name, colon, password = auth.partition(":")
    if not (name and colon and password):
        raise BadValue("--auth", "text", "NAME:PASSWORD", "As in --auth ann:long-and-secret")
    return name, password
