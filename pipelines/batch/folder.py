"""The output folder: whose it is, what it remembers of earlier runs, and what its files are called."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.files import write_whole
from xattn.errors import CannotWrite, XattnError

if TYPE_CHECKING:
    from filelock import BaseFileLock

NOTES = "batch.json"
_LOCK, _OWNER = ".batch.lock", ".batch.owner"


class Busy(XattnError):
    """Another process is drawing into the folder; `owner` says which."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.owner = owner
        super().__init__(f"{str(folder)!r} belongs to {owner}; wait for it or end it, or choose another folder.")


def check_folder(out: str | Path) -> Path:
    """A folder that can be written into, as far as it can be told now; it may not be there yet.

    Tried by a file without a name, so read-only systems are found out for root too. Raises CannotWrite.
    """
    folder = Path(out)
    try:
        if not str(out).strip() or "\0" in str(out):
            raise CannotWrite(out, "this is no name of a folder; give one")
        if folder.exists() and not folder.is_dir():
            raise CannotWrite(out, "it is a file; give a folder")
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir():
            raise CannotWrite(out, f"{there.name!r} is a file, not a folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise CannotWrite(out, f"{(error.strerror or type(error).__name__).lower()}; choose another folder") from error
    return folder


@dataclass(slots=True)
class Claim:
    """The folder is this process's until `release`. The system frees the lock of a process that dies."""

    folder: Path
    _lock: BaseFileLock
    _named: bool = False

    def release(self) -> None:
        """Let others in."""
        if self._named:
            with contextlib.suppress(OSError):
                (self.folder / _OWNER).unlink(missing_ok=True)
        self._lock.release()


def claim(folder: Path, ranks: int = 1) -> Claim:
    """Make the folder and take it. Raises Busy, which names the owner, and CannotWrite.

    What a process left that died there is cleared away: its lock, and files it had not finished.
    ranks: how many processes of this run there are; the others show themselves by `claim_rank`.
    """
    from filelock import FileLock, Timeout

    lock: BaseFileLock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        for other in sorted(folder.glob(f"{_LOCK}-*")):
            with FileLock(other).acquire(timeout=0):
                pass
            other.unlink(missing_ok=True)
    except Timeout as error:
        lock.release()
        raise Busy(folder, _owner(folder)) from error
    except OSError as error:
        raise CannotWrite(folder, (error.strerror or type(error).__name__).lower()) from error
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
    write_whole(folder / _OWNER, json.dumps(owner | {"processes": ranks}).encode())
    for left in folder.glob(".xattn-*.tmp"):  # of a process that was killed while it wrote
        left.unlink(missing_ok=True)
    return Claim(folder, lock, _named=True)


def claim_rank(folder: Path, rank: int) -> Claim:
    """The same for the other processes of a run that has claimed the folder."""
    from filelock import FileLock

    lock = FileLock(folder / f"{_LOCK}-{rank}")
    lock.acquire()
    return Claim(folder, lock)


def rank_is_alive(folder: Path, rank: int) -> bool:
    """Whether that process of the run still holds its part of the folder."""
    from filelock import FileLock, Timeout

    path = folder / f"{_LOCK}-{rank}"
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _owner(folder: Path) -> str:
    try:
        said = json.loads((folder / _OWNER).read_text())
        return f"process {said['pid']} on {said['host']}, which has been drawing into it since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which is drawing into it"


def read_notes(folder: Path) -> Mapping[str, Any]:
    """What earlier runs noted of themselves; empty where there was none, or where it cannot be made out."""
    try:
        made = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) else {}


def write_notes(folder: Path, notes: Mapping[str, object]) -> None:
    """Keep them. Raises CannotWrite."""
    write_whole(folder / NOTES, json.dumps({"v": 1, **notes}, ensure_ascii=False, indent=1).encode())
