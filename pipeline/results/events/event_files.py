"""Writes events in the formats that other programs open.

Selection tables have the columns that other programs write for Raven Pro, whose manual
was not at hand. Labels are those of the Audacity manual, "Importing and exporting
labels": start, end and text, separated by tabs. The JSON has the keys of detections on
Freesound; it was not compared with a file from there.
"""

import io
import json
import posixpath
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.results.events.read_events import DatasetEvents
from transforms import storage
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

# A sample of a file of 192 kHz lasts 5 microseconds.
_DIGITS = 6
_RAVEN_EXTENSION, _AUDACITY_EXTENSION = ".Table.1.selections.txt", ".txt"
_NO_BREAKS = str.maketrans("\t\n\r", "   ")
_RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Begin Path",
    "Label",
    "Score",
)


def write_events(events: DatasetEvents, path: str, kind: str | None) -> list[str]:
    """Writes events to a file, or to one file for every recording.

    Args:
        events: Events of a dataset.
        path: File or folder to write.
        kind: Name of the format; None to tell it by the extension of the path.

    Returns:
        Paths of the files.

    Raises:
        ConfigError: if the format is not known, does not suit the path or the dataset,
            or a file cannot be written.
    """
    kind = check_path(path, kind)
    files = _CONTENTS[kind](events, path)
    try:
        for name, content in files.items():
            with storage.publish(name) as file:
                file.write(content)
    except storage.StorageError as error:
        raise ConfigError(f"cannot write events: {error}") from error
    return [*files]


def other_files(path: str, kind: str | None, written: list[str]) -> list[str]:
    """Names of files in a folder that look like those that `write_events` wrote there.

    An earlier run may have left them, for recordings that have no events now.

    Args:
        path: File or folder that was written; a file has no such files.
        kind: Name of the format.
        written: Paths of the files that were written.

    Raises:
        ConfigError: if the folder cannot be listed.
    """
    if not _is_folder(path):
        return []
    is_raven = kind == "raven"
    extension = _RAVEN_EXTENSION if is_raven else _AUDACITY_EXTENSION
    try:
        found = [
            storage.shown(file.uri) for file in storage.list_files(path, recursive=True)
        ]
    except storage.StorageError as error:
        raise ConfigError(f"cannot list the files of events: {error}") from error
    ours = {storage.shown(storage.absolute(name)) for name in written}
    return sorted(
        name
        for name in found
        if name.endswith(extension)
        and name.endswith(_RAVEN_EXTENSION) == is_raven
        and storage.shown(storage.absolute(name)) not in ours
    )


def check_path(path: str, kind: str | None) -> str:
    """Returns the format of a path.

    Args:
        path: File or folder to write.
        kind: Name of the format; None to tell it by the extension of the path.

    Raises:
        ConfigError: if the format is not known, or does not suit a folder.
    """
    kind = kind or _kind_of(path)
    if _is_folder(path) and kind not in ("raven", "audacity"):
        raise ConfigError(f"{kind} is one file, and {path!r} names a folder; name it")
    return kind


def _kind_of(path: str) -> str:
    extension = storage.suffix(path).lower()
    if path.lower().endswith(".selections.txt"):
        return "raven"
    if extension[1:] not in ("parquet", "csv", "json"):
        raise ConfigError(
            f"cannot tell the format of {path!r}; name it .parquet, .csv, .json or "
            f".selections.txt, or give --format {'|'.join(FORMATS)}"
        )
    return extension[1:]


def _parquet(events: DatasetEvents, path: str) -> dict[str, bytes]:
    file = io.BytesIO()
    pq.write_table(events.table, file, compression="zstd")
    return {path: file.getvalue()}


def _csv(events: DatasetEvents, path: str) -> dict[str, bytes]:
    file = io.BytesIO()
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    pyarrow.csv.write_csv(rounded(events.table), file, options)
    return {path: file.getvalue()}


def _json(events: DatasetEvents, path: str) -> dict[str, bytes]:
    """One list for every clip that has results, also if it is empty."""
    ledger = events.snapshot.ledger(["clip_id", "num_patches"])
    ledger = ledger.filter(pc.greater(ledger["num_patches"], 0))
    clips: dict[str, list[dict[str, object]]] = {
        clip_id: [] for clip_id in sorted(ledger["clip_id"].to_pylist())
    }
    for row in rounded(events.table).to_pylist():
        clips[row["clip_id"]].append(
            {
                "name": row["label"],
                "start_time": row["start_s"],
                "end_time": row["end_s"],
                "confidence": row["score_max"],
            }
        )
    text = json.dumps(clips, indent=1, ensure_ascii=False) + "\n"
    return {path: text.encode("utf-8")}


