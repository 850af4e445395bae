"""Finds gaps and overlaps between the files of a recorder."""

import dataclasses
import itertools
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pipeline.results.report.addresses import shown_uri
from pipeline.results.report.recordings.pieces import (
    Piece,
    local_seconds,
    offset_text,
    recorder_of,
)
from transforms.storage import file_name

# Clocks of recorders and names of files are exact to a second or two.
TOLERANCE_S = 2.0
# A recorder with a schedule pauses between files. A gap is longer than its usual pause.
GAP_FACTOR = 1.5
# With fewer pauses, none of them is usual.
MIN_PAUSES = 5


class Clock(NamedTuple):
    """A time on the clock of a recorder.

    Attributes:
        local_s: Reading of the clock in seconds since 1970.
        offset: Offset from UTC, such as `+02:00`; no text if it is not known.
    """

    local_s: float
    offset: str


@dataclasses.dataclass(frozen=True)
class Break:
    """A gap or an overlap between two files.

    Attributes:
        start: When it starts.
        seconds: How long it lasts.
        before: Name of the file before it, or of the file that is overlapped.
        after: Name of the file after it, or of the file that overlaps.
    """

    start: Clock
    seconds: float
    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Recorder:
    """What a recorder recorded.

    Attributes:
        name: Folder of its files.
        num_files: Number of files.
        first: Start of the first file.
        last: End of the last file.
        audio_s: Seconds with audio; time that two files share counts once.
        usual_pause_s: Median of the pauses between files; 0 if there are few.
        gaps: Gaps, in the order of time.
        overlaps: Overlaps, in the order of time.
    """

    name: str
    num_files: int
    first: Clock
    last: Clock
    audio_s: float
    usual_pause_s: float
    gaps: tuple[Break, ...]
    overlaps: tuple[Break, ...]


class _Span(NamedTuple):
    """Audio of a clip. Times are in UTC if the zone is known, else on the clock."""

    start_s: float
    end_s: float
    piece: Piece

    def clock(self, time_s: float) -> Clock:
        """Returns a time on the clock that the recorder had for this file."""
        piece = self.piece
        assert piece.recorded_at is not None
        local_s = local_seconds(piece.recorded_at) + piece.start_s
        return Clock(local_s + time_s - self.start_s, offset_text(piece.recorded_at))


def coverage(pieces: Iterable[Piece]) -> list[Recorder]:
    """Returns what every recorder recorded, sorted by its name.

    Files whose time is not known are left out. Times with and without a zone cannot be
    compared: a folder that has both is two recorders of the same name.
    """
    spans: dict[tuple[str, bool], list[_Span]] = {}
    for piece in pieces:
        time = piece.recorded_at
        if time is not None:
            has_zone = time.tzinfo is not None
            begin_s = time.timestamp() if has_zone else local_seconds(time)
            span = _Span(begin_s + piece.start_s, begin_s + piece.end_s, piece)
            spans.setdefault((recorder_of(piece.uri), has_zone), []).append(span)
    return [_recorder(name, mine) for (name, _), mine in sorted(spans.items())]


def _ending_last(first: _Span, second: _Span) -> _Span:
    return first if first.end_s >= second.end_s else second


def _recorder(name: str, spans: list[_Span]) -> Recorder:
    spans.sort(key=lambda span: (span.start_s, span.end_s, span.piece.uri))
    # The span that ends last, of each span and those before it.
    latest = [*itertools.accumulate(spans, _ending_last)]
    pairs = [*zip(latest, spans[1:], strict=False)]
    pauses = [max(0.0, after.start_s - before.end_s) for before, after in pairs]
    usual_s = statistics.median(pauses) if len(pauses) >= MIN_PAUSES else 0.0
    least_s = max(TOLERANCE_S, GAP_FACTOR * usual_s)
    gaps = [
        _gap(before, after)
        for (before, after), pause_s in zip(pairs, pauses, strict=True)
        if pause_s > least_s
    ]
    overlaps = [_overlap(before, after) for before, after in pairs]
    new_s = [
        max(0.0, after.end_s - max(after.start_s, before.end_s))
        for before, after in pairs
    ]
    return Recorder(
        name,
        len({span.piece.uri for span in spans}),
        spans[0].clock(spans[0].start_s),
        latest[-1].clock(latest[-1].end_s),
        spans[0].end_s - spans[0].start_s + sum(new_s),
        usual_s,
        tuple(gaps),
        tuple(one for one in overlaps if one and one.seconds > TOLERANCE_S),
    )


def _gap(before: _Span, after: _Span) -> Break:
    names = (file_name(shown_uri(span.piece.uri)) for span in (before, after))
    seconds = after.start_s - before.end_s
    return Break(before.clock(before.end_s), seconds, *names)


def _overlap(before: _Span, after: _Span) -> Break | None:
    """Returns how long two clips overlap; None if they are parts of one file."""
    if before.piece.uri == after.piece.uri:
        return None
    names = (file_name(shown_uri(span.piece.uri)) for span in (before, after))
    seconds = min(before.end_s, after.end_s) - after.start_s
    return Break(after.clock(after.start_s), seconds, *names)


def coverage_data(pieces: Sequence[Piece], limit: int) -> dict[str, Any] | None:
    """Returns the coverage for the page; None if no time is known.

    Args:
        pieces: Audio of the dataset.
        limit: Number of recorders, of gaps and of overlaps that are listed.
    """
    recorders = coverage(pieces)
    if not recorders:
        return None
    known = {piece.uri for piece in pieces if piece.recorded_at is not None}
    recorders.sort(key=lambda one: (-one.audio_s, one.name))
    return {
        "recorders": [
            [
                *(one.name, one.num_files, *one.first, *one.last),
                *(round(one.audio_s, 1), round(one.usual_pause_s, 1)),
                *(len(one.gaps), len(one.overlaps)),
            ]
            for one in recorders[:limit]
        ],
        "num_recorders": len(recorders),
        "num_gaps": sum(len(one.gaps) for one in recorders),
        "num_overlaps": sum(len(one.overlaps) for one in recorders),
        "num_unknown": len({piece.uri for piece in pieces} - known),
        "gaps": _longest([(r.name, b) for r in recorders for b in r.gaps], limit),
        "overlaps": _longest(
            [(r.name, b) for r in recorders for b in r.overlaps], limit
        ),
    }


def _longest(breaks: list[tuple[str, Break]], limit: int) -> list[list[Any]]:
    """Returns the longest gaps or overlaps: recorder, start, length and files."""
    breaks.sort(key=lambda one: -one[1].seconds)
    return [
        [name, *one.start, round(one.seconds, 1), one.before, one.after]
        for name, one in breaks[:limit]
    ]
