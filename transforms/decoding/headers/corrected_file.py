"""Presents FFmpeg with a corrected view of files whose headers it reads wrongly.

Every other file is passed on as it is: its samples, and the time to read them, do not
change.
"""

import dataclasses
import struct
from typing import BinaryIO, cast

from transforms.decoding.headers.chunks import (
    Chunk,
    ChunkedFile,
    has_usable_ds64,
    read_chunks,
    zero_chunks,
)
from transforms.decoding.headers.file_view import FileView
from transforms.decoding.headers.id3 import id3_end
from transforms.decoding.headers.sample_size import container_bits
from transforms.decoding.headers.trailing_data import find_trailing_data
from transforms.decoding.headers.truncated_files import has_cut_samples
from transforms.decoding.headers.wav_header import (
    FLOAT,
    PCM,
    WavHeader,
    read_wav_header,
)

# Formats of samples: the sizes of a sample in bits that FFmpeg reads.
_SAMPLE_BITS = {PCM: (8, 16, 24, 32, 64), FLOAT: (32, 64)}

# First bytes of formats before which FFmpeg expects no ID3 tag: WAV, AIFF, AU, WavPack
# and ASF (WMA).
_UNTAGGED = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"wvpk", b"\x30\x26\xb2\x75")

# Samples of AIFF begin up to a block after the start of their chunk.
_MAX_OFFSET = 65536


@dataclasses.dataclass(frozen=True)
class CorrectedFile:
    """A file as FFmpeg reads it correctly.

    Attributes:
        file: The file itself or a view of it, positioned at its start.
        has_more_audio: True if data that may be audio follows the samples that the
            header states.
        has_cut_samples: True if the header states more samples than the file holds.
    """

    file: BinaryIO
    has_more_audio: bool = False
    has_cut_samples: bool = False


def corrected(file: BinaryIO) -> CorrectedFile:
    """The file itself, or a view of it that FFmpeg reads correctly.

    Args:
        file: Seekable file; its position changes.

    Raises:
        ValueError: if the samples fit no reading of the header.
    """
    file = _without_tags(file)
    chunked = read_chunks(file)
    zeros = zero_chunks(file, chunked) if chunked else None
    if zeros:
        file.seek(0)
        file = cast(BinaryIO, FileView(file, zeros[1], head=file.read(zeros[0])))
        chunked = read_chunks(file)
    if chunked is None:
        file.seek(0)
        return CorrectedFile(file)
    trailing = find_trailing_data(file, chunked)
    result = file
    if trailing.chunks_end:
        # FFmpeg would search all of the data for chunks.
        result = cast(BinaryIO, FileView(file, end=trailing.chunks_end))
    elif chunked.samples and chunked.samples.is_size_unknown:
        result = _with_size(file, chunked, chunked.samples)
    if chunked.samples and not has_usable_ds64(file, chunked):
        result = _as_riff(result, chunked.samples)
    if chunked.start[:4] == b"caff":
        _check_caf(file, chunked)
    header = read_wav_header(file, chunked)
    if header:
        view = _view(result, header, chunked.file_size)
    else:
        view = _big_endian(result, chunked)
    result = cast(BinaryIO, view) if view else result
    result.seek(0)
    return CorrectedFile(result, trailing.is_audio, has_cut_samples(chunked))


def _without_tags(file: BinaryIO) -> BinaryIO:
    """The file without ID3 tags at its start, where FFmpeg would not skip them."""
    position = id3_end(file)
    file.seek(position)
    if not position or not file.read(4).startswith(_UNTAGGED):
        return file
    return cast(BinaryIO, FileView(file, position))


def _with_size(file: BinaryIO, chunked: ChunkedFile, samples: Chunk) -> BinaryIO:
    """FFmpeg refuses Wave64 whose size is unknown."""
    if not chunked.layout.is_head_counted:
        return file
    file.seek(0)
    size = struct.pack("<Q", chunked.file_size - samples.at + 24)
    head = file.read(samples.at - 8) + size
    return cast(BinaryIO, FileView(file, samples.at, head=head))


def _as_riff(file: BinaryIO, samples: Chunk) -> BinaryIO:
    """FFmpeg takes the size of RF64 from `ds64` only; in RIFF, -1 is unknown."""
    file.seek(0)
    head = b"RIFF" + file.read(samples.at)[4:]
    return cast(BinaryIO, FileView(file, samples.at, head=head))


