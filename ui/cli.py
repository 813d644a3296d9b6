"""The command `xattn`, and what a run's end looks like from a shell.

Exit codes:

    0     done
    1     anything that is nobody's mistake here: one line, and the traceback with XATTN_TRACEBACK=1
    2     the caller's mistake, in a sentence; nothing was written
    130   interrupted (Ctrl-C); finished pictures stay, half a picture never does

Even typer is imported only inside `run`, so that an interrupt is met from the first moment on.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ui.process import leave, settle
from ui.terminal import say
from xattn.errors import XattnError

if TYPE_CHECKING:
    from typer import TyperException

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main() -> None:
    """The console script."""
    settle()
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code; messages go to stderr."""
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except XattnError as error:
        say(str(error))
        code = MISTAKE
    except BrokenPipeError:  # the reader left, as in `xattn words | head`; the last flush must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Exception as error:  # noqa: BLE001  the outermost place: nothing is hidden, it is told in one line
        code = INTERRUPTED if _was_interrupted(error) else _failed(error)
    if code == INTERRUPTED:
        say("Interrupted.")
    return code


def _command(arguments: Sequence[str]) -> int:
    import typer
    from typer.main import get_command

    from ui.app import app

    try:
        answer = get_command(app).main(args=list(arguments), prog_name="xattn", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as error:  # a flag or an argument that is not understood
        say(_usage(error))
        return error.exit_code
    return answer if isinstance(answer, int) else DONE


def _usage(error: TyperException) -> str:
    """What typer found, in one sentence, and where to read on; a bare `xattn` has its help instead."""
    message = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "xattn"
    said = " ".join(message.split())
    return f"{said}{'' if said.endswith(('.', '?', '!')) else '.'} See {command} --help."


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an interrupt lies under this error: Python itself wraps what is raised in a class's `__set_name__`."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _failed(error: Exception) -> int:
    wanted = os.environ.get("XATTN_TRACEBACK") == "1"
    if wanted:
        traceback.print_exception(error)
    lines = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    say(f"xattn failed with {what}{'' if wanted else ' (XATTN_TRACEBACK=1 shows where)'}")
    return FAILED


if __name__ == "__main__":
    main()
