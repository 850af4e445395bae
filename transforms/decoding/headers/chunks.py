"""Lists the chunks of a WAV, RF64, Wave64, AIFF, CAF or AU file up to its samples."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Literal

# A file has a few chunks. The limit keeps a header of zeros from taking minutes.
_MAX_CHUNKS = 1000
# Size in RF64 of a chunk whose size is in the chunk `ds64`.
_IN_DS64 = 0xFFFFFFFF
_START_SIZE = 24
_BLOCK_SIZE = 1 << 20
# No file is so large, and `seek` may refuse such positions.
_MAX_POSITION = 1 << 62


@dataclasses.dataclass(frozen=True)
class ChunkLayout:
    """How a container stores its chunks: name, size, content.

    Attributes:
        byte_order: `little` or `big`.
        samples_name: First four bytes of the name of the chunk with the samples.
        first_at: Position of the first chunk.
        name_size: Number of bytes of a name; 0 if the file has no chunks.
        size_size: Number of bytes of a stated size.
        alignment: Chunks begin at multiples of this, counted from the first one.
        is_head_counted: True if a stated size includes the name and the size.
    """

    byte_order: Literal["little", "big"]
    samples_name: bytes
    first_at: int = 12
    name_size: int = 4
    size_size: int = 4
    alignment: int = 2
    is_head_counted: bool = False


_LAYOUTS = {
    b"RIFF": ChunkLayout("little", b"data"),
    b"RIFX": ChunkLayout("big", b"data"),
    b"RF64": ChunkLayout("little", b"data"),
    b"BW64": ChunkLayout("little", b"data"),
    b"FORM": ChunkLayout("big", b"SSND"),
    b"caff": ChunkLayout("big", b"data", 8, 4, 8, 1),
    b"riff": ChunkLayout("little", b"data", 40, 16, 8, 8, True),
    b".snd": ChunkLayout("big", b"data", name_size=0),
}


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk of a file.

    Attributes:
        name: First four bytes of the name.
        at: Position of the content.
        size: Stated size of the content in bytes.
    """

    name: bytes
    at: int
    size: int

    @property
    def is_size_unknown(self) -> bool:
        """True if a program that wrote to a pipe left 0, -1 or the largest number."""
        return not self.size or self.size >= _MAX_POSITION


@dataclasses.dataclass(frozen=True)
class ChunkedFile:
    """The chunks of a file up to the one with the samples.

    Attributes:
        start: First bytes of the file.
        file_size: Size of the file in bytes.
        layout: Layout of its chunks.
        chunks: Its chunks, in order; the last one is `samples` if there is one.
        samples: Chunk with the samples; None if it was not found.
    """

    start: bytes
    file_size: int
    layout: ChunkLayout
    chunks: tuple[Chunk, ...]
    samples: Chunk | None


def read_chunks(file: BinaryIO) -> ChunkedFile | None:
    """Lists the chunks of a file; None for a file of another container.

    Args:
        file: Seekable file; its position changes.
    """
    file.seek(0)
    start = file.read(_START_SIZE)
    layout = _LAYOUTS.get(start[:4])
    if layout is None:
        return None
    file_size = file.seek(0, os.SEEK_END)
    found: list[Chunk] = []
    samples = None
    for chunk in _header_chunks(file, start, layout):
        if chunk.name == layout.samples_name:
            samples = chunk = _with_long_size(file, chunk, found)
        found.append(chunk)
        if samples:
            break
    return ChunkedFile(start, file_size, layout, tuple(found), samples)


def zero_chunks(file: BinaryIO, chunked: ChunkedFile) -> tuple[int, int] | None:
    """Start and end of long filling with zeros before the samples.

    FFmpeg takes such filling for empty chunks and reads them one by one.

    Args:
        file: Seekable file; its position changes.
        chunked: Chunks of the file.

    Returns:
        None if there is no filling or if it is short enough for `read_chunks`.
    """
    empty = [chunk for chunk in chunked.chunks if chunk.name == bytes(4)]
    if chunked.samples or not empty or empty[-1] is not chunked.chunks[-1]:
        return None
    head_size = chunked.layout.name_size + chunked.layout.size_size
    start = end = empty[0].at - head_size
    file.seek(start)
    while block := file.read(_BLOCK_SIZE):
        num_zeros = len(block) - len(block.lstrip(b"\0"))
        end += num_zeros
        if num_zeros < len(block):
            break
    return start, end - (end - start) % head_size


def chunks_from(file: BinaryIO, layout: ChunkLayout, position: int) -> Iterator[Chunk]:
    """Yields the chunks of a file from a position on.

    Args:
        file: Seekable file; its position changes.
        layout: Layout of its chunks.
        position: Position of the first chunk.
    """
    head_size = layout.name_size + layout.size_size
    for _ in range(_MAX_CHUNKS if layout.name_size else 0):
        if position >= _MAX_POSITION:
            return
        file.seek(position)
        head = file.read(head_size)
        if len(head) < head_size:
            return
        size = int.from_bytes(head[layout.name_size :], layout.byte_order)
        if layout.is_head_counted:
            size = max(0, size - head_size)
        yield Chunk(head[:4], position + head_size, size)
        position += head_size + size
        position += -(position - layout.first_at) % layout.alignment


def _header_chunks(
    file: BinaryIO, start: bytes, layout: ChunkLayout
) -> Iterator[Chunk]:
    if layout.name_size:
        yield from chunks_from(file, layout, layout.first_at)
    elif len(start) == _START_SIZE:
        # The header of AU: position and size of the samples.
        at, size = (int.from_bytes(start[i : i + 4], "big") for i in (4, 8))
        yield Chunk(layout.samples_name, at, size)


def has_usable_ds64(file: BinaryIO, chunked: ChunkedFile) -> bool:
    """False for an RF64 file without a known size of its samples in `ds64`.

    Args:
        file: Seekable file; its position changes.
        chunked: Chunks of the file.
    """
    if chunked.start[:4] not in (b"RF64", b"BW64"):
        return True
    size = _size_in_ds64(file, chunked.chunks)
    return size is not None and 0 < size < _MAX_POSITION


def _with_long_size(file: BinaryIO, samples: Chunk, before: list[Chunk]) -> Chunk:
    """The chunk with the samples, with the size that RF64 states in another chunk."""
    size = _size_in_ds64(file, before) if samples.size == _IN_DS64 else None
    return samples if size is None else dataclasses.replace(samples, size=size)


def _size_in_ds64(file: BinaryIO, chunks: Iterable[Chunk]) -> int | None:
    for chunk in chunks:
        if chunk.name == b"ds64":
            # The size of the file comes first.
            file.seek(chunk.at + 8)
            return int.from_bytes(file.read(8), "little")
    return None
