"""Finds the manifest rows that name parts of files, and the times of these parts.

Other tools name the columns differently. The times are added as the columns `start_s`
and `end_s`; the columns they were read from are kept.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.inputs.manifest_files import describe_row, read_text_columns
from transforms import storage

START, END = "start_s", "end_s"
_FILE_OFFSET = "File Offset (s)"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# How spreadsheets, R and databases write an empty cell of a CSV file.
EMPTY_CELLS = frozenset(["", "NA", "N/A", "n/a", "NULL", "null"])


@dataclasses.dataclass(frozen=True)
class Form:
    """A way to name a part of a file.

    Attributes:
        start: Column of the start in seconds.
        end: Column of the end, or of the length, in seconds.
        needs_both: Whether the columns name parts of files only if both exist.
        has_length: Whether `end` is the column of a length.
        offset: Column of the start in the file, if `start` and `end` count from the
            first of several files; empty if there is none.
    """

    start: str
    end: str
    needs_both: bool = True
    has_length: bool = False
    offset: str = ""

    def fits(self, names: Sequence[str]) -> bool:
        """Whether a manifest with these columns uses this form."""
        found = (self.start in names, self.end in names)
        has_offset = not self.offset or self.offset in names
        return has_offset and (all(found) if self.needs_both else any(found))

    def text(self, names: Sequence[str]) -> str:
        """Says which of the columns of a manifest are the times."""
        start, end = f'"{self.start}"', f'"{self.end}"'
        if self.has_length:
            end = f"{start} + {end}"
        if self.offset:
            offset = f'"{self.offset}"'
            start, end = offset, f"{offset} + {end} - {start}"
        times = []
        if self.start in names:
            times.append(f"{START} from {start}")
        if self.end in names:
            times.append(f"{END} from {end}")
        return ", ".join(times)


# The first form that fits is used: `offset` is an end next to `onset`, and otherwise a
# start if there is a `duration`. In Raven, times of a table of several files count from
# the first file, except the file offset.
_FORMS = (
    Form(START, END, needs_both=False),
    Form("Begin Time (s)", "End Time (s)", offset=_FILE_OFFSET),
    Form("Begin Time (s)", "End Time (s)", needs_both=False),
    Form("onset", "offset"),
    Form("offset", "duration", has_length=True),
)


def with_times(uri: str, table: pa.Table) -> tuple[pa.Table, str]:
    """Adds `start_s` and `end_s` to the table of a manifest that names parts of files.

    Args:
        uri: Path or uri of the manifest.
        table: Rows of the manifest.

    Returns:
        The table with both columns, float64 with null for the start or the end of the
        file, and a text that says where the times come from. If the manifest names no
        parts of files, the table as it is and an empty text.

    Raises:
        ConfigError: if a value is not a number of seconds, or a part ends before it
            starts.
    """
    names = table.column_names
    form = next((form for form in _FORMS if form.fits(names)), None)
    if form is None:
        return table, ""
    used = [n for n in (form.start, form.end, form.offset) if n in names]
    # Arrow reads NaN in a text as an empty cell.
    is_text = storage.suffix(uri).lower() in (".csv", ".tsv")
    cells = read_text_columns(uri, used) if is_text else table
    columns = {name: _seconds(uri, cells, name) for name in used}
    nothing: list[float | None] = [None] * table.num_rows
    starts = columns.get(form.start, nothing)
    ends = columns.get(form.end, nothing)
    if form.has_length:
        _check_rows(uri, (_length_problem(form.end, x) for x in ends))
        ends = [_sum(start, end) for start, end in zip(starts, ends, strict=True)]
    else:
        rows = zip(starts, ends, strict=True)
        _check_rows(uri, (_order_problem(form, *row) for row in rows))
    if form.offset:
        rows_of_three = zip(starts, ends, columns[form.offset], strict=True)
        moved = [_in_file(*row) for row in rows_of_three]
        starts, ends = [row[0] for row in moved], [row[1] for row in moved]
    for name, values in ((START, starts), (END, ends)):
        column = pa.array(values, pa.float64())
        index = table.schema.get_field_index(name)
        if index < 0:
            table = table.append_column(name, column)
        else:
            table = table.set_column(index, name, column)
    return table, form.text(names)


def said(readings: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Says which columns are the times, in one line for manifests of the same form.

    Args:
        readings: Manifest and text of `with_times`; an empty text says nothing.
    """
    by_text: dict[str, list[str]] = {}
    for source, text in readings:
        if text:
            by_text.setdefault(text, []).append(storage.shown(source))
    lines = []
    for text, sources in by_text.items():
        more = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
        lines.append(f"{sources[0]}{more}: clips are parts of files: {text}")
    return tuple(lines)


