"""Which weights a model has: one sha256 over all of its safetensors files.

    sha256( "path, sha256\n" for every *.safetensors below the folder, sorted by path )

`path` is relative to the model's folder and written with "/", so the hash is the same wherever the folder lies and
whatever it is called. Reading gigabytes takes seconds, so each file's hash is kept in the cache root for as long as
its size and time of change stay the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from pipelines.files import cache_root, write_whole
from xattn.errors import BadModel, CannotWrite

# A file written again within the clock's tick keeps its time: what changed just now is not trusted to a cache.
_SETTLED_SECONDS = 2.0


def model_hash(folder: str | Path) -> str:
    """64 hexadecimal digits for the weights in a model's folder. Raises BadModel where it holds none."""
    root = Path(folder)
    paths = sorted((path.relative_to(root).as_posix(), path) for path in _weights(root))
    if not paths:
        raise BadModel(
            f"The model folder {root.name!r} holds no .safetensors file; only models saved as safetensors are read, "
            "so convert it once with diffusers (save_pretrained(folder, safe_serialization=True))."
        )
    total = hashlib.sha256()
    for name, path in paths:
        total.update(f"{name}, {_file_hash(path)}\n".encode())
    return total.hexdigest()


def _weights(root: Path) -> list[Path]:
    return [
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".safetensors") and not name.startswith(".")
    ]


def _file_hash(path: Path) -> str:
    try:
        before = path.stat()
        note = _note_path(path)
        known = _read_note(note, before)
        if known is not None:
            return known
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadModel(f"{path.parent.name}/{path.name} cannot be read ({error.strerror}); copy it again.") from error
    if note is not None and time.time() - before.st_mtime > _SETTLED_SECONDS:
        _write_note(note, {"size": before.st_size, "mtime_ns": before.st_mtime_ns, "sha256": digest})
    return digest


def _note_path(path: Path) -> Path | None:
    """Where a file's hash is kept: one small note a file, named by a hash so that no path of the user's is stored."""
    root = cache_root()
    if root is None:
        return None
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return root / "hashes" / f"{name}.json"


def _read_note(note: Path | None, now: os.stat_result) -> str | None:
    if note is None:
        return None
    try:
        kept = json.loads(note.read_bytes())
    except (OSError, ValueError):  # not there, not readable or torn: then the file itself is read
        return None
    if not isinstance(kept, dict) or (kept.get("size"), kept.get("mtime_ns")) != (now.st_size, now.st_mtime_ns):
        return None
    digest = kept.get("sha256")
    return digest if isinstance(digest, str) and len(digest) == 64 else None


def _write_note(note: Path, content: dict[str, int | str]) -> None:
    # The hash is right with or without a cache, so a cache root that cannot be written only costs time.
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps(content).encode())
    except (OSError, CannotWrite):
        return
