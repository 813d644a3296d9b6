"""`xattn doctor`: what works on this machine, and why the rest does not."""

from __future__ import annotations

import typer

from ui.terminal import answers

STYLES = {"yes": "green", "no": "yellow", "bad": "bold red"}


def doctor() -> None:
    """Say what works on this machine, and why the rest does not.

    "no" is done without; "bad" must be mended before a picture can be drawn, and makes the exit code 1.
    """
    from rich.table import Table
    from rich.text import Text

    from ui.doctor import examine
    from ui.progress import bar

    with bar("Looking around"):
        findings = list(examine())
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(finding.what, Text(finding.state, style=STYLES[finding.state]), Text(finding.detail))
    answers().print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)
