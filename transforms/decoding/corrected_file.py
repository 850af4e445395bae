"""Presents FFmpeg with a corrected view of files whose headers it reads wrongly.

Every other file is passed on as it is: its samples, and the time to read them, do not
change.
"""

import struct
from typing import BinaryIO, cast

from transforms.decoding.file_view import FileView
from transforms.decoding.wav_header import (
    FLOAT,
    PCM,
    WavHeader,
    read_wav_header,
)

# Formats of samples: the sizes of a sample in bits that FFmpeg reads.
_SAMPLE_BITS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}


def corrected(file: BinaryIO) -> BinaryIO:
    """The file itself, or a view of it that FFmpeg reads correctly.

    Args:
        file: Seekable file, positioned at its start. The result, too, is at its start.
    """
    header = read_wav_header(file)
    view = _view(file, header) if header else None
    result = cast(BinaryIO, view) if view else file
    result.seek(0)
    return result


def _view(file: BinaryIO, header: WavHeader) -> FileView | None:
    if header.container_bits not in _SAMPLE_BITS.get(header.format_tag, ()):
        return None
    if header.byte_order == ">":
        return _little_endian(file, header)
    return None


def _little_endian(file: BinaryIO, header: WavHeader) -> FileView:
    """FFmpeg reads the samples of RIFX files as if they were little-endian."""
    width = header.container_bits // 8
    form = struct.pack(
        "<4sIHHIIHH",
        b"fmt ",
        16,
        header.format_tag,
        header.num_channels,
        header.rate_hz,
        header.rate_hz * header.num_channels * width,
        header.num_channels * width,
        header.container_bits,
    )
    data = struct.pack("<4sI", b"data", header.data_size)
    size = min(4 + len(form) + len(data) + header.data_size, 0xFFFFFFFF)
    head = struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + form + data
    return FileView(file, header.data_at, head=head, swapped_width=width)
