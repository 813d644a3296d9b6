"""What earlier runs left in the folder, and what of it still holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.batch.events import counted
from pipelines.batch.folder import NOTES, read_notes, write_notes
from pipelines.batch.manifest import MANIFEST, Entry, Lines, mark, read_manifest
from pipelines.batch.options import Options
from pipelines.batch.plan import Group, Plan
from pipelines.batch.sizes import fitting
from pipelines.batch.writer import is_there
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

_SHOWN = 10


class Past:
    """The folder's memory as this run uses it.

    notes: batch.json: sizes of batches by model, where memory ran out, what the run was made on
    """

    def __init__(self, notes: Mapping[str, Any], entries: Mapping[str, Entry] | None = None) -> None:
        self.entries = dict(entries or {})
        self._notes: dict[str, Any] = dict(notes)
        self._folder: Path | None = None
        self.found: dict[str, int] = {}
        """Sizes of batches that were asked for or found in this run."""
        self._notices: list[str] = []

    @classmethod
    def seen(cls, folder: Path) -> Past:
        """Of a folder that is only looked at."""
        made = cls(read_notes(folder), read_manifest(folder, lean=True).entries)
        made._folder = folder
        return made

    @classmethod
    def of(cls, folder: Path) -> Past:
        """Of a folder that is claimed. A torn last line of its manifest is cut off."""
        read = read_manifest(folder, lean=True)
        made = cls(read_notes(folder), read.entries)
        made._folder = folder
        if read.torn:
            lines = Lines(folder / MANIFEST)
            lines.cut(read.end)
            lines.close()
            made._notices.append("The last line of the manifest was torn by a kill; its picture is drawn again.")
        if read.broken:
            made._notices.append(
                f"Broken in the manifest: {counted(read.broken, 'line')}; what they spoke of is drawn again."
            )
        return made

    def size(self, options: Options) -> Callable[[Pipeline, Sequence[Recipe]], int]:
        """How large groups may be: as asked, or as in the run before, so that its pictures come again."""

        def size(pipe: Pipeline, recipes: Sequence[Recipe]) -> int:
            key = f"{str(pipe.model.ref.sha256)[:16]} {options.dtype} {options.device}"
            known = self._notes.get("sizes", {}).get(key) if options.batch_size == "auto" else options.batch_size
            self.found[key] = known if isinstance(known, int) and known > 0 else fitting(pipe, recipes)
            return self.found[key]

        return size

    def missing(self, made: Plan, options: Options) -> frozenset[str]:
        """Hashes of pictures that the plan asks for and the folder does not have."""
        folder = self._folder
        assert folder is not None
        asked = {item.hash: self.entries.get(item.hash) for item in made.items}
        return frozenset(
            hash_
            for hash_, entry in asked.items()
            if entry is None or not is_there(folder, entry, verify=options.verify)
        )

    def compare(self, made: Plan, options: Options) -> tuple[frozenset[str], tuple[str, ...]]:
        """Hashes of pictures that are missing, and what a person should know of changes since the run before.

        Pictures that rows of this source asked for and ask for no more are marked as superseded.
        """
        assert self._folder is not None
        asked = {item.hash for item in made.items}
        missing = self.missing(made, options)
        gone = [self.entries[hash_] for hash_ in missing if hash_ in self.entries]
        stale = [
            entry
            for hash_, entry in self.entries.items()
            if entry.source == made.source and hash_ not in asked and not entry.superseded
        ]
        again = [hash_ for hash_, entry in self.entries.items() if hash_ in asked and entry.superseded]
        lines = Lines(self._folder / MANIFEST)
        try:
            lines.append(
                *(mark(entry.hash, superseded=True) for entry in stale),
                *(mark(hash_, superseded=False) for hash_ in again),
            )
        finally:
            lines.close()
        notices = [*self._notices, *self._said(made, missing, stale, gone)]
        return missing, tuple(notices)

    def _said(self, made: Plan, missing: frozenset[str], stale: Sequence[Entry], gone: Sequence[Entry]) -> list[str]:
        notices = []
        if gone:
            files = _listed([entry.file for entry in gone])
            notices.append(
                f"In the manifest but not in the folder as it was: {counted(len(gone), 'picture')}, {files}."
            )
        if stale:
            new = {item.row for item in made.items if item.hash in missing}
            changed = sorted({entry.row for entry in stale} & new)
            if changed:
                rows = _listed(list(map(str, changed)))
                notices.append(f"Changed since the run before, and made anew: {counted(len(changed), 'row')}, {rows}.")
            notices.append(f"Asked for no more: {counted(len(stale), 'picture')}; they stay, marked as superseded.")
        if made.repeated:
            notices.append(f"Asked for more than once, and drawn once: {counted(made.repeated, 'picture')}.")
        return notices

    def note(self, made: Plan, options: Options, found: Mapping[str, int]) -> None:
        """Keep what the next run needs to make the same pictures. found: sizes of batches."""
        assert self._folder is not None
        if self._notes.get("sha256") != made.sha256:
            self._notes["limits"] = []  # they were of other groups
        self._notes |= {
            "source": made.source,
            "sha256": made.sha256,
            "sizes": {**self._notes.get("sizes", {}), **found},
            "model": str(options.model),
            "dtype": options.dtype,
            "device": options.device,
        }
        write_notes(self._folder, self._notes)


class Limits:
    """Where memory ran out: from which group on how many pictures at once, in later runs of the same rows too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = _limits(read_notes(folder))

    def of(self, group: Group) -> int:
        """How many pictures of the group at once: all, unless memory ran out at it or before it."""
        return min([group.size, *(size for number, size in self._known if number <= group.number)])

    def add(self, group: Group, size: int) -> None:
        """Memory ran out at this group. Raises CannotWrite."""
        from filelock import FileLock

        self._known.append((group.number, size))
        with FileLock(self._folder / f".{NOTES}.lock"):  # the run may have several processes
            notes = dict(read_notes(self._folder))
            known = sorted({*_limits(notes), *self._known})
            write_notes(self._folder, notes | {"limits": [list(one) for one in known]})


def _limits(notes: Mapping[str, Any]) -> list[tuple[int, int]]:
    return [(int(number), int(size)) for number, size in notes.get("limits", [])]


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
