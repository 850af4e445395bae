"""The overview of recordings: activations and events of the main labels over time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.results.events.clip_blocks import ClipBlocks
from pipeline.results.events.summary import count_labels
from pipeline.results.report.addresses import Folders
from pipeline.results.report.packing import packed
from pipeline.results.report.recordings.cells import (
    Bytes,
    Floats,
    Integers,
    Spread,
    coded,
    coded_share,
    keep_highest,
    spread,
    sums,
)
from pipeline.results.report.recordings.pieces import (
    LONG_S,
    Piece,
    offset_text,
    recorder_of,
)
from pipeline.results.report.recordings.time_axes import (
    Axis,
    Calendar,
    Columns,
    calendar_of,
    columns_of,
)

MAX_LABELS = 40
MAX_COLUMNS = 600


class Audio:
    """The audio of a dataset as arrays, file by file.

    Args:
        pieces: Clips of the dataset.

    Attributes:
        pieces: The same clips.
        uris: Paths or uris of the files.
        file: Index of the file of every clip.
        start_s: Start of every clip in its file.
        end_s: End of every clip in its file.
        lengths_s: End of the last clip of every file.
        local_s: Start of every file on the clock of its recorder, in seconds since
            1970; NaN if it is not known.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.uris = list(dict.fromkeys(piece.uri for piece in pieces))
        self._index = {uri: index for index, uri in enumerate(self.uris)}
        self.file: Integers = self.files_of([piece.uri for piece in pieces])
        self.start_s: Floats = np.array([p.start_s for p in pieces], np.float64)
        self.end_s: Floats = np.array([p.end_s for p in pieces], np.float64)
        self.lengths_s: Floats = np.zeros(len(self.uris))
        np.maximum.at(self.lengths_s, self.file, self.end_s)
        self.local_s: Floats = np.full(len(self.uris), np.nan)
        self._offsets = [""] * len(self.uris)
        for file, piece in zip(self.file.tolist(), pieces, strict=True):
            if piece.recorded_at is not None:
                self.local_s[file] = piece.local_s
                self._offsets[file] = offset_text(piece.recorded_at)

    def files_of(self, uris: Sequence[str]) -> Integers:
        """Returns the indexes of files."""
        return np.array([self._index[uri] for uri in uris], np.int64)

    def clock(self, file: int) -> list[Any]:
        """Returns start of a file on the clock of its recorder, or None, and offset."""
        local_s = float(self.local_s[file])
        return [None if np.isnan(local_s) else local_s, self._offsets[file]]

    @property
    def has_overview(self) -> bool:
        """Whether a recording is long, or the time of any is known."""
        is_long = bool((self.lengths_s > LONG_S).any())
        return is_long or bool(np.isfinite(self.local_s).any())

    def spread(self, axis: Axis) -> Spread:
        """Spreads the clips over an axis; the cells are places on the axis."""
        return _on_axis(axis, self.file, self.start_s, self.end_s)


def overview_data(
    snapshot: Snapshot,
    events: pa.Table,
    audio: Audio,
    folders: Folders,
    max_recordings: int,
    max_cells: int,
) -> dict[str, Any] | None:
    """Returns the overview of one model; None without long or dated recordings.

    Args:
        snapshot: Dataset and model.
        events: All events of the model.
        audio: Audio of the dataset.
        folders: Folders of the page's files; those of the recordings are added.
        max_recordings: Number of recordings that are shown one by one.
        max_cells: Number of bytes of the calendar.
    """
    all_counted = count_labels(events)
    if not audio.has_overview or not all_counted:
        return None
    counted = all_counted[:MAX_LABELS]
    names = [label for label, _, _ in counted]
    has_patches = snapshot.has_column("patches", "activations")
    found = _Events(events, names, audio)
    columns = _columns(audio, found, snapshot.patch_spec.hop_s, max_recordings)
    calendar = _calendar(audio, len(names), max_cells)
    axes: list[Axis] = [axis for axis in (columns, calendar) if axis is not None]
    labels = snapshot.labels("activations_mean")
    indexes = [labels.index(name) for name in names]
    if has_patches:
        values = _highest_activations(snapshot, audio, axes, indexes)
    else:
        values = [found.highest_scores(axis) for axis in axes]
    data: dict[str, Any] = {
        "labels": indexes,
        "num_labels": len(all_counted),
        "event_s": [round(seconds, 3) for _, _, seconds in counted],
        "num_events": [count for _, count, _ in counted],
        "has_patches": has_patches,
        "recordings": None,
        "calendar": None,
    }
    if columns is not None:
        data["recordings"] = _recordings_data(columns, audio, folders, values[0])
    if calendar is not None:
        data["calendar"] = _calendar_data(calendar, audio, found, values[-1])
    return data


