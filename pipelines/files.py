"""Files: written whole or not at all, a model's JSON, and the folder where caches live."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xattn.errors import BadModel, CannotWrite


def cache_root() -> Path | None:
    """XATTN_CACHE, by default ~/.cache/xattn; None where there is no home. It may not exist or not be writable."""
    asked = os.environ.get("XATTN_CACHE")
    if asked:
        return Path(asked)
    try:
        return Path.home() / ".cache" / "xattn"
    except RuntimeError:  # no HOME and no entry in the user database, as in some containers
        return None


def check_writable(path: str | Path) -> Path:
    """`path` where a file can be expected to be writable, told before any work is done. Raises CannotWrite.

    Nothing is written or made. A disk may still fill up later; `write_whole` then says so.
    """
    target = Path(path)
    # a null byte makes every call of the system raise ValueError, which is not an OSError
    if "\0" in str(target):
        raise CannotWrite(path, "the name holds a null byte; choose another name")
    parent = target.parent
    try:
        if target.is_dir():
            raise CannotWrite(path, "it is a folder; give the name of a file in it")
        if not parent.exists():
            raise CannotWrite(path, f"the folder {parent.name!r} does not exist; make it first")
        if not parent.is_dir():
            raise CannotWrite(path, f"{parent.name!r} is a file, not a folder")
    except OSError as error:
        raise CannotWrite(path, _reason(error)) from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise CannotWrite(path, f"no permission to write into the folder {parent.name!r}; choose another folder")
    return target


def make_folder(path: str | Path) -> Path:
    """The folder, made with those above it where it is not there. Raises CannotWrite."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise CannotWrite(path, "it is a file, not a folder; choose another folder") from error
    except OSError as error:
        raise CannotWrite(path, f"{_reason(error)}; choose another folder") from error
    return Path(path)


def write_whole(path: str | Path, data: bytes) -> Path:
    """Write `data` so that `path` holds all of it or what it held before, even through a crash. Raises CannotWrite."""
    return _write(path, data, os.replace)


def write_new(path: str | Path, data: bytes) -> Path:
    """The same for a file that is not there yet, and never over one that another process makes meanwhile.

    Raises FileExistsError where there is one, CannotWrite otherwise.
    """
    return _write(path, data, _place_new)


def _place_new(temporary: Path, target: Path) -> None:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(temporary, target)
    except OSError as error:
        # FAT and some network shares have no links; then only the look before is left
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        os.replace(temporary, target)
    else:
        temporary.unlink()


def _write(path: str | Path, data: bytes, place: Callable[[Path, Path], None]) -> Path:
    """A temporary file, whole and on the disk, then its place.

    It lies in the same folder, for a rename is atomic only within one file system.
    """
    target = check_writable(path)
    # short, so that a name near the system's limit still works; opened by hand, for tempfile makes files that
    # nobody but their owner may read
    temporary = target.parent / f".xattn-{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            place(temporary, target)
        except BaseException:  # an interrupt too leaves nothing behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except FileExistsError:
        raise
    except OSError as error:
        raise CannotWrite(path, _reason(error)) from error
    _sync_folder(target.parent)
    return target


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model's file. Raises BadModel."""
    where = f"{path.parent.name}/{path.name}"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadModel(f"The model has no {where}; copy the whole model folder.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadModel(f"{where} is not readable JSON ({error}); copy the file again.") from error
    if not isinstance(value, dict):
        raise BadModel(f"{where} holds a {type(value).__name__}, but it must be a JSON object.")
    return value


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
