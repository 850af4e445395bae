"""Counts events by label, for the console."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console import counted, format_duration
from pipeline.results.events.read_events import DatasetEvents

# Number of labels that are listed.
_NUM_SHOWN = 10


def summary_lines(events: DatasetEvents) -> list[str]:
    """Returns lines that count the events; labels of most total duration come first."""
    counts = count_labels(events.table)
    lines = [
        f"{counted(events.table.num_rows, 'event', 'events')} of "
        f"{counted(len(counts), 'label', 'labels')} in {counted(events.num_clips)}, "
        f"model {events.snapshot.model}"
    ]
    lines += [
        f"  {label}: {counted(count, 'event', 'events')}, {format_duration(total_s)}"
        for label, count, total_s in counts[:_NUM_SHOWN]
    ]
    more = len(counts) - _NUM_SHOWN
    if more > 0:
        lines.append(f"  and {counted(more, 'label', 'labels')} more")
    return lines


def count_labels(table: pa.Table) -> list[tuple[str, int, float]]:
    """Returns label, number of events and total duration in seconds of each label.

    The label with the longest total duration comes first.
    """
    duration = pc.subtract(table["end_s"], table["start_s"])
    groups = (
        pa.table({"label": table["label"], "duration": duration})
        .group_by("label")
        .aggregate([("duration", "count"), ("duration", "sum")])
    )
    order = [("duration_sum", "descending"), ("label", "ascending")]
    rows = groups.sort_by(order).to_pylist()
    return [(r["label"], r["duration_count"], r["duration_sum"]) for r in rows]
