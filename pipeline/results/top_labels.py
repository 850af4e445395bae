"""Lists the top labels of every clip, from the Parquet files of a dataset."""

from collections.abc import Iterator
from typing import Any

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError

# Longer texts of the chosen column are cut, so that each clip stays on one line.
_MAX_WIDTH = 36


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
    labels = _read_labels(snapshot, num_labels)
    rows = _read_rows(snapshot, column)
    # A clip_id is never cut: users copy it to other commands.
    names = [(row["clip_id"], _cell(row[column]) if column else "") for row in rows]
    columns = zip(*names, strict=True)
    widths = [max(map(len, texts)) for texts in columns]
    for row, texts in zip(rows, names, strict=True):
        cells = [f"{text:{w}}" for text, w in zip(texts, widths, strict=True) if w]
        answer = labels.get(row["clip_id"]) or _why_none(row)
        yield "  ".join([*cells, answer])


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"


def _read_rows(snapshot: Snapshot, column: str | None) -> list[dict[str, Any]]:
    known = snapshot.ledger_names()
    if column is not None and column not in known:
        raise ConfigError(
            f"the ledger has no column {column!r}, expected one of: {', '.join(known)}"
        )
    columns = ["clip_id", "status", "error_type", *([column] if column else [])]
    rows: list[dict[str, Any]] = snapshot.ledger(columns).sort_by("clip_id").to_pylist()
    return rows


def _read_labels(snapshot: Snapshot, num_labels: int) -> dict[str, str]:
    """Returns clip_id -> its top labels and their scores, as text."""
    # The dataset has top labels if it has activations; an error shall name these.
    snapshot.schema("clips", "activations_mean")
    texts = {}
    for batch in snapshot.clips("top_labels"):
        for row in batch.to_pylist():
            top = row["top_labels"][:num_labels]
            labels = (f"{entry['label']} {entry['score']:.2f}" for entry in top)
            texts[row["clip_id"]] = ", ".join(labels)
    return texts


def _why_none(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"failed: {row['error_type']}"
    return "shorter than one patch"
