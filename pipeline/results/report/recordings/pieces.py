"""Reads from the ledger which audio there is, and when it was recorded."""

import datetime
import re
from typing import NamedTuple

import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.inputs.excerpts import START
from pipeline.results.report.addresses import shown_uri
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.recorded_at.moments import moment

# Folders for years, months or days, such as `2024/06/11`, `2024-06` or `20240611`.
_DATED = re.compile(
    r"/(19|20)\d\d([-_./]?(0[1-9]|1[0-2])([-_./]?(0[1-9]|[12]\d|3[01]))?)?$"
)
# Recordings that are longer are shown one by one.
LONG_S = 120
_EPOCH = datetime.datetime(1970, 1, 1)


class Piece(NamedTuple):
    """The audio of a clip, on the time axis of its file.

    Attributes:
        clip_id: As in the ledger.
        uri: Its file.
        start_s: Start of the clip in the file.
        end_s: End of the clip in the file.
        recorded_at: When the recording of the file started: with an offset, as a
            reading of a clock whose zone is not known, or None.
    """

    clip_id: str
    uri: str
    start_s: float
    end_s: float
    recorded_at: datetime.datetime | None

    @property
    def local_s(self) -> float | None:
        """Start of the file on the clock of the recorder, in seconds since 1970."""
        return None if self.recorded_at is None else local_seconds(self.recorded_at)


def recorder_of(uri: str) -> str:
    """Returns the folder of a file, without folders for dates: that of its recorder."""
    return _DATED.sub("", shown_uri(uri).rpartition("/")[0])


def local_seconds(time: datetime.datetime) -> float:
    """Returns the reading of the clock in seconds since 1970, without its offset."""
    return (time.replace(tzinfo=None) - _EPOCH).total_seconds()


def offset_text(time: datetime.datetime) -> str:
    """Returns the offset from UTC, such as `+02:00`; no text if it is not known."""
    return time.isoformat(timespec="seconds")[len("2024-06-11T05:30:00") :]


def read_pieces(snapshot: Snapshot) -> list[Piece]:
    """Reads the audio of all clips that are ok.

    Returns:
        The clips. A dataset of whole short files whose times are not known has nothing
        to show over time: an empty list, because there may be millions of clips.
    """
    if not snapshot.parts:
        return []
    columns = ["clip_id", "uri", "status", "duration_s"]
    if snapshot.has_excerpts():
        columns.append(START)
    if RECORDED_AT_COLUMN in snapshot.ledger_names():
        columns.append(RECORDED_AT_COLUMN)
    ledger = snapshot.ledger(columns)
    ledger = ledger.filter(pc.equal(ledger["status"], "ok"))
    is_dated = RECORDED_AT_COLUMN in columns and (
        ledger[RECORDED_AT_COLUMN].null_count < ledger.num_rows
    )
    is_long = pc.any(pc.greater(ledger["duration_s"], LONG_S)).as_py()
    if not (is_dated or is_long or START in columns):
        return []
    pieces = []
    for row in ledger.to_pylist():
        start_s = row.get(START) or 0.0
        end_s = start_s + (row["duration_s"] or 0.0)
        time = moment(row.get(RECORDED_AT_COLUMN) or "")
        pieces.append(Piece(row["clip_id"], row["uri"], start_s, end_s, time))
    return pieces


def file_starts(pieces: list[Piece]) -> dict[str, tuple[float, str]]:
    """Returns for each file whose time is known its start and its offset from UTC."""
    return {
        piece.uri: (local_seconds(piece.recorded_at), offset_text(piece.recorded_at))
        for piece in pieces
        if piece.recorded_at is not None
    }
