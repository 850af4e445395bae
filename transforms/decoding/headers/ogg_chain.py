"""Reads the formats of the streams that follow each other in a chained Ogg file."""

from collections.abc import Iterator
from typing import BinaryIO

_PAGE_HEADER_SIZE = 27
_FIRST_PAGE_FLAG = 2
# Bytes of the first page of a stream that are read; the format is in them.
_FORMAT_SIZE = 64


def chained_formats(file: BinaryIO) -> list[tuple[int, int]]:
    """Sample rates and numbers of channels of the parts of a chained Ogg file.

    Args:
        file: Seekable file; its position changes.

    Returns:
        The format of the first Vorbis, Opus or FLAC stream of each part.
    """
    formats: dict[int, tuple[int, int]] = {}
    for part, start in _first_pages(file):
        found = _format_of(start)
        if found:
            formats.setdefault(part, found)
    return [*formats.values()]


def _first_pages(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields the number of its part and the first page, cut, of every stream.

    The first pages of the streams of one part follow each other.
    """
    position, part, in_first_pages = 0, 0, True
    while True:
        file.seek(position)
        header = file.read(_PAGE_HEADER_SIZE)
        if len(header) < _PAGE_HEADER_SIZE or header[:4] != b"OggS":
            return
        size = sum(file.read(header[26]))
        position += _PAGE_HEADER_SIZE + header[26] + size
        is_first = bool(header[5] & _FIRST_PAGE_FLAG)
        part += is_first and not in_first_pages
        in_first_pages = is_first
        if is_first:
            yield part, file.read(min(size, _FORMAT_SIZE))


def _format_of(start: bytes) -> tuple[int, int] | None:
    if start[:7] == b"\x01vorbis" and len(start) >= 16:
        return int.from_bytes(start[12:16], "little"), start[11]
    if start[:8] == b"OpusHead" and len(start) >= 10:
        return 48000, start[9]
    if start[:5] == b"\x7fFLAC" and len(start) >= 30:
        # 20 bits of the rate and 3 bits of the number of channels less 1.
        return int.from_bytes(start[27:30], "big") >> 4, (start[29] >> 1 & 7) + 1
    return None
