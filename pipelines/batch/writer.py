"""Pictures onto the disk, in a thread of their own: encoding and saving never hold up the next picture.

The order is what makes a kill harmless: maps, then the picture (a temporary file, fsync, its name), then its line in
the manifest.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.assets import AssetStore
from pipelines.batch.manifest import MANIFEST, Entry, Lines
from pipelines.batch.shards import ShardWriter, pack
from pipelines.files import write_new, write_whole
from pipelines.metadata import FORMATS, file_bytes, keep_assets, read_recipe
from xattn.errors import XattnError

if TYPE_CHECKING:
    from pipelines.batch.plan import Item
    from pipelines.pipeline import Result

ASSETS = "assets"
_WAITING = 2
"""Groups that may wait for the writer: more would only hold memory."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A picture as its file has it. maps: packed, None where none are kept."""

    item: Item
    data: bytes
    provenance: dict[str, object]
    seconds: float
    maps: bytes | None


def parcel(item: Item, result: Result, form: str) -> Parcel:
    """Encode a result; `form` is a suffix without its dot."""
    return Parcel(
        item,
        file_bytes(result, FORMATS[f".{form}"]),
        result.provenance.document(),
        round(result.stats.seconds / result.provenance.batch, 4),
        None if result.maps is None else pack(result.maps),
    )


class Writer:
    """Writes what it is given, in order; what stopped it is raised at the next call."""

    def __init__(self, folder: Path, source: str, form: str, *, shared: bool = False) -> None:
        self._folder, self._source, self._suffix = folder, source, f".{form}"
        self._manifest = Lines(folder / MANIFEST, shared=shared)
        self._shards = ShardWriter(folder)
        self._kept: set[str] = set()
        self._error: BaseException | None = None
        self._made: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._jobs: queue.Queue[Sequence[Callable[[], Parcel]] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="batch writer")
        self._thread.start()

    def put(self, parcels: Sequence[Callable[[], Parcel]]) -> None:
        """Hand over pictures that belong together, each as a function that encodes it. Waits while others wait.

        Raises what stopped the writer, CannotWrite above all.
        """
        self._check()
        self._jobs.put(parcels)

    def made(self) -> list[Entry]:
        """What has come onto the disk since this was last asked. Raises what stopped the writer."""
        self._check()
        return self._taken()

    def close(self) -> list[Entry]:
        """Write all that was handed over, and stop; what has come onto the disk since `made` was asked."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
            self._manifest.close()
        return self._taken()

    def check(self) -> None:
        """Raises what stopped the writer."""
        self._check()

    def _taken(self) -> list[Entry]:
        taken = []
        while True:
            try:
                taken.append(self._made.get_nowait())
            except queue.Empty:
                return taken

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._error is None:
                try:
                    self._write([encode() for encode in job])
                except BaseException as error:  # noqa: BLE001  raised again in the thread that draws
                    self._error = error
        self._shards.close()

    def _write(self, parcels: Sequence[Parcel]) -> None:
        packed = [(one.item.hash, one.maps) for one in parcels if one.maps is not None]
        shard = self._shards.add(packed) if packed else ""
        for one in parcels:
            file = self._place(one)
            entry = Entry(
                row=one.item.row,
                hash=one.item.hash,
                file=file.name,
                sha256=hashlib.sha256(one.data).hexdigest(),
                size=len(one.data),
                seconds=one.seconds,
                source=self._source,
                recipe=one.item.recipe.portable().document(),
                provenance=one.provenance,
                maps="" if one.maps is None else shard,
            )
            self._manifest.append(entry.record())
            self._made.put(replace(entry, recipe={}, provenance={}))

    def _place(self, one: Parcel) -> Path:
        """Write the picture under a name of its own: another's file of that name is never replaced."""
        for digits in (8, 16, 64):
            path = self._folder / f"{one.item.stem(digits)}{self._suffix}"
            if path.exists():
                if not _is(path, one.item.hash):
                    continue
                # ours, from a run that ended between the picture and its line in the manifest
                self._keep(one.item, path)
                return write_whole(path, one.data)
            try:
                self._keep(one.item, path)
                return write_new(path, one.data)
            except FileExistsError:
                continue
        raise XattnError(f"{path.name!r} is there already and holds something else; move it away.")

    def _keep(self, item: Item, path: Path) -> None:
        """Pictures that the recipe refers to, beside the output and where `xattn generate` looks for them."""
        new = [asset for asset in item.recipe.assets if asset.sha256 not in self._kept]
        if new:
            AssetStore(self._folder / ASSETS).keep(new)
            keep_assets(item.recipe, path)
            self._kept |= {asset.sha256 for asset in new}


def _is(path: Path, recipe_hash: str) -> bool:
    """Whether the file holds the picture of that recipe."""
    try:
        return read_recipe(path).hash == recipe_hash
    except XattnError:
        return False


def is_there(folder: Path, entry: Entry, *, verify: bool) -> bool:
    """Whether a picture of the manifest is in the folder still. verify: and holds every byte that it held."""
    try:
        path = folder / entry.file
        if not verify:
            return os.stat(path).st_size == entry.size  # noqa: PTH116  a third of the time of Path.stat, a million times
        return hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    except OSError:
        return False
