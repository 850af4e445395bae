"""Reads a table of events: one that was written here, or a list made by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms import storage

_TIMES = ("start_s", "end_s")


def read_event_table(path: str, is_truth: bool = False) -> pa.Table:
    """Reads events from CSV or Parquet, with the columns label, start_s and end_s.

    Args:
        path: File to read.
        is_truth: Whether the table is a ground truth. It may then have rows without
            label and times, which say that a recording has no events, and it may be the
            manifest of cut events, which names their places in `source_` columns.

    Returns:
        The table with all its columns; times are float64, and at least one of `clip_id`
        and `uri` is there.

    Raises:
        ConfigError: if the file cannot be read, a column or a value is missing, or an
            event ends before it begins.
    """
    shown = storage.shown(path)
    try:
        table = _read(storage.absolute(path))
    except (storage.StorageError, ValueError, OSError) as error:
        raise ConfigError(f"cannot read events {shown}: {error}") from error
    if is_truth:
        table = _of_sources(table)
    names = table.column_names
    missing = [name for name in ("label", *_TIMES) if name not in names]
    if missing or not {"clip_id", "uri"} & {*names}:
        raise ConfigError(
            f"events {shown} has the columns {', '.join(names)}; expected clip_id or "
            "uri, and label, start_s, end_s"
        )
    for name in _TIMES:
        index = table.schema.get_field_index(name)
        try:
            values = table[name].cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise ConfigError(f"events {shown}, column {name}: {error}") from error
        table = table.set_column(index, name, values)
    is_right = pc.less_equal(table["start_s"], table["end_s"])
    is_right = pc.fill_null(is_right, False)
    if is_truth:
        is_right = pc.or_(is_right, without_event(table))
    # Not pc.indices_nonzero: it crashes on a table without chunks (apache/arrow#51018).
    wrong = np.flatnonzero(~is_right.to_numpy())
    if len(wrong):
        row = int(wrong[0])
        raise ConfigError(
            f"events {shown}, row {row + 1}: start_s is {table['start_s'][row]}, end_s "
            f"is {table['end_s'][row]}; expected times in seconds, the end not before "
            "the start"
        )
    return table


def without_event(table: pa.Table) -> pa.ChunkedArray:
    """Returns which rows have neither a label nor times, bool [num_rows]."""
    has_label = pc.not_equal(pc.fill_null(table["label"].cast(pa.string()), ""), "")
    has_time = pc.or_(*(pc.is_valid(table[name]) for name in _TIMES))
    return pc.invert(pc.or_(has_label, has_time))


def _of_sources(table: pa.Table) -> pa.Table:
    """Returns the manifest of cut events with their places in the recordings."""
    sources = [f"source_{name}" for name in ("uri", *_TIMES)]
    if "start_s" in table.column_names or not {*sources} <= {*table.column_names}:
        return table
    # uri and clip_id are those of the files that were cut.
    kept = [x for x in table.column_names if x not in ("uri", "clip_id", *sources)]
    table = table.select([*sources, *kept])
    return table.rename_columns(["uri", *_TIMES, *kept])


def _read(uri: str) -> pa.Table:
    if storage.suffix(uri).lower() == ".parquet":
        return pq.ParquetFile(storage.open_arrow(uri)).read()
    names = ("clip_id", "uri", "label", "source_uri", "correct")
    texts = {name: pa.string() for name in names}
    options = pyarrow.csv.ConvertOptions(column_types=texts)
    return pyarrow.csv.read_csv(storage.open_arrow(uri), convert_options=options)
