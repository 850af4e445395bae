"""Reads a table of events: one that was written here, or a list made by hand."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms import storage

_TIMES = ("start_s", "end_s")


def read_event_table(path: str) -> pa.Table:
    """Reads events from CSV or Parquet, with the columns label, start_s and end_s.

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
    wrong = pc.indices_nonzero(pc.invert(pc.fill_null(is_right, False)))
    if len(wrong):
        row = wrong[0].as_py()
        raise ConfigError(
            f"events {shown}, row {row + 1}: start_s is {table['start_s'][row]}, end_s "
            f"is {table['end_s'][row]}; expected times in seconds, the end not before "
            "the start"
        )
    return table


def _read(uri: str) -> pa.Table:
    if storage.suffix(uri).lower() == ".parquet":
        return pq.ParquetFile(storage.open_arrow(uri)).read()
    texts = {name: pa.string() for name in ("clip_id", "uri", "label")}
    options = pyarrow.csv.ConvertOptions(column_types=texts)
    return pyarrow.csv.read_csv(storage.open_arrow(uri), convert_options=options)
