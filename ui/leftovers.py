"""What an earlier call left in a folder: nothing there is ever removed, so the call that comes after it says so."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_MOST = 6
"""Names that the sentence has; of more it tells how many."""
_ENDS = (".npy", ".png", "-overlay.png")
_MAPS = ("picture.png", "sheet.pdf", "place-*.png")
_EDITS = ("target-*.png", "target-*-maps")


def of_maps(folder: Path, written: Iterable[Path]) -> tuple[str, ...]:
    """Files of `xattn maps` that this call did not write: other words', other places'."""
    return _left(folder, {*_of_words(folder), *_found(folder, _MAPS)}, written)


def of_edits(folder: Path, written: Iterable[Path]) -> tuple[str, ...]:
    """The same of `xattn edit`: other targets, and other words' maps of those that this call wrote too."""
    names = _found(folder, _EDITS)
    for maps in folder.glob("*-maps"):
        names |= {f"{maps.name}/{name}" for name in _of_words(maps)}
    whole = [name for name in names if (folder / name).is_dir()]
    ours = {*map(Path, written)}
    stale = {name for name in whole if not any((folder / name) in one.parents for one in ours)}
    names = {name for name in names if name not in whole and name.split("/")[0] not in stale}
    return tuple(sorted((*stale, *_left(folder, names, ours))))


def told(folder: Path, left: tuple[str, ...]) -> str:
    """The sentence."""
    named = ", ".join(left[:_MOST])
    more = "" if len(left) <= _MOST else f" and {len(left) - _MOST} more"
    return f"{str(folder)!r} also has what an earlier call wrote: {named}{more}. Give another --out to keep them apart."


def _of_words(folder: Path) -> set[str]:
    """What is there of each word that has numbers there."""
    words = [path.stem for path in folder.glob("*.npy")]
    return {f"{word}{end}" for word in words for end in _ENDS if (folder / f"{word}{end}").exists()}


def _found(folder: Path, patterns: Iterable[str]) -> set[str]:
    return {path.name for pattern in patterns for path in folder.glob(pattern)}


def _left(folder: Path, names: Iterable[str], written: Iterable[Path]) -> tuple[str, ...]:
    ours = {*map(Path, written)}
    return tuple(sorted(name for name in names if folder / name not in ours))
