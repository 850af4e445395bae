"""Cuts recordings into consecutive excerpts: the rows of a manifest."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, BinaryIO

import av
import numpy as np
import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.inputs.clip_ids import default_clip_id
from pipeline.inputs.excerpts import END, START, times_text
from transforms import storage
from transforms.decoding.ffmpeg import refuse_reference
from transforms.decoding.headers.corrected_file import corrected
from transforms.storage import StorageError

# Formats whose headers state the exact length of PCM samples, and their least bytes.
_STATED_FORMATS = frozenset(["aiff", "w64", "wav"])
_MIN_HEADER_BYTES = 44
# Decoders leave out or add up to about 60 ms (2.3 packets) of what the packets of lossy
# codecs state, measured with MP3, AAC, Vorbis, WMA and AC-3.
_SLACK_PACKETS = 4
# Stores answer several requests at once. Results are kept in batches only.
_NUM_THREADS, _BATCH_FILES = 8, 1000
_NUM_SHOWN = 10

Excerpt = tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a recording.

    Attributes:
        duration_s: Duration in seconds.
        sample_rate_hz: Sample rate, as the header states it.
        slack_s: How much shorter the decoded audio may be.
    """

    duration_s: float
    sample_rate_hz: int
    slack_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class CutTable:
    """Rows of excerpts.

    Attributes:
        table: The manifest, with the columns `start_s` and `end_s`.
        unread: Files that cannot be read, and why. Each has one row without times.
    """

    table: pa.Table
    unread: tuple[tuple[str, str], ...]

    def unread_text(self) -> str:
        """Returns a sentence about the files that cannot be read; empty if none."""
        if not self.unread:
            return ""
        shown = [f"\n  {name}: {why}" for name, why in self.unread[:_NUM_SHOWN]]
        if len(self.unread) > _NUM_SHOWN:
            shown.append(f"\n  and {len(self.unread) - _NUM_SHOWN:,} more")
        files = "files" if len(self.unread) > 1 else "file"
        return (
            f"{len(self.unread):,} {files} cannot be read, so that the length is not "
            f"known; the manifest has one row for the whole file:{''.join(shown)}"
        )


def cut_recordings(table: pa.Table, cut_s: float, overlap_s: float = 0.0) -> CutTable:
    """Replaces every row by consecutive excerpts of the file.

    The last excerpt goes to the end of the file and is shorter than the others, or
    longer by a few packets of a lossy codec.

    Args:
        table: Manifest table of `read_inputs`.
        cut_s: Length of the excerpts in seconds.
        overlap_s: Seconds that an excerpt has in common with the one before.

    Raises:
        ConfigError: if the lengths are not valid, or rows are excerpts already.
    """
    if not 0 < cut_s < float("inf"):
        raise ConfigError(f"cut is {cut_s:g} s, expected more than 0")
    if not 0 <= overlap_s < cut_s:
        raise ConfigError(
            f"overlap is {overlap_s:g} s, expected at least 0 and less than the cut of "
            f"{cut_s:g} s"
        )
    if START in table.column_names:
        raise ConfigError(
            "cannot cut: a manifest among the inputs names parts of files already; "
            "give the recordings, or a manifest without times"
        )
    unread, rows_of_files = [], []
    uris = table["uri"].to_pylist()
    for uri, length in zip(uris, measure_files(uris), strict=True):
        if isinstance(length, Length):
            rows_of_files.append(excerpts_of(length, cut_s, overlap_s))
        else:
            unread.append((storage.shown(uri), length))
            rows_of_files.append([(None, None)])
    return CutTable(_with_excerpts(table, rows_of_files), tuple(unread))


def excerpts_of(length: Length, cut_s: float, overlap_s: float) -> list[Excerpt]:
    """Returns start and end of consecutive excerpts; the last one has no end."""
    cut, overlap = Decimal(repr(cut_s)), Decimal(repr(overlap_s))
    stop = Decimal(repr(length.duration_s - length.slack_s))
    excerpts: list[Excerpt] = []
    start = Decimal(0)
    while start + cut < stop:
        excerpts.append((float(start), float(start + cut)))
        start += cut - overlap
    return [*excerpts, (float(start), None)]


