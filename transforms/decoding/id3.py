"""Finds the end of the ID3v2 tags at the start of a file."""

from typing import BinaryIO

_HEADER_SIZE = 10
_HAS_FOOTER = 0x10


def id3_end(file: BinaryIO) -> int:
    """Position after the ID3v2 tags at the start of a file; 0 if it has none.

    Args:
        file: Seekable file; its position changes.
    """
    position = 0
    while True:
        file.seek(position)
        header = file.read(_HEADER_SIZE)
        if header[:3] != b"ID3" or len(header) < _HEADER_SIZE:
            return position
        # The size is stored in four bytes of seven bits each.
        size = sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(header[6:]))
        footer_size = _HEADER_SIZE if header[5] & _HAS_FOOTER else 0
        position += _HEADER_SIZE + size + footer_size
