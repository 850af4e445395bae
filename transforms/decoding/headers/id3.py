"""Finds the end of ID3v2 tags."""

from typing import BinaryIO

_HEADER_SIZE = 10
_HAS_FOOTER = 0x10


def id3_end(file: BinaryIO, position: int = 0) -> int:
    """Position after the ID3v2 tags that begin at a position.

    Args:
        file: Seekable file; its position changes.
        position: Position of the first tag; it is returned if no tag is there.
    """
    while True:
        file.seek(position)
        header = file.read(_HEADER_SIZE)
        if header[:3] != b"ID3" or len(header) < _HEADER_SIZE:
            return position
        # The size is stored in four bytes of seven bits each.
        size = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(header[6:]))
        footer_size = _HEADER_SIZE if header[5] & _HAS_FOOTER else 0
        position += _HEADER_SIZE + size + footer_size