class _Events:
    """Events of the labels of the overview."""

    def __init__(self, table: pa.Table, names: Sequence[str], audio: Audio) -> None:
        codes = pc.index_in(table["label"], value_set=pa.array(names))
        wanted = pc.is_valid(codes)
        table, codes = table.filter(wanted), codes.filter(wanted)
        uris = table["uri"].combine_chunks().dictionary_encode()
        files = audio.files_of(uris.dictionary.to_pylist())
        self.audio, self.num_labels = audio, len(names)
        self.label: Integers = codes.to_numpy().astype(np.int64)
        self.file: Integers = files[uris.indices.to_numpy()]
        self.start_s: Floats = table["start_s"].to_numpy()
        self.end_s: Floats = table["end_s"].to_numpy()
        self._codes = coded(table["score_max"].to_numpy())

    def seconds_of_files(self) -> Floats:
        """Returns the event time of every file, summed over labels."""
        num_files = len(self.audio.uris)
        return sums(self.file, self.end_s - self.start_s, num_files)

    def _of_label(self, axis: Axis, label: int) -> tuple[Spread, Bytes]:
        mine = np.flatnonzero(self.label == label)
        found = _on_axis(axis, self.file[mine], self.start_s[mine], self.end_s[mine])
        return found, self._codes[mine]

    def highest_scores(self, axis: Axis) -> Bytes:
        """Returns codes of the scores of events, where there are no activations."""
        values = np.zeros((self.num_labels, axis.num_cells), np.uint8)
        values[:, self.audio.spread(axis).cell] = coded(np.zeros(1))[0]
        for label in range(self.num_labels):
            found, codes = self._of_label(axis, label)
            np.maximum.at(values[label], found.cell, codes[found.row])
        return values

    def time(self, axis: Axis) -> Bytes:
        """Returns codes of the event time in every cell."""
        values = np.zeros((self.num_labels, axis.num_cells), np.uint8)
        for label in range(self.num_labels):
            found, _ = self._of_label(axis, label)
            seconds = sums(found.cell, found.seconds, axis.num_cells)
            values[label] = coded_share(seconds, axis.cell_s)
        return values


def _on_axis(axis: Axis, files: Integers, start_s: Floats, end_s: Floats) -> Spread:
    """Spreads spans of files over an axis, and leaves out what is not on the axis."""
    origin_s = axis.origin_s[files]
    here = np.flatnonzero(np.isfinite(origin_s))
    origin_s, files = origin_s[here], files[here]
    found = spread(origin_s + start_s[here], origin_s + end_s[here], axis.cell_s)
    places = axis.place(files[found.row], found.cell)
    on = places >= 0
    return Spread(here[found.row[on]], places[on], found.seconds[on])


def _columns(
    audio: Audio, events: _Events, hop_s: float, max_recordings: int
) -> Columns | None:
    """Chooses long recordings, those with most event time, in the order of time."""
    is_long = np.flatnonzero(audio.lengths_s > LONG_S)
    if not len(is_long):
        return None
    order = np.lexsort((-audio.lengths_s[is_long], -events.seconds_of_files()[is_long]))
    kept = is_long[order[:max_recordings]].tolist()
    # NaN, for times that are not known, comes last.
    kept.sort(key=lambda file: audio.uris[file])
    chosen = np.array(kept)[np.argsort(audio.local_s[kept], kind="stable")]
    return columns_of(chosen, audio.lengths_s, hop_s, MAX_COLUMNS)


