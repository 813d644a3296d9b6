"""What endpoints answered, as files that Gradio serves: in a folder of this process, the newest within a budget."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ui.web.limits import Limits
from xattn.errors import CannotWrite

GRADIO = "GRADIO_TEMP_DIR"
"""Where Gradio writes and what it serves files from; each page has a folder of its own there."""
_PREFIX, _LOCK = "xattn-ui-", ".lock"
_NEW, _LOCKED = 60.0, 2.0
"""Seconds: a folder may be so old and have no lock yet; a lock's file may be so old and not be held yet."""


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder for one process, which nobody else can read; Gradio's, too, as long as this lasts, then it is gone.

    By default Gradio's folder is the same for all of its programs on a machine: each would serve the others' files.
    Raises CannotWrite.
    """
    before = os.environ.get(GRADIO)
    try:
        if before is not None:
            Path(before).mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=before)).resolve()
        lock = FileLock(folder / _LOCK)
        lock.acquire()
    except OSError as error:
        where, name = (tempfile.gettempdir(), "TMPDIR") if before is None else (before, GRADIO)
        raise CannotWrite(where, f"{error.strerror}; set {name} to a folder that can be written") from error
    _sweep(folder.parent)
    os.environ[GRADIO] = str(folder)
    try:
        yield folder
    finally:
        lock.release()
        os.environ.pop(GRADIO)
        if before is not None:
            os.environ[GRADIO] = before
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what pages left that were killed: nobody holds their lock any more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or not _settled(folder):
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, Timeout):  # held, or somebody else's
            continue


def _settled(folder: Path) -> bool:
    """Whether it would be locked by now if anybody lived in it."""
    lock = folder / _LOCK
    made, wait = (lock, _LOCKED) if lock.exists() else (folder, _NEW)
    return time.time() - made.stat().st_mtime >= wait


@dataclass(frozen=True, slots=True)
class _Kept:
    session: str
    size: int
    made: float


class Files:
    """Files by name. Any thread may ask; the oldest go first: of the session, then of all; and all after an hour."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()

    def put(self, session: str, name: str, data: bytes) -> Path:
        """Write a file of this name under a folder that nobody can guess."""
        root = Path(os.environ.get(GRADIO) or Path(tempfile.gettempdir()) / "gradio").resolve()
        path = root / secrets.token_urlsafe(16) / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        with self._lock:
            self._kept[path] = _Kept(session, len(data), time.monotonic())
            self._drop(session)
        return path

    def nbytes(self, session: str | None = None) -> int:
        """What is kept, of a session or of all."""
        with self._lock:
            return self._size(session)

    def forget(self, session: str) -> None:
        """The session is over: nothing of it stays."""
        with self._lock:
            for path in [path for path, one in self._kept.items() if one.session == session]:
                self._remove(path)

    def _drop(self, session: str) -> None:
        limits = self._limits
        for path, one in list(self._kept.items())[:-1]:  # the one that was just written stays
            old = time.monotonic() - one.made > limits.file_seconds
            own = one.session == session and self._size(session) > limits.session_file_bytes
            if old or own or self._size(None) > limits.file_bytes:
                self._remove(path)

    def _size(self, session: str | None) -> int:
        return sum(one.size for one in self._kept.values() if session in (None, one.session))

    def _remove(self, path: Path) -> None:
        self._kept.pop(path)
        with contextlib.suppress(OSError):  # Gradio may have been faster
            path.unlink(missing_ok=True)
            path.parent.rmdir()
