"""The texts in the EXIF of a JPEG or WebP, written and read without touching a pixel.

`parameters` stands where web UIs put it, in UserComment; what is ours is JSON in ImageHistory, which no viewer shows.
EXIF is a small TIFF file: a byte order, then directories of (tag, type, count, value or its offset) entries.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import BinaryIO

JPEG_LIMIT = 65533
"""Bytes of EXIF that a JPEG can hold: one segment, whose length has 16 bits."""
_EXIF_IFD, _HISTORY, _COMMENT = 0x8769, 0x9213, 0x9286
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"
_PREFIX = b"Exif\0\0"
_LIMIT = 16 * 2**20
_BROKEN = (struct.error, IndexError, UnicodeDecodeError, ValueError, RecursionError)


class BrokenExif(ValueError):
    """The notes are damaged, or the file is cut short before them."""


def write_exif(parameters: str, notes: Mapping[str, str]) -> bytes:
    """EXIF with these texts, as Pillow's `save(exif=…)` takes it: 16-bit text is big-endian, as the whole is."""
    from PIL import ExifTags, Image

    exif = Image.Exif()
    exif.endian = ">"
    directory = exif.get_ifd(ExifTags.IFD.Exif)
    if parameters:
        directory[_COMMENT] = _UNICODE + parameters.encode("utf-16-be")
    if notes:
        directory[_HISTORY] = json.dumps(notes)  # ASCII, as the tag's type is
    return exif.tobytes()


def read_exif(file: BinaryIO) -> dict[str, str] | None:
    """Keyword → text, none where there is no EXIF; None where the file is neither JPEG nor WebP. Raises BrokenExif."""
    head = file.read(12)
    try:
        if head[:3] == b"\xff\xd8\xff":
            file.seek(2)
            data = _in_jpeg(file)
        elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
            data = _in_webp(file)
        else:
            return None
        return {} if data is None else _texts(data.removeprefix(_PREFIX))
    except _BROKEN as error:
        raise BrokenExif(f"its EXIF cannot be read ({error})") from error


def _in_jpeg(file: BinaryIO) -> bytes | None:
    while True:
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            raise BrokenExif("a segment does not begin where it must")
        if kind == 0xDA:  # the pixels: notes stand before them
            return None
        data = file.read(length - 2) if kind == 0xE1 else b""
        if data.startswith(_PREFIX):
            return data
        if kind != 0xE1:
            file.seek(length - 2, 1)


def _in_webp(file: BinaryIO) -> bytes | None:
    while header := file.read(8):
        kind, length = struct.unpack("<4sI", header)
        if kind == b"EXIF":
            if length > _LIMIT:
                raise BrokenExif(f"it claims {length} bytes")
            return file.read(length)
        file.seek(length + length % 2, 1)
    return None


def _texts(data: bytes) -> dict[str, str]:
    order = {b"MM": ">", b"II": "<"}.get(data[:2])
    if order is None:
        raise BrokenExif("it has no byte order")
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    entries = _directory(data, order, first)
    if _EXIF_IFD in entries:
        (at,) = struct.unpack(f"{order}I", entries[_EXIF_IFD])
        entries = _directory(data, order, at) | entries
    texts: dict[str, str] = {}
    if _HISTORY in entries:
        texts |= _notes(entries[_HISTORY])
    if _COMMENT in entries:
        texts["parameters"] = _comment(entries[_COMMENT])
    return texts


def _directory(data: bytes, order: str, at: int) -> dict[int, bytes]:
    """The raw values of those tags that are looked for."""
    found = {}
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        tag, _, length = struct.unpack_from(f"{order}HHI", data, place)
        if tag == _EXIF_IFD:
            found[tag] = data[place + 8 : place + 12]
        elif tag in (_HISTORY, _COMMENT):  # bytes or ASCII: one byte each
            (offset,) = struct.unpack_from(f"{order}I", data, place + 8)
            start = place + 8 if length <= 4 else offset
            if start + length > len(data):
                raise BrokenExif("it ends before its texts do")
            found[tag] = data[start : start + length]
    return found


def _notes(value: bytes) -> dict[str, str]:
    """Ours; what another tool wrote under the tag is none of them."""
    try:
        read = json.loads(value.rstrip(b"\0"))
    except ValueError:
        return {}
    return {key: text for key, text in read.items() if isinstance(text, str)} if isinstance(read, dict) else {}


def _comment(value: bytes) -> str:
    code, text = value[:8], value[8:]
    if code != _UNICODE:
        return text.removesuffix(b"\0").decode("ascii" if code == _ASCII else "utf-8", errors="replace")
    if text[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return text.decode("utf-16")
    # tools disagree about the order of bytes; the right one has its zeros, of Latin letters, in front
    big = text[0::2].count(0) >= text[1::2].count(0)
    return text.decode("utf-16-be" if big else "utf-16-le")
