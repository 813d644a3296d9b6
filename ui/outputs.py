"""Where pictures go: found writable before any work, named so that nothing is ever written over by chance."""

from __future__ import annotations

import itertools
import os
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.files import write_new
from pipelines.ledger import APOSTROPHES, word_spans
from pipelines.metadata import check_output, file_bytes, save_picture
from xattn.errors import BadValue, CannotWrite

if TYPE_CHECKING:
    from pipelines.pipeline import Result

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
_SLUG_BYTES = 80


@dataclass(frozen=True, slots=True)
class Output:
    """A file, or a folder in which names are chosen; exactly one of the two is set."""

    file: Path | None = None
    folder: Path | None = None

    @classmethod
    def at(cls, out: str, count: int) -> Output:
        """What `--out` means: a name with an image's suffix is a file, anything else a folder, made when needed.

        Raises CannotWrite where it cannot be written, BadValue where one file is to hold several pictures.
        Tried by a file without a name, so read-only systems are found out for root too; nothing stays behind.
        """
        if not out.strip():
            raise BadValue("--out", out, "the name of a .png, .jpg or .webp file, or of a folder")
        if Path(out).suffix.lower() not in IMAGE_SUFFIXES or out.endswith(("/", os.sep)):
            _try_folder(Path(out))
            return cls(folder=Path(out))
        file = check_output(out)
        if count > 1:
            raise BadValue(
                "--out", out, f"a folder, for {count} pictures do not fit into one file", f"Try --out {file.stem}"
            )
        if file.exists() and not os.access(file, os.W_OK):
            raise CannotWrite(out, "the file there is read-only; choose another name")
        _try(file.parent, out)
        return cls(file=file)

    def save(self, result: Result, *, metadata: bool = True) -> Path:
        """Write the picture, whole or not at all, and say where; a folder's are PNGs. Raises CannotWrite."""
        if self.file is not None:
            return save_picture(result, self.file, metadata=metadata)
        assert self.folder is not None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(self.folder, (error.strerror or "it cannot be made").lower()) from error
        stem, data = f"{slug(result.recipe.prompt)}-{result.recipe.seed}", file_bytes(result, metadata=metadata)
        for number in itertools.count(1):
            name = f"{stem}.png" if number == 1 else f"{stem}-{number}.png"
            if (self.folder / name).exists():
                continue
            try:
                return write_new(self.folder / name, data)
            except FileExistsError:  # another process took it meanwhile
                continue
        raise AssertionError("counting never ends")


def slug(prompt: str) -> str:
    """The prompt's words as a file's name: letters of any script, at most 80 bytes; "picture" where there are none."""
    text = unicodedata.normalize("NFKC", prompt).lower()
    made = ""
    for start, end in word_spans(text):
        word = "".join(character for character in text[start:end] if character not in APOSTROPHES)
        longer = f"{made}-{word}" if made else word
        if len(longer.encode()) > _SLUG_BYTES:
            break
        made = longer
    return made or "picture"


def _try_folder(folder: Path) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise CannotWrite(folder, "it is a file; give a folder, or a name that ends in .png")
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise CannotWrite(folder, (error.strerror or type(error).__name__).lower()) from error
    if not there.is_dir():
        raise CannotWrite(folder, f"{there.name!r} is a file, not a folder")
    _try(there, folder)


def _try(folder: Path, out: str | Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CannotWrite(out, f"{reason}; choose another folder with --out") from error
