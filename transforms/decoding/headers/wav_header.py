"""Reads the header of a WAV file: RIFF, big-endian RIFX, and RF64 of over 4 GB."""

import dataclasses
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_BYTE_ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
# A file has a few chunks. The limit keeps a header of zeros from taking minutes.
_MAX_CHUNKS = 1000
_UNKNOWN_SIZE = 0xFFFFFFFF
_FORMAT_SIZE = 16


@dataclasses.dataclass(frozen=True)
class WavHeader:
    """The header of a WAV file.

    Attributes:
        byte_order: `<` or `>`, as in `struct`.
        format_tag: Format of the samples; for the extensible format, that of its
            subformat.
        is_extensible: True if the header has the extensible format.
        num_channels: Number of channels.
        rate_hz: Sample rate.
        block_align: Stated number of bytes of one sample of all channels.
        bits: Stated bits of a sample.
        valid_bits: Stated bits of a sample that are used; `bits` if not extensible.
        format_at: Position of the content of the chunk `fmt `.
        format_size: Size of this content.
        data_at: Position of the first sample.
        data_size: Stated size of the samples in bytes.
    """

    byte_order: str
    format_tag: int
    is_extensible: bool
    num_channels: int
    rate_hz: int
    block_align: int
    bits: int
    valid_bits: int
    format_at: int
    format_size: int
    data_at: int
    data_size: int

    @property
    def block_bits(self) -> int:
        """Bits of a sample by the size of a block; 0 if that is no whole number."""
        if not self.num_channels or self.block_align % self.num_channels:
            return 0
        return self.block_align // self.num_channels * 8


def read_wav_header(file: BinaryIO) -> WavHeader | None:
    """The header of a WAV file; None if it is no WAV file or has no usual header.

    Args:
        file: Seekable file; its position changes.
    """
    file.seek(0)
    start = file.read(12)
    byte_order = _BYTE_ORDERS.get(start[:4], "")
    if not byte_order or start[8:] != b"WAVE":
        return None
    format_at, content, long_size = 0, b"", 0
    for name, at, size in chunks(file, byte_order):
        if name == b"ds64":
            file.seek(at + 8)
            long_size = int.from_bytes(file.read(8), "little")
        elif name == b"fmt " and not format_at:
            file.seek(at)
            format_at, content = at, file.read(min(size, 40))
        elif name == b"data":
            data_size = long_size if long_size and size == _UNKNOWN_SIZE else size
            if len(content) < _FORMAT_SIZE:
                return None
            return _header(byte_order, content, format_at, at, data_size)
    return None


def chunks(
    file: BinaryIO, byte_order: str, position: int = 12
) -> Iterator[tuple[bytes, int, int]]:
    """Yields the name, the position of the content and the size of each chunk.

    Args:
        file: Seekable file; its position changes.
        byte_order: `<` or `>`, as in `struct`.
        position: Position of the first chunk.
    """
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:
            return
        (size,) = struct.unpack(f"{byte_order}I", start[4:])
        yield start[:4], position + 8, size
        position += 8 + size + size % 2


def size_of(file: BinaryIO) -> int:
    """Size of a file in bytes; its position changes."""
    return file.seek(0, os.SEEK_END)


def _header(
    byte_order: str, content: bytes, format_at: int, data_at: int, data_size: int
) -> WavHeader:
    tag, num_channels, rate_hz, _, block_align, bits = struct.unpack(
        f"{byte_order}HHIIHH", content[:_FORMAT_SIZE]
    )
    is_extensible = tag == EXTENSIBLE and len(content) >= 40
    valid_bits = bits
    if is_extensible:
        valid_bits, tag = struct.unpack(f"{byte_order}H4xI", content[18:28])
    return WavHeader(
        byte_order=byte_order,
        format_tag=tag,
        is_extensible=is_extensible,
        num_channels=num_channels,
        rate_hz=rate_hz,
        block_align=block_align,
        bits=bits,
        valid_bits=valid_bits,
        format_at=format_at,
        format_size=len(content),
        data_at=data_at,
        data_size=data_size,
    )
