"""Lists the top labels of every clip, from the Parquet files of a dataset."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError

# Longer texts of the chosen column are cut, so that each clip stays on one line.
_MAX_WIDTH = 36
_LABELS = pa.schema([("clip_id", pa.string()), ("labels", pa.string())])
# Rows that are Python objects at once. There may be millions of rows.
_BLOCK_ROWS = 1 << 16


def list_top_labels(
    output: str, model: str | None, column: str | None, num_labels: int
) -> Iterator[str]:
    """Returns one line for each clip, sorted by clip_id.

    A line has the clip_id, the value of the chosen column, and the top labels with
    their mean activations, or the reason why there are none.

    Args:
        output: Folder of a dataset.
        model: Name of the model; may be None if the dataset has only one.
        column: Column of the manifest to show; None for no column.
        num_labels: Number of labels, 1 to 10.

    Raises:
        ConfigError: if the dataset has no such model or column.
        DatasetError: if the folder holds no dataset with activations.
    """
    if not 1 <= num_labels <= 10:
        raise ConfigError(f"number of labels is {num_labels}, expected 1 to 10")
    snapshot = Snapshot(output, model)
    rows = _read_rows(snapshot, column, num_labels)
    # A clip_id is never cut: users copy it to other commands.
    id_width = pc.max(pc.utf8_length(rows["clip_id"])).as_py()
    width = max(len(row["cell"]) for row in _each(rows.select(["cell"])))
    for row in _each(rows):
        cells = [f"{row['clip_id']:{id_width}}"]
        cells += [f"{row['cell']:{width}}"] if width else []
        yield "  ".join([*cells, row["labels"] or _why_none(row)])


def _read_rows(snapshot: Snapshot, column: str | None, num_labels: int) -> pa.Table:
    """Returns the rows of the ledger, with `cell` and `labels` as text."""
    # The dataset has top labels if it has activations; an error shall name these.
    snapshot.schema("clips", "activations_mean")
    known = snapshot.ledger_names()
    if column is not None and column not in known:
        raise ConfigError(
            f"the ledger has no column {column!r}, expected one of: {', '.join(known)}"
        )
    batches = [_label_texts(b, num_labels) for b in snapshot.clips("top_labels")]
    labels = pa.Table.from_batches(batches, _LABELS).combine_chunks()
    names = ["clip_id", "status", "error_type"]
    rows = snapshot.ledger([*names, *([column] if column else [])]).sort_by("clip_id")
    cells = rows[column] if column else pa.nulls(rows.num_rows)
    places = pc.index_in(rows["clip_id"], value_set=labels["clip_id"].combine_chunks())
    return (
        rows.select(names)
        .append_column("cell", pa.chunked_array(_cells(cells), pa.string()))
        .append_column("labels", labels["labels"].take(places))
    )


def _label_texts(clips: pa.RecordBatch, num_labels: int) -> pa.RecordBatch:
    """Returns clip_id, and its top labels with their scores as text."""
    texts = [
        ", ".join(
            f"{entry['label']} {entry['score']:.2f}" for entry in top[:num_labels]
        )
        for top in clips["top_labels"].to_pylist()
    ]
    return pa.record_batch([clips["clip_id"], texts], _LABELS)


def _cells(values: pa.ChunkedArray | pa.Array) -> Iterator[pa.Array]:
    for start in range(0, len(values), _BLOCK_ROWS):
        block = values.slice(start, _BLOCK_ROWS).to_pylist()
        yield pa.array(map(_cell, block), pa.string())


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"


def _each(rows: pa.Table) -> Iterator[dict[str, Any]]:
    for start in range(0, rows.num_rows, _BLOCK_ROWS):
        yield from rows.slice(start, _BLOCK_ROWS).to_pylist()


def _why_none(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"failed: {row['error_type']}"
    return "shorter than one patch"