def times_text(start_s: float | None, end_s: float | None) -> str:
    """Names an excerpt: `60-120`, or `60-end` without an end; a whole file is empty."""
    if start_s is None and end_s is None:
        return ""
    end = "end" if end_s is None else time_text(end_s)
    return f"{time_text(start_s or 0.0)}-{end}"


def time_text(seconds: float) -> str:
    """The shortest decimal number that is exactly this time, without an exponent."""
    text = format(_decimal(seconds), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _seconds(uri: str, table: pa.Table, name: str) -> list[float | None]:
    """Reads a column as seconds; None for an empty cell."""
    problems: list[str] = []
    values: list[float | None] = []
    for value in table[name].to_pylist():
        seconds, problem = _parse(value)
        values.append(seconds)
        problems.append(problem and f"{name} is {_shown(value)}, {problem}")
    _check_rows(uri, problems)
    return values


def _parse(value: Any) -> tuple[float | None, str]:
    """Returns a cell as seconds, and what is wrong with it; empty if nothing is."""
    if isinstance(value, str):
        value = value.strip()
        if value in EMPTY_CELLS:
            return None, ""
        if _DECIMAL_COMMA.fullmatch(value):
            return None, "expected a decimal point; write it instead of the comma"
        if _NUMBER.fullmatch(value):
            value = float(value)
    if value is None:
        return None, ""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None, "expected a number of seconds, such as 1.5"
    if not 0 <= value < math.inf:
        return None, (
            "expected a number of seconds of at least 0, or an empty cell for the "
            "start or the end of the file"
        )
    # Adding 0 turns -0.0 into 0.0.
    return float(value) + 0.0, ""


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float) else str(value)


def _length_problem(name: str, seconds: float | None) -> str:
    if seconds != 0:
        return ""
    return f"{name} is 0, expected more than 0, or nothing for the rest of the file"


def _order_problem(form: Form, start: float | None, end: float | None) -> str:
    if end is None or end > (start or 0.0):
        return ""
    begins = "the start of the file"
    if start is not None:
        begins = f"{form.start}, which is {time_text(start)}"
    return (
        f"{form.end} is {time_text(end)}, expected more than {begins}; correct the "
        "times or remove the row"
    )


def _check_rows(uri: str, problems: Iterable[str]) -> None:
    """Raises ConfigError for the first row that has a problem."""
    for row, problem in enumerate(problems):
        if problem:
            place = f"{storage.shown(uri)}, {describe_row(uri, row)}"
            raise ConfigError(f"manifest {place}: column {problem}")


def _in_file(
    start: float | None, end: float | None, offset: float | None
) -> tuple[float | None, float | None]:
    """Times in the file of a row of Raven, from those in the sequence of files."""
    if start is None or offset is None or offset == start:
        return start, end
    return offset, None if end is None else _exact([offset, end], [start])


def _sum(start: float | None, length: float | None) -> float | None:
    return None if length is None else _exact([start or 0.0, length])


def _exact(added: list[float], subtracted: Sequence[float] = ()) -> float:
    """Adds and subtracts as in decimal numbers: 0.1 + 0.2 is 0.3."""
    total = sum(_decimal(x) for x in added) - sum(_decimal(x) for x in subtracted)
    return float(total)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))
