"""Which commands there are. Importing this loads no torch; each command loads what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.commands.batch import batch
from ui.commands.demo import demo
from ui.commands.doctor import doctor
from ui.commands.edit import edit
from ui.commands.explain import explain
from ui.commands.export import export
from ui.commands.generate import generate
from ui.commands.maps import maps
from ui.commands.ui import ui
from ui.commands.words import words
from xattn import __version__

# Plain help: it pastes well, is never taken for markup, and does without importing rich.
app = typer.Typer(
    name="xattn",
    help="Text to image, with cross-attention that you can see and edit.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 a mistake in what was asked, 1 anything else, 130 interrupted.",
)
app.command()(generate)
app.command()(batch)
app.command()(maps)
app.command()(edit)
app.command()(words)
app.command()(explain)
app.command()(doctor)
app.command()(demo)
app.command()(ui)
app.command()(export)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"xattn {__version__}")
        raise typer.Exit


@app.callback()
def _xattn(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
