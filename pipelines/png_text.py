"""The text chunks of a PNG, read without decoding a pixel.

Pillow reads text behind the pixels only by decoding them, so a small file that unfolds to a gigapixel would have to be
unfolded to look at its text. Chunks are: length, type, data, CRC of type and data (PNG 1.2, section 3.2).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LIMIT = 16 * 2**20  # bytes of one text, before and after it is unpacked


class BrokenPng(ValueError):
    """The file is no PNG, or ends or changes where it must not; the message says where."""


def read_text(file: BinaryIO) -> dict[str, str]:
    """Keyword → text of every iTXt, tEXt and zTXt chunk; the first of two equal keywords wins. Raises BrokenPng."""
    texts: dict[str, str] = {}
    for kind, data in _chunks(file):
        try:
            keyword, text = _READERS[kind](data)
        except (ValueError, zlib.error) as error:
            raise BrokenPng(f"a text chunk cannot be read ({error})") from error
        texts.setdefault(keyword, text)
    return texts


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise BrokenPng("it does not begin as a PNG does")
    while True:
        header = file.read(8)
        if len(header) < 8:
            raise BrokenPng("it ends before its end mark; it is cut short")
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if kind == b"IEND":
            return
        if kind not in _READERS:
            file.seek(length + 4, 1)
            continue
        if length > _LIMIT:
            raise BrokenPng(f"a text chunk claims {length} bytes")
        data, crc = file.read(length), file.read(4)
        if len(data) < length or len(crc) < 4:
            raise BrokenPng("it ends within a text chunk; it is cut short")
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(crc, "big"):
            raise BrokenPng("a text chunk's checksum is wrong; it was damaged")
        yield kind, data


def _international(data: bytes) -> tuple[str, str]:
    keyword, rest = data.split(b"\0", 1)
    packed, (_, _, text) = rest[0:1] == b"\1", rest[2:].split(b"\0", 2)
    return keyword.decode("latin-1"), (_unpacked(text) if packed else text).decode()


def _plain(data: bytes) -> tuple[str, str]:
    keyword, text = data.split(b"\0", 1)
    return keyword.decode("latin-1"), text.decode("latin-1")


def _packed(data: bytes) -> tuple[str, str]:
    keyword, rest = data.split(b"\0", 1)
    return keyword.decode("latin-1"), _unpacked(rest[1:]).decode("latin-1")


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, _LIMIT)
    if unpacker.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_LIMIT} bytes")
    return text


_READERS = {b"iTXt": _international, b"tEXt": _plain, b"zTXt": _packed}
