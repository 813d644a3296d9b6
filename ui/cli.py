"""The command `xattn`: which commands there are, and what a run's end looks like from a shell.

Exit codes:

    0     done
    1     anything that is nobody's mistake here: one line, and the traceback with XATTN_TRACEBACK=1
    2     the caller's mistake, in a sentence; nothing was written
    130   interrupted (Ctrl-C); finished pictures stay, half a picture never does
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from ui.commands.demo import demo
from ui.commands.doctor import doctor
from ui.commands.generate import generate
from ui.commands.words import words
from ui.process import settle
from ui.terminal import say
from xattn import __version__
from xattn.errors import XattnError

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

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
app.command()(words)
app.command()(doctor)
app.command()(demo)


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


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code; messages go to stderr."""
    try:
        answer = get_command(app).main(args=list(arguments), prog_name="xattn", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        answer = INTERRUPTED
    except typer.TyperException as error:  # a flag or an argument that is not understood
        say(_usage(error))
        return error.exit_code
    except XattnError as error:
        say(str(error))
        return MISTAKE
    except BrokenPipeError:  # the reader left, as in `xattn words | head`; the last flush must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001  the outermost place: nothing is hidden, it is told in one line
        if os.environ.get("XATTN_TRACEBACK") == "1":
            traceback.print_exc()
        say(_unexpected(error))
        return FAILED
    if answer == INTERRUPTED:
        say("Interrupted.")
    return answer if isinstance(answer, int) else DONE


def _usage(error: typer.TyperException) -> str:
    """What typer found, in one sentence, and where to read on; a bare `xattn` has its help instead."""
    message = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "xattn"
    return f"{' '.join(message.split())} See {command} --help."


def _unexpected(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    hint = "" if os.environ.get("XATTN_TRACEBACK") == "1" else " (XATTN_TRACEBACK=1 shows where)"
    return f"xattn failed with {what}{hint}"


def main() -> None:
    """The console script."""
    settle()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
