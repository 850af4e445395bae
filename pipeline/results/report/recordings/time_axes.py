"""The time axes of the overview: the columns of recordings, and the calendar."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from pipeline.results.report.recordings.cells import Floats, Integers, spread

DAY_S = 86400
# Numbers of days from this many before 1970 on, for each recorder.
_DAYS_BEFORE, _DAYS_IN_ALL = 1_000_000, 10_000_000


class Axis(Protocol):
    """An axis on which files lie.

    Attributes:
        cell_s: Length of a cell in seconds.
        num_cells: Number of cells.
        origin_s: Time of the start of every file, NaN for files that are not on the
            axis; float64 [num_files].
    """

    @property
    def cell_s(self) -> float: ...

    @property
    def num_cells(self) -> int: ...

    @property
    def origin_s(self) -> Floats: ...

    def place(self, files: Integers, cells: Integers) -> Integers:
        """Returns the place of cells in the values of the axis; -1 for none.

        Args:
            files: Index of the file of every cell.
            cells: Numbers of cells since time 0.
        """


@dataclasses.dataclass(frozen=True)
class Columns:
    """The time within recordings: every recording has columns of its own.

    Attributes:
        chosen: Indexes of the files that are on the axis, from top to bottom.
        cell_s: Length of a column in seconds.
        counts: Number of columns of each chosen file.
        num_files: Number of all files.
    """

    chosen: Integers
    cell_s: float
    counts: Integers
    num_files: int

    @property
    def num_cells(self) -> int:
        return int(self.counts.sum())

    @property
    def origin_s(self) -> Floats:
        origin = np.full(self.num_files, np.nan)
        origin[self.chosen] = 0
        return origin

    def place(self, files: Integers, cells: Integers) -> Integers:
        begin = np.full(self.num_files, -1)
        begin[self.chosen] = np.cumsum(self.counts) - self.counts
        count = np.zeros(self.num_files, np.int64)
        count[self.chosen] = self.counts
        return np.where(cells < count[files], begin[files] + cells, -1)


def columns_of(
    chosen: Integers, lengths_s: Floats, least_s: float, max_columns: int
) -> Columns:
    """Divides recordings into columns of one length: at most so many of the longest.

    Args:
        chosen: Indexes of the recordings to show.
        lengths_s: Lengths of all files.
        least_s: Shortest length of a column.
        max_columns: Number of columns of the longest recording.
    """
    shown_s = lengths_s[chosen]
    cell_s = max(least_s, float(shown_s.max()) / max_columns)
    # Rounding first: an hour in 600 columns is 600 columns, not 601.
    counts = np.maximum(np.ceil(np.round(shown_s / cell_s, 6)), 1).astype(np.int64)
    return Columns(chosen, cell_s, counts, len(lengths_s))


@dataclasses.dataclass(frozen=True)
class Calendar:
    """Parts of days by the clocks of the recorders. Only days with audio have cells.

    Attributes:
        recorders: Names of the recorders on the calendar, those with most audio first.
        recorder: Index of the recorder of every file; -1 if it is not on the calendar.
        origin_s: Start of every file on the clock of its recorder, in seconds since
            1970; NaN if it is not known, or not on the calendar.
        keys: Sorted numbers of the days of the recorders.
        cell_s: Length of a cell in seconds, a part of a day.
    """

    recorders: tuple[str, ...]
    recorder: Integers
    origin_s: Floats
    keys: Integers
    cell_s: float

    @property
    def per_day(self) -> int:
        return round(DAY_S / self.cell_s)

    @property
    def num_cells(self) -> int:
        return len(self.keys) * self.per_day

    def place(self, files: Integers, cells: Integers) -> Integers:
        keys = _keys(self.recorder[files], cells // self.per_day)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = at * self.per_day + cells % self.per_day
        return np.where(self.keys[at] == keys, found, -1)

    def days(self) -> list[list[int]]:
        """Returns the days with audio of every recorder, in days since 1970."""
        recorder, day = np.divmod(self.keys, _DAYS_IN_ALL)
        return [
            (day[recorder == index] - _DAYS_BEFORE).tolist()
            for index in range(len(self.recorders))
        ]


def calendar_of(
    names: Sequence[str],
    origin_s: Floats,
    pieces: tuple[Integers, Floats, Floats],
    max_cells: int,
    steps_s: Sequence[float] = (900, 1800, 3600),
) -> Calendar:
    """Makes the calendar of files whose times are known.

    Args:
        names: Name of the recorder of every file.
        origin_s: Start of every file on the clock of its recorder, in seconds since
            1970; NaN if it is not known.
        pieces: File, start and end in the file of every piece of audio.
        max_cells: Number of cells of the calendar. If the finest step would need more,
            the next one is taken; with the coarsest one, recorders with little audio
            are left out.
        steps_s: Lengths of cells to choose from, the finest first.
    """
    files, start_s, end_s = pieces
    known = np.isfinite(origin_s[files])
    files, start_s, end_s = files[known], start_s[known], end_s[known]
    audio_s: dict[str, float] = {}
    for file, length_s in zip(files.tolist(), (end_s - start_s).tolist(), strict=True):
        audio_s[names[file]] = audio_s.get(names[file], 0.0) + length_s
    recorders = sorted(audio_s, key=lambda name: (-audio_s[name], name))
    index = {name: i for i, name in enumerate(recorders)}
    recorder = np.array([index.get(name, -1) for name in names], np.int64)
    days = spread(origin_s[files] + start_s, origin_s[files] + end_s, DAY_S)
    keys = np.unique(_keys(recorder[files][days.row], days.cell))
    fitting = [step for step in steps_s if len(keys) * DAY_S / step <= max_cells]
    step_s = fitting[0] if fitting else steps_s[-1]
    # Keys are sorted by recorder: the last recorders are those with least audio.
    of = keys // _DAYS_IN_ALL
    ends = np.cumsum(np.bincount(of, minlength=len(recorders))) * DAY_S / step_s
    kept = max(1, int(np.searchsorted(ends, max_cells, "right")))
    left_out = (recorder >= kept) | (recorder < 0)
    return Calendar(
        tuple(recorders[:kept]),
        np.where(left_out, -1, recorder),
        np.where(left_out, np.nan, origin_s),
        keys[of < kept],
        step_s,
    )


def _keys(recorder: Integers, days: Integers) -> Integers:
    return recorder * _DAYS_IN_ALL + days + _DAYS_BEFORE
