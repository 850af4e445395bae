"""Checks the column `recorded_at` of manifests: when recordings started."""

from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.inputs.excerpts import EMPTY_CELLS
from pipeline.inputs.manifest_files import describe_row
from transforms import storage
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.recorded_at.moments import moment, text_of

_ADVICE = (
    "expected a date and a time such as 2024-06-11T05:30:00 or "
    "2024-06-11T05:30:00+02:00, or an empty cell; rename the column if it is "
    "something else"
)


def with_recorded_at(uri: str, table: pa.Table) -> pa.Table:
    """Turns the column `recorded_at` into ISO 8601 texts, null for empty cells.

    Args:
        uri: Path or uri of the manifest.
        table: Rows of the manifest.

    Returns:
        The table with the column as text; without the column, the table as it is.

    Raises:
        ConfigError: if a value is no time.
    """
    index = table.schema.get_field_index(RECORDED_AT_COLUMN)
    if index < 0:
        return table
    column = table[RECORDED_AT_COLUMN]
    if pa.types.is_timestamp(column.type):
        # Python has no nanoseconds.
        kind = pa.timestamp("us", column.type.tz)
        texts = [t and text_of(t) for t in column.cast(kind, safe=False).to_pylist()]
    else:
        values = enumerate(column.to_pylist())
        texts = [_text(uri, row, value) for row, value in values]
    return table.set_column(index, RECORDED_AT_COLUMN, pa.array(texts, pa.string()))


def _text(uri: str, row: int, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value.strip() in EMPTY_CELLS):
        return None
    time = moment(value.strip()) if isinstance(value, str) else None
    if time is None:
        raise ConfigError(
            f"manifest {storage.shown(uri)}, {describe_row(uri, row)}: column "
            f"{RECORDED_AT_COLUMN} is {str(value)!r}, {_ADVICE}"
        )
    return text_of(time)