def _calendar(audio: Audio, num_labels: int, max_bytes: int) -> Calendar | None:
    if not np.isfinite(audio.local_s).any():
        return None
    names = [recorder_of(uri) for uri in audio.uris]
    pieces = (audio.file, audio.start_s, audio.end_s)
    # Every cell has two values for each label, and one for its audio.
    return calendar_of(names, audio.local_s, pieces, max_bytes // (2 * num_labels + 1))


def _highest_activations(
    snapshot: Snapshot, audio: Audio, axes: Sequence[Axis], labels: Sequence[int]
) -> list[Bytes]:
    """Reads the patches in a stream and keeps the highest activation in every cell."""
    values = [np.zeros((len(labels), axis.num_cells), np.uint8) for axis in axes]
    origins = [axis.origin_s for axis in axes]
    row_of = {piece.clip_id: row for row, piece in enumerate(audio.pieces)}
    hop_s = snapshot.patch_spec.hop_s
    for part in snapshot.parts:
        ledger = snapshot.read_part("ledger", part, ["clip_id", "num_patches"])
        clips = ledger.filter(pc.greater(ledger["num_patches"], 0)).to_pylist()
        rows = [row_of[clip["clip_id"]] for clip in clips]
        if not any(np.isfinite(o[audio.file[rows]]).any() for o in origins):
            continue
        blocks = ClipBlocks(snapshot, part)
        for clip, row in zip(clips, rows, strict=True):
            file, num_patches = int(audio.file[row]), clip["num_patches"]
            time_s, patch = _patch_times(audio.pieces[row], num_patches, hop_s)
            first = 0
            for block in blocks.of_clip(clip["clip_id"], num_patches):
                here = slice(*np.searchsorted(patch, [first, first + len(block)]))
                activations = block[:, labels][patch[here] - first]
                first += len(block)
                for axis, origin_s, highest in zip(axes, origins, values, strict=True):
                    cells = _places(axis, file, origin_s[file] + time_s[here])
                    keep_highest(highest, cells, activations)
    return values


def _patch_times(
    piece: Piece, num_patches: int, hop_s: float
) -> tuple[Floats, Integers]:
    """Returns times in the file, and the patch that stands for each of them.

    A patch stands for a hop; the last one stands for the rest of the clip, too.
    """
    length_s = piece.end_s - piece.start_s
    # Middles of hops: a start that is rounded down would be in the cell before.
    middles = (np.arange(max(num_patches, int(length_s / hop_s))) + 0.5) * hop_s
    time_s = np.append(middles[middles < length_s], max(0.0, length_s - 1e-6))
    patch = np.minimum((time_s / hop_s).astype(np.int64), num_patches - 1)
    return piece.start_s + time_s, patch


def _places(axis: Axis, file: int, time_s: Floats) -> Integers:
    """Returns the places of the patches of a file on an axis; -1 for none."""
    if np.isnan(time_s[0]):
        return np.full(len(time_s), -1)
    cells = np.floor(time_s / axis.cell_s).astype(np.int64)
    return axis.place(np.full(len(cells), file), cells)


def _recordings_data(
    columns: Columns, audio: Audio, folders: Folders, values: Bytes
) -> dict[str, Any]:
    return {
        "column_s": columns.cell_s,
        "num_all": int((audio.lengths_s > LONG_S).sum()),
        # Folder, name, length, number of columns, start on the clock, offset.
        "files": [
            [
                *folders.split(audio.uris[file]),
                round(float(audio.lengths_s[file]), 3),
                count,
                *audio.clock(file),
            ]
            for file, count in zip(
                columns.chosen.tolist(), columns.counts.tolist(), strict=True
            )
        ],
        "highest": packed(values),
    }


def _calendar_data(
    calendar: Calendar, audio: Audio, events: _Events, values: Bytes
) -> dict[str, Any]:
    found = audio.spread(calendar)
    seconds = sums(found.cell, found.seconds, calendar.num_cells)
    known = np.flatnonzero(np.isfinite(audio.local_s)).tolist()
    names = {recorder_of(audio.uris[file]) for file in known}
    offsets = Counter(str(audio.clock(file)[1]) for file in known)
    return {
        "step_s": calendar.cell_s,
        "recorders": calendar.recorders,
        "num_recorders": len(names),
        "offsets": dict(sorted(offsets.items())),
        "days": calendar.days(),
        "highest": packed(values),
        "event_time": packed(events.time(calendar)),
        "audio": packed(coded_share(seconds, calendar.cell_s)),
    }