def _audacity(events: DatasetEvents, path: str) -> dict[str, bytes]:
    recordings = [*_by_recording(events)]
    if not _is_folder(path) and len(recordings) > 1:
        raise ConfigError(
            f"Audacity has one file of labels for every recording, and there are "
            f"{len(recordings):,}; give a folder: {path}/"
        )
    names = _names([uri for uri, _ in recordings], path, _AUDACITY_EXTENSION)
    return {
        name: "".join(
            f"{row['start_s']:.6f}\t{row['end_s']:.6f}\t{row['label']}\n"
            for row in table.to_pylist()
        ).encode("utf-8")
        for name, (_, table) in zip(names, recordings, strict=True)
    } or ({} if _is_folder(path) else {path: b""})


def _raven(events: DatasetEvents, path: str) -> dict[str, bytes]:
    recordings = [*_by_recording(events)]
    if _is_folder(path):
        names = _names([u for u, _ in recordings], path, _RAVEN_EXTENSION)
        return {
            name: _raven_text([(table, 0.0)])
            for name, (_, table) in zip(names, recordings, strict=True)
        }
    begins = _cumulative_begins(events)
    return {path: _raven_text([(table, begins[uri]) for uri, table in recordings])}


def _raven_text(tables: list[tuple[pa.Table, float]]) -> bytes:
    """The text of a selection table.

    Args:
        tables: Events of a recording, and its begin in the sequence in seconds.
    """
    lines = ["\t".join(_RAVEN_COLUMNS)]
    for table, begin_s in tables:
        for row in table.to_pylist():
            cells = (
                len(lines),
                "Spectrogram 1",
                1,
                f"{begin_s + row['start_s']:.6f}",
                f"{begin_s + row['end_s']:.6f}",
                0,
                # The models see frequencies up to this one.
                SAMPLE_RATE_HZ // 2,
                storage.file_name(row["uri"]),
                f"{row['start_s']:.6f}",
                storage.shown(row["uri"]),
                row["label"],
                f"{row['score_max']:.4f}",
            )
            # A tab or a line break in a file name would begin another cell or row.
            lines.append("\t".join(str(cell).translate(_NO_BREAKS) for cell in cells))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _cumulative_begins(events: DatasetEvents) -> dict[str, float]:
    """Where every file begins if all are opened as one sequence, sorted by path.

    Raises:
        ConfigError: if the length of a file is not known.
    """
    if events.snapshot.has_excerpts():
        raise ConfigError(
            "the clips are parts of files, so that the lengths of the files are not "
            "known; give a folder to get one selection table for every file"
        )
    ledger = events.snapshot.ledger(["uri", "duration_s"]).sort_by("uri")
    begins, begin_s = {}, 0.0
    for uri, duration_s in zip(
        ledger["uri"].to_pylist(), ledger["duration_s"].to_pylist(), strict=True
    ):
        begins[uri] = begin_s
        begin_s += duration_s or 0.0
    return begins


def _by_recording(events: DatasetEvents) -> Iterator[tuple[str, pa.Table]]:
    """Yields the uri and the events of every file that has events."""
    uris = events.table["uri"]
    counts = pc.value_counts(uris)
    begin = 0
    for one in counts.to_pylist():
        yield one["values"], events.table.slice(begin, one["counts"])
        begin += one["counts"]


def _is_folder(path: str) -> bool:
    """Whether a path names a folder: an existing one, or one without extension."""
    return path.endswith("/") or not storage.suffix(path)


def _names(uris: list[str], path: str, extension: str) -> list[str]:
    """File names for recordings; in a folder, their paths below their common folder."""
    if not _is_folder(path) or not uris:
        return [path] * len(uris)
    shown = [storage.shown(uri) for uri in uris]
    folders = {posixpath.dirname(name) for name in shown}
    common = posixpath.commonpath(folders) if len(folders) > 1 else folders.pop()
    names = [posixpath.splitext(posixpath.relpath(x, common))[0] for x in shown]
    if len({*names}) < len(names):
        # Files that differ in their extensions only.
        names = [posixpath.relpath(x, common) for x in shown]
    return [storage.join(path, name + extension) for name in names]


def rounded(table: pa.Table) -> pa.Table:
    """The table with numbers of at most six digits after the point, for text."""
    for index, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            values = pc.round(table[field.name].cast(pa.float64()), _DIGITS)
            table = table.set_column(index, field.name, values)
    return table


_CONTENTS: dict[str, Callable[[DatasetEvents, str], dict[str, bytes]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "raven": _raven,
    "audacity": _audacity,
    "json": _json,
}
FORMATS = (*_CONTENTS,)
