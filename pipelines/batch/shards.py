"""Attention maps of a batch: tar files, each with many pictures' maps, `<recipe hash>.npz` a picture.

A shard is written by one process and only ever gets longer; its members are on the disk before the manifest names the
shard. A process that dies leaves the last member torn, which nobody asks for, since the manifest does not name it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xattn.errors import BadValue, CannotWrite

if TYPE_CHECKING:
    from pipelines.attention_maps import AttentionMaps

FOLDER = "maps"
SHARD_BYTES = 256 * 2**20


class ShardWriter:
    """Appends maps to a shard of its own, and begins another when it is full."""

    def __init__(self, folder: Path, limit: int = SHARD_BYTES) -> None:
        self._folder, self._limit = folder / FOLDER, limit
        self._tar: tarfile.TarFile | None = None
        self._file: io.BufferedWriter | None = None
        self._name = ""

    def add(self, maps: Sequence[tuple[str, bytes]]) -> str:
        """Keep packed maps by recipe hash; the shard's name, once they are on the disk. Raises CannotWrite."""
        try:
            if self._file is not None and self._file.tell() > self._limit:
                self.close()
            if self._tar is None:
                self._open()
            assert self._tar is not None
            assert self._file is not None
            for recipe_hash, data in maps:
                member = tarfile.TarInfo(f"{recipe_hash}.npz")
                member.size = len(data)
                self._tar.addfile(member, io.BytesIO(data))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise CannotWrite(self._folder, (error.strerror or type(error).__name__).lower()) from error
        return self._name

    def close(self) -> None:
        """End the shard as a tar file ends."""
        if self._tar is not None and self._file is not None:
            self._tar.close()
            self._file.close()
        self._tar = self._file = None

    def _open(self) -> None:
        self._folder.mkdir(exist_ok=True)
        number = len(list(self._folder.glob("*.tar")))
        while True:
            path = self._folder / f"{number:05d}.tar"
            try:
                self._file = path.open("xb")
                break
            except FileExistsError:  # another process of this run took the number
                number += 1
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 closed later
        self._name = f"{FOLDER}/{path.name}"


def pack(maps: AttentionMaps) -> bytes:
    """Maps as the .npz that `AttentionMaps.save` writes."""
    from pipelines.maps_file import npz_bytes

    return npz_bytes(maps)


def find(folder: Path, shard: str, recipe_hash: str) -> AttentionMaps:
    """The maps of one picture. Raises BadValue where the shard does not have them."""
    from pipelines.maps_file import load_npz

    name = f"{recipe_hash}.npz"
    try:
        with tarfile.open(folder / shard, "r:") as tar:
            for member in tar:  # not getmember: it would read on to an end that may be torn
                if member.name == name and (file := tar.extractfile(member)) is not None:
                    return load_npz(io.BytesIO(file.read()))
    except (OSError, tarfile.TarError) as error:
        raise BadValue("maps", shard, "a shard that can be read", f"The system says: {error}") from error
    raise BadValue("maps", shard, f"a shard with the maps of {recipe_hash[:12]}…")
