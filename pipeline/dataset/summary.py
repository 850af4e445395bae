"""Sums up a dataset: the totals in run.json, and the text at the end of a run."""

import collections
import shlex
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console import counted, format_duration
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import stored_values
from transforms import storage
from transforms.schemas import stores_patches

TOTALS_COLUMNS = ["status", "error_type", "duration_s", "num_patches"]
_NUM_TOP = 5
_NUM_REASONS = 10
_STEPS = {
    "first_pass": "first pass",
    "decode": "decode",
    "resample": "resample",
    "log_mel": "log-mel",
    "inference": "inference",
    "commit": "commit",
}


def dataset_totals(dataset: Dataset) -> dict[str, Any]:
    """Counts clips, failures, patches and hours of audio in the whole ledger."""
    return ledger_totals(dataset.read_ledger(TOTALS_COLUMNS))


def ledger_totals(ledger: pa.Table) -> dict[str, Any]:
    """Counts clips, failures, patches and hours of audio in rows of the ledger.

    Args:
        ledger: Rows with TOTALS_COLUMNS.
    """
    failed = ledger.filter(pc.equal(ledger["status"], "failed"))
    reasons = collections.Counter(failed["error_type"].to_pylist())
    return {
        "clips": ledger.num_rows,
        "ok": ledger.num_rows - failed.num_rows,
        "failed": failed.num_rows,
        "failed_by_error_type": dict(reasons.most_common()),
        "patches": pc.sum(ledger["num_patches"]).as_py() or 0,
        "audio_hours": (pc.sum(ledger["duration_s"]).as_py() or 0.0) / 3600,
    }


def finished_totals(dataset: Dataset) -> dict[str, Any]:
    """The totals that the last run wrote when it had finished; empty without them.

    They are those of the ledger, because a run that changes it is not finished.
    """
    run = dataset.run()
    totals: dict[str, Any] = run.get("totals", {})
    return totals if run["state"] == "finished" else {}


def finish_run(
    dataset: Dataset, counters: dict[str, int], totals: dict[str, Any]
) -> None:
    """Writes the end of a run, its counters and the totals to run.json."""
    end = {"state": "finished", "finished": now(), "counters": counters}
    dataset.write_run(dataset.run() | end | {"totals": totals})


def now() -> str:
    """Returns the current time in the format of run.json."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def summary_text(
    dataset: Dataset, totals: dict[str, Any], elapsed_s: float | None
) -> str:
    """Returns the lines that a user reads last.

    Args:
        dataset: Dataset of the finished run.
        totals: Result of `dataset_totals`.
        elapsed_s: How long the run took; None if that was not measured.
    """
    took = "" if elapsed_s is None else f"; this run took {format_duration(elapsed_s)}"
    lines = [
        f"{counted(totals['ok'])} ok, {totals['failed']:,} failed; "
        f"{format_duration(totals['audio_hours'] * 3600)} of audio, "
        f"{counted(totals['patches'], 'patch', 'patches')}{took}"
    ]
    reasons = list(totals["failed_by_error_type"].items())[:_NUM_REASONS]
    lines += [f"  failed, {reason}: {count:,}" for reason, count in reasons]
    lines += _work_lines(dataset.run().get("counters", {}))
    for name in dataset.model_names():
        lines += _model_lines(dataset, name)
    outputs, patches = stored_values(dataset.run().get("config", {}))
    tables = ["patches"] * stores_patches(outputs, patches) + ["clips"]
    tables += ["events"] * ("events" in outputs)
    lines.append(f"dataset: {dataset.shown} (ledger, {', '.join(tables)}, run.json)")
    shown = shlex.quote(dataset.shown)
    if "events" in outputs:
        lines.append(f"list the events: fsdsinet events {shown} --output events.csv")
    elif not stores_patches(outputs, patches):
        lines.append(f"list the best labels of every clip: fsdsinet top {shown}")
    elif (clip_id := _example_clip(dataset)) is not None:
        lines.append(
            f"plot a clip: fsdsinet plot {shown} "
            f"--clip={shlex.quote(clip_id)} --output activations.png"
        )
    return "\n".join(lines)


def _work_lines(counters: dict[str, int]) -> list[str]:
    """Says how long each step took in all workers; no lines without counters."""
    steps = [name for name in _STEPS if f"{name}_us" in counters]
    if not steps:
        return []
    times = ", ".join(
        f"{_STEPS[name]} {counters[f'{name}_us'] / 1e6:,.1f} s" for name in steps
    )
    loads = ", ".join(
        f"{number} {name.removeprefix('model_loads_')}"
        for name, number in sorted(counters.items())
        if name.startswith("model_loads_")
    )
    return [f"work of all workers: {times}; models loaded: {loads or 'none'}"]


def _model_lines(dataset: Dataset, name: str) -> list[str]:
    counts: collections.Counter[str] = collections.Counter()
    table = f"clips/model={name}"
    parts = _parts_with(dataset, table, "top_labels")
    if not parts:
        return []
    for block in dataset.files.read_blocks(table, parts, ["top_labels"]):
        labels = pc.struct_field(pc.list_element(block["top_labels"], 0), "label")
        for item in pc.value_counts(labels).to_pylist():
            counts[item["values"]] += item["counts"]
    top = ", ".join(f"{label} ({n:,})" for label, n in counts.most_common(_NUM_TOP))
    notes = [f"most frequent top labels, {name}: {top or 'none'}"]
    if "random" in name:
        notes.append("  (a model with RANDOM weights: these labels mean nothing)")
    return notes


def _example_clip(dataset: Dataset) -> str | None:
    for name in dataset.model_names():
        table = f"clips/model={name}"
        for part in _parts_with(dataset, table, "activations_mean"):
            with dataset.files.open(table, part) as rows:
                for batch in rows.batches(["clip_id"]):
                    return str(batch["clip_id"][0])
    return None


def _parts_with(dataset: Dataset, table: str, column: str) -> list[str]:
    """File names of the parts of a table; none if the table has no such column."""
    parts = [*map(storage.file_name, dataset.parts(table))]
    if not parts:
        return []
    with dataset.files.open(table, parts[0]) as rows:
        return parts if column in rows.schema.names else []