def measure(file: BinaryIO) -> Length:
    """Measures a recording without decoding it.

    Args:
        file: Seekable file, positioned at its start.

    Raises:
        ValueError: if no length is found.
        OSError: if the file cannot be read.
    """
    source = corrected(file).file
    num_bytes = source.seek(0, 2)
    source.seek(0)
    with av.open(
        source, mode="r", metadata_errors="replace", io_open=refuse_reference
    ) as container:
        if not container.streams.audio or not container.streams.audio[0].codec_context:
            raise ValueError("FFmpeg finds no audio that it can decode")
        stream = container.streams.audio[0]
        stated_s = _stated_s(container, stream, num_bytes)
        if stated_s is not None:
            return Length(stated_s, stream.codec_context.sample_rate)
        return _demuxed(container, stream)


def _stated_s(container: Any, stream: Any, num_bytes: int) -> float | None:
    """The length that the header states, if it is exact and the file has it all."""
    context = stream.codec_context
    is_pcm = context.name.startswith("pcm_")
    if container.format.name not in _STATED_FORMATS or not is_pcm:
        return None
    if not stream.duration or not context.bit_rate:
        return None
    stated_s = float(stream.duration * stream.time_base)
    # If the header states no length, FFmpeg estimates it from the size of the file.
    fits = stated_s * context.bit_rate / 8 + _MIN_HEADER_BYTES <= num_bytes
    return stated_s if fits else None


def _demuxed(container: Any, stream: Any) -> Length:
    """The sum of the durations of all packets."""
    total = longest = 0
    # The decoder uses the packets before a damaged part, too.
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                total += packet.duration or 0
                longest = max(longest, packet.duration or 0)
    if not total:
        raise ValueError("FFmpeg finds no audio, or does not know how long it is")
    context = stream.codec_context
    is_exact = context.codec.name.startswith("pcm_") or context.codec.lossless
    slack = 0 if is_exact else _SLACK_PACKETS * longest
    duration_s, slack_s = (float(x * stream.time_base) for x in (total, slack))
    return Length(duration_s, context.sample_rate, slack_s)


def measure_files(uris: Sequence[str]) -> Iterator[Length | str]:
    """Yields the length of each file, or why it is not known."""
    for begin in range(0, len(uris), _BATCH_FILES):
        yield from _in_threads(_length, uris[begin : begin + _BATCH_FILES])


def _in_threads(
    function: Callable[[str], Length | str], uris: Sequence[str]
) -> list[Length | str]:
    pool = ThreadPoolExecutor(_NUM_THREADS)
    try:
        return [*pool.map(function, uris)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _length(uri: str) -> Length | str:
    try:
        with storage.open_file(uri) as file:
            return measure(file)
    except StorageError as error:
        return error.problem
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # The text of a whole error has the path, which the user is told anyway.
        text = getattr(error, "strerror", None) or str(error)
        return text.partition("\n")[0] or type(error).__name__


def _with_excerpts(table: pa.Table, rows_of_files: list[list[Excerpt]]) -> pa.Table:
    """Repeats each row for the excerpts of its file."""
    counts = [len(excerpts) for excerpts in rows_of_files]
    table = table.take(np.repeat(np.arange(len(counts)), counts))
    times = [excerpt for excerpts in rows_of_files for excerpt in excerpts]
    names = zip(table["clip_id"].to_pylist(), table["uri"].to_pylist(), strict=True)
    ids = [_clip_id(*name, *row) for name, row in zip(names, times, strict=True)]
    index = table.schema.get_field_index("clip_id")
    table = table.set_column(index, "clip_id", pa.array(ids, pa.string()))
    for index, name in enumerate((START, END)):
        column = pa.array([row[index] for row in times], pa.float64())
        table = table.append_column(name, column)
    return table


def _clip_id(clip_id: str, uri: str, start_s: float | None, end_s: float | None) -> str:
    """The default clip_id of the excerpt, or the clip_id of the file with the times."""
    if clip_id == default_clip_id(uri):
        return default_clip_id(uri, start_s, end_s)
    times = times_text(start_s, end_s)
    return f"{clip_id}-{times}" if times else clip_id
