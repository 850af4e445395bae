"""Finds what follows the samples of a file: chunks, filling, or audio."""

import dataclasses
from typing import BinaryIO

from transforms.decoding.headers.chunks import Chunk, ChunkedFile, chunks_from

# First bytes of tags that programs append without a chunk.
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"<?xp", b"<?xm")
# Names of chunks that may be cut.
_NAMES = (b"LIST", b"bext", b"iXML", b"id3 ", b"_PMX", b"JUNK")
# Data up to this size is taken for no audio.
_MIN_AUDIO_SIZE = 4096
_MAX_CHUNKS = 1000
# Number of bytes examined at the start, in the middle and at the end of such data.
_EXAMINED_SIZE = 16384


@dataclasses.dataclass(frozen=True)
class TrailingData:
    """What follows the samples of a WAV, AIFF, CAF or AU file.

    Attributes:
        chunks_end: End of the last chunk if other data follows it; None otherwise. AU
            has one chunk, the samples.
        is_audio: True if what follows the samples may be audio: another chunk of
            samples, or data that is neither a tag nor filling.
    """

    chunks_end: int | None = None
    is_audio: bool = False


def find_trailing_data(file: BinaryIO, chunked: ChunkedFile) -> TrailingData:
    """Examines what follows the samples of a file; nothing for Wave64.

    Args:
        file: Seekable file; its position changes.
        chunked: Chunks of the file.
    """
    samples, layout = chunked.samples, chunked.layout
    # Size 0 means that the samples go on to the end of the file. In Wave64, FFmpeg
    # reads no further where no chunk is.
    if not samples or not samples.size or layout.is_head_counted:
        return TrailingData()
    end = samples.at + samples.size
    if not layout.name_size:
        return _after_au(file, end, chunked.file_size)
    for _ in range(_MAX_CHUNKS):
        if chunked.file_size - end < 8:
            return TrailingData()
        # A program may have left out the byte that makes the size of a chunk even.
        found = _chunk(file, chunked, end + end % layout.alignment)
        found = found or _chunk(file, chunked, end)
        if not found:
            return TrailingData(end, _may_be_audio(file, end, chunked.file_size))
        is_samples = found.name == samples.name
        if is_samples and found.at + found.size - end > _MIN_AUDIO_SIZE:
            return TrailingData(is_audio=True)
        end = found.at + found.size
    return TrailingData()


def _after_au(file: BinaryIO, end: int, file_size: int) -> TrailingData:
    """FFmpeg ignores the size that AU states, which is right for what may be audio."""
    if end >= file_size or _may_be_audio(file, end, file_size):
        return TrailingData()
    return TrailingData(end)


def _chunk(file: BinaryIO, chunked: ChunkedFile, position: int) -> Chunk | None:
    """The chunk at a position; None if no chunk is there."""
    chunk = next(chunks_from(file, chunked.layout, position), None)
    if chunk is None or chunk.at + chunk.size > chunked.file_size:
        return None
    return chunk if all(0x20 <= byte < 0x7F for byte in chunk.name) else None


def _may_be_audio(file: BinaryIO, start: int, end: int) -> bool:
    if end - start <= _MIN_AUDIO_SIZE:
        return False
    file.seek(start)
    if file.read(16).lstrip(b"\0").startswith(_TAGS + _NAMES):
        return False
    for place in (start, (start + end) // 2, max(start, end - _EXAMINED_SIZE)):
        file.seek(place)
        data = file.read(min(_EXAMINED_SIZE, end - place))
        # Filling repeats one byte, such as zero.
        if data.count(data[:1]) < len(data):
            return True
    return False