def _view(file: BinaryIO, header: WavHeader, file_size: int) -> FileView | None:
    if header.format_tag not in _SAMPLE_BITS:
        return None
    bits = container_bits(file, header, file_size)
    if bits not in _SAMPLE_BITS[header.format_tag] or not header.num_channels:
        if header.byte_order == ">":
            raise ValueError(f"it is a big-endian WAV file of {header.bits} bits")
        return None
    if header.byte_order == ">":
        return _little_endian(file, header, bits)
    # FFmpeg takes the bits that are used for the size of a sample, and reads packets of
    # whole blocks of the stated size.
    read_bits = -(-(header.valid_bits or header.bits) // 8) * 8
    has_whole_blocks = header.block_align and not header.block_align % (
        header.num_channels * bits // 8
    )
    if read_bits == bits and has_whole_blocks:
        return None
    return _with_bits(file, header, bits)


def _little_endian(file: BinaryIO, header: WavHeader, bits: int) -> FileView:
    """FFmpeg reads the samples of RIFX files as if they were little-endian."""
    data = struct.pack("<4sI", b"data", header.data_size)
    form = struct.pack("<4sI", b"fmt ", 16) + _form(header, bits)
    size = min(4 + len(form) + len(data) + header.data_size, 0xFFFFFFFF)
    head = struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + form + data
    end = header.data_at + header.data_size if header.data_size else None
    return FileView(file, header.data_at, end, head, swapped_width=bits // 8)


def _with_bits(file: BinaryIO, header: WavHeader, bits: int) -> FileView:
    """The file with a header that states the bits that a sample takes as used bits."""
    file.seek(0)
    head = file.read(header.format_at) + _form(header, bits)
    rest = header.format_size - 16
    # Zeros in place of the extension: it would state other bits.
    return FileView(file, len(head) + rest, head=head + bytes(rest))


def _big_endian(file: BinaryIO, chunked: ChunkedFile) -> FileView | None:
    """FFmpeg reads the samples of AIFC of type `sowt` as 16 bits, whatever they are."""
    common = next((chunk for chunk in chunked.chunks if chunk.name == b"COMM"), None)
    samples = chunked.samples
    if chunked.start[8:12] != b"AIFC" or not common or not samples:
        return None
    file.seek(common.at)
    content = file.read(22)
    width = -(-int.from_bytes(content[6:8], "big") // 8)
    if content[18:] != b"sowt" or width not in (1, 3, 4):
        return None
    file.seek(0)
    # The first 8 bytes of the chunk state where the samples begin in it.
    head = bytearray(file.read(samples.at + 8))
    head[common.at + 18 : common.at + 22] = b"NONE"
    end = samples.at + samples.size if samples.size else None
    if end:
        # The view ends with the samples; FFmpeg would look for the next chunk.
        head[4:8] = struct.pack(">I", min(end - 8, 0xFFFFFFFF))
    offset = int.from_bytes(head[samples.at : samples.at + 4], "big")
    head += file.read(min(offset, _MAX_OFFSET))
    return FileView(file, len(head), end, bytes(head), swapped_width=width)


def _check_caf(file: BinaryIO, chunked: ChunkedFile) -> None:
    """Refuses samples that use fewer bits than they take, which FFmpeg misreads.

    The description of CAF does not say which bits are used.
    """
    form = next((chunk for chunk in chunked.chunks if chunk.name == b"desc"), None)
    if not form:
        return
    file.seek(form.at + 8)
    content = file.read(24)
    if content[:4] != b"lpcm" or len(content) < 24:
        return
    packet_size, num_frames, num_channels, bits = struct.unpack(">4I", content[8:])
    if packet_size > max(1, num_frames) * num_channels * -(-bits // 8):
        raise ValueError(
            f"its header states packets of {packet_size} bytes for {num_channels} "
            f"channels of {bits} bits; convert it to WAV"
        )


def _form(header: WavHeader, bits: int) -> bytes:
    """The 16 bytes of the plain header of samples of this size."""
    block = header.num_channels * bits // 8
    sizes = (header.num_channels, header.rate_hz, header.rate_hz * block, block, bits)
    try:
        return struct.pack("<HHIIHH", header.format_tag, *sizes)
    except struct.error as error:
        raise ValueError(
            f"its header states {header.num_channels} channels of {header.rate_hz} Hz"
        ) from error
