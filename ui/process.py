"""What the command `xattn` sets for its own process, and nobody who imports us ever gets set for them."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# Read by libraries when they are first imported. A setting of the user's stays.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # models are folders; no hub is asked, not even whether there is news
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",  # the bars of transformers, diffusers and safetensors; ours is rich's
}


class XformersNotice(logging.Filter):
    """Drops one record: that xformers found its C++ part unloadable. `xattn doctor` says it, with what it means."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for that record, True for every other."""
        return not record.getMessage().startswith("WARNING[XFORMERS]: xFormers can't load C++/CUDA extensions")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C. A class of its own, for Python ends by a signal, whatever the exit code, after any plain
    KeyboardInterrupt that passed through `exec` of a string, which dataclasses and named tuples call.
    """


def settle() -> None:
    """Quieten foreign notices, end cleanly when told to, and print any text on any terminal."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # before xformers or diffusers is imported: the record is made at first import
    logging.getLogger("xformers").addFilter(XformersNotice())
    # Pillow's DecompressionBombWarning: so large a picture gets a sentence from us
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
    # not where a shell asked for interrupts to be ignored, as it does for background jobs
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(ValueError):  # closed
                stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection meanwhile: imports make a million objects and no garbage, for a fifth of a start's time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the process. Else Python would first search all that torch has made for cycles, for over a second."""
    gc.freeze()
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  the system's signature
    raise Interrupted


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  the system's signature
    # SystemExit, so that temporary files are cleaned up on the way out; 128 + n as shells count
    sys.exit(128 + number)
