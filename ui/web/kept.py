"""Pictures to begin with that pages put into the machine's store: the newest, within a budget of bytes.

The store itself removes nothing, for files that people saved refer to it. But a page puts something there with every
picture that it shows, so what pages alone put there has an end; what a command put there too, before or after, stays.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from pipelines.assets import Asset, AssetStore
from pipelines.files import write_whole
from xattn.errors import CannotWrite

_LIST, _LOCK = "of-pages.json", ".of-pages.lock"


class PageStore(AssetStore):
    """The store as a page has it.

    budget: bytes of pictures that only pages put there; the one that is put is kept, whatever its size

    Beside the pictures lies a list of what pages put there, each with the time of its file. Whoever else puts the same
    picture there touches the file, so its time is another one, and it is no page's any more.
    """

    def __init__(self, root: str | Path, budget: int) -> None:
        super().__init__(root)
        self._budget = budget

    @classmethod
    def here(cls, budget: int) -> PageStore:
        """The default store. Raises CannotWrite where there is none."""
        return cls(AssetStore.default().root, budget)

    def put(self, asset: Asset) -> Asset:
        """As the store's, and the oldest of what pages put there go where it is too much."""
        with self._alone():
            ours = self._ours()
            path = self.path(asset.sha256)
            others = path.is_file() and asset.sha256 not in ours
            made = super().put(asset)
            if not others:
                ours.pop(asset.sha256, None)
                ours[asset.sha256] = path.stat().st_mtime_ns
                self._shrink(ours)
                write_whole(self.root / _LIST, json.dumps(ours).encode())
        return made

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self.root / _LOCK)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise CannotWrite(self.root, f"{error.strerror}; set XATTN_CACHE to another folder") from error
        try:
            yield
        finally:
            lock.release()

    def _ours(self) -> dict[str, int]:
        """sha256 and time of what only pages put there, the oldest first."""
        try:
            listed = json.loads((self.root / _LIST).read_text(encoding="utf-8"))
            return {name: time for name, time in listed.items() if self._time(name) == time}
        except (OSError, ValueError, AttributeError):  # none yet, or broken: then nothing is a page's
            return {}

    def _time(self, sha256: str) -> int | None:
        try:
            return self.path(sha256).stat().st_mtime_ns
        except OSError:
            return None

    def _shrink(self, ours: dict[str, int]) -> None:
        sizes = {name: self.path(name).stat().st_size for name in ours}
        for name in [*ours][:-1]:
            if sum(sizes.values()) <= self._budget:
                return
            with contextlib.suppress(OSError):
                self.path(name).unlink()
            del ours[name], sizes[name]
