"""Lists what the model heard in every clip, from Parquet alone."""

from collections.abc import Iterator
from typing import Any

from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError

# Longer descriptions are cut, so that a line stays a line.
_MAX_WIDTH = 36


def list_top_labels(
    output: str, model: str | None, column: str | None, num_labels: int
) -> Iterator[str]:
    """One line a clip, by clip_id: its name, what it is, the labels heard, or why not.

    Args:
        output: Folder of a dataset.
        model: Name; may be left out if the dataset has one model.
        column: A column of the manifest that tells what a clip is.
        num_labels: How many labels, 1 to 10.

    Raises:
        ConfigError: if there is no such dataset, model or column, or no activations.
    """
    if not 1 <= num_labels <= 10:
        raise ConfigError(f"number of labels is {num_labels}, expected 1 to 10")
    dataset = Dataset(output)
    dataset.existing_run()
    heard = _read_heard(dataset, dataset.find_model(model), num_labels)
    rows = _read_rows(dataset, column)
    names = [(row["clip_id"], str(row[column] or "") if column else "") for row in rows]
    columns = zip(*names, strict=True)
    widths = [min(_MAX_WIDTH, max(map(len, texts))) for texts in columns]
    for row, texts in zip(rows, names, strict=True):
        cells = [f"{t[:w]:{w}}" for t, w in zip(texts, widths, strict=True) if w]
        answer = heard.get(row["clip_id"]) or _why_nothing(row)
        yield "  ".join([*cells, answer])


def _read_rows(dataset: Dataset, column: str | None) -> list[dict[str, Any]]:
    columns = ["clip_id", "status", "error_type"]
    ledger = dataset.open_table("ledger")
    if ledger is None:
        return []
    if column is not None and column not in ledger.schema.names:
        raise ConfigError(
            f"the ledger has no column {column!r}, it has "
            f"{', '.join(ledger.schema.names)}"
        )
    table = ledger.to_table(columns=[*columns, *([column] if column else [])])
    rows: list[dict[str, Any]] = table.sort_by("clip_id").to_pylist()
    return rows


def _read_heard(dataset: Dataset, model: str, num_labels: int) -> dict[str, str]:
    clips = dataset.open_table(f"clips/model={model}")
    if clips is None:
        return {}
    if "top_labels" not in clips.schema.names:
        raise ConfigError(f"{dataset.shown} has no activations of model {model}")
    heard = {}
    for batch in clips.to_batches(columns=["clip_id", "top_labels"]):
        for row in batch.to_pylist():
            top = row["top_labels"][:num_labels]
            labels = (f"{entry['label']} {entry['score']:.2f}" for entry in top)
            heard[row["clip_id"]] = ", ".join(labels)
    return heard


def _why_nothing(row: dict[str, Any]) -> str:
    if row["status"] != "ok":
        return f"failed: {row['error_type']}"
    return "shorter than one patch"
