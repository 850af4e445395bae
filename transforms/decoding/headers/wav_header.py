"""Reads the header of a WAV file: RIFF, RIFX (big-endian), RF64 and Wave64."""

import dataclasses
import struct
from typing import BinaryIO

from transforms.decoding.headers.chunks import Chunk, ChunkedFile, ChunkLayout

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_FORMAT_SIZE = 16


@dataclasses.dataclass(frozen=True)
class WavHeader:
    """The header of a WAV file.

    Attributes:
        is_wave64: True for a Wave64 file.
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

    is_wave64: bool
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


def read_wav_header(file: BinaryIO, chunked: ChunkedFile) -> WavHeader | None:
    """The header of a WAV file; None if it is no WAV file or has no usual header.

    Args:
        file: Seekable file; its position changes.
        chunked: Chunks of the file.
    """
    is_wav = chunked.layout.is_head_counted or chunked.start[8:12] == b"WAVE"
    form = next((chunk for chunk in chunked.chunks if chunk.name == b"fmt "), None)
    if not is_wav or not form or not chunked.samples:
        return None
    file.seek(form.at)
    content = file.read(min(form.size, 40))
    if len(content) < _FORMAT_SIZE:
        return None
    return _header(content, form.at, chunked.layout, chunked.samples)


def _header(
    content: bytes, format_at: int, layout: ChunkLayout, samples: Chunk
) -> WavHeader:
    byte_order = ">" if layout.byte_order == "big" else "<"
    tag, num_channels, rate_hz, _, block_align, bits = struct.unpack(
        f"{byte_order}HHIIHH", content[:_FORMAT_SIZE]
    )
    is_extensible = tag == EXTENSIBLE and len(content) >= 40
    valid_bits = bits
    if is_extensible:
        valid_bits, tag = struct.unpack(f"{byte_order}H4xI", content[18:28])
    return WavHeader(
        is_wave64=layout.is_head_counted,
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
        data_at=samples.at,
        data_size=samples.size,
    )
