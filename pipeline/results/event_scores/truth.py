"""Reads a ground truth of events: which sound is heard, from when to when.

The rows may also be the marks of a listener on events that were found: a column
`correct` with yes or no. Such a file says nothing of events that were not found.
"""

import dataclasses
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.results.evaluation.ground_truth import same_spelling
from pipeline.results.events.event_table import read_event_table, without_event
from transforms import storage

_MARKS = {"yes": True, "no": False}


class Name(NamedTuple):
    """What a row says of the clip or the recording; empty if it does not say it."""

    clip_id: str
    uri: str


class TrueEvent(NamedTuple):
    """An event of a ground truth; `is_true` is False if a listener says no."""

    label: str
    start_s: float
    end_s: float
    is_true: bool = True


@dataclasses.dataclass(frozen=True)
class EventTruth:
    """Events by clip or recording.

    Attributes:
        source: File, as shown in messages.
        folder: Folder of the file; its relative uris are below.
        events: Name of a clip or recording -> its events, which may be none.
        is_marks: Whether the rows are marks on found events.
        num_unmarked: Number of rows without a mark, if others have one.
    """

    source: str
    folder: str
    events: dict[Name, list[TrueEvent]]
    is_marks: bool = False
    num_unmarked: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the events, sorted."""
        return tuple(sorted({e.label for rows in self.events.values() for e in rows}))


def read_truth(path: str) -> EventTruth:
    """Reads a ground truth from CSV or Parquet.

    Raises:
        ConfigError: if the file cannot be read, or a row has no name, no label or no
            valid mark.
    """
    source = storage.shown(path)
    table = read_event_table(path, is_truth=True)
    if not table.num_rows:
        raise ConfigError(f"events {source} has no rows")
    marks = _marks(table, source)
    names = [Name(*row) for row in zip(*_names(table), strict=True)]
    labels = map(same_spelling, _texts(table, "label"))
    times = (table[name].to_pylist() for name in ("start_s", "end_s"))
    is_empty = without_event(table).to_pylist()
    events: dict[Name, list[TrueEvent]] = {}
    num_unmarked = 0
    for row, (name, label, start_s, end_s) in enumerate(
        zip(names, labels, *times, strict=True)
    ):
        if not any(name):
            raise _incomplete(source, row, "names no clip and no recording")
        of_name = events.setdefault(name, [])
        if is_empty[row]:
            continue
        if not label:
            raise _incomplete(source, row, "has no label")
        mark = marks[row] if marks else True
        if mark is None:
            num_unmarked += 1
        else:
            of_name.append(TrueEvent(label, start_s, end_s, mark))
    folder = storage.folder_of(storage.absolute(path))
    return EventTruth(source, folder, events, bool(marks), num_unmarked)


def _names(table: pa.Table) -> tuple[list[str], list[str]]:
    return _texts(table, "clip_id"), _texts(table, "uri")


def _texts(table: pa.Table, column: str) -> list[str]:
    """Returns a column as texts; empty texts if the table does not have it."""
    if column not in table.column_names:
        return [""] * table.num_rows
    texts = pc.fill_null(table[column].cast(pa.string()), "")
    return pc.utf8_trim_whitespace(texts).to_pylist()


def _marks(table: pa.Table, source: str) -> list[bool | None]:
    """Returns the mark of each row, None without one; an empty list without marks."""
    if "correct" not in table.column_names:
        return []
    texts = [text.lower() for text in _texts(table, "correct")]
    for row, text in enumerate(texts):
        if text and text not in _MARKS:
            raise ConfigError(
                f"events {source}, row {row + 1}: correct is {text!r}, expected yes, "
                "no or nothing"
            )
    if not any(texts):
        raise ConfigError(
            f"events {source} has the column correct, and no row has yes or no in it; "
            "mark events, or remove the column if all of them are true"
        )
    return [_MARKS.get(text) for text in texts]


def _incomplete(source: str, row: int, problem: str) -> ConfigError:
    return ConfigError(
        f"events {source}, row {row + 1} {problem}; complete or remove it"
    )
