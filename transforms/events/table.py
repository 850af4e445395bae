"""The table of events: one row for every event."""

import numpy as np
import pyarrow as pa

from transforms.events.detect import Events, PatchTimes

EVENT_FIELDS = (
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("end_s", pa.float64(), nullable=False),
    pa.field("score_max", pa.float32(), nullable=False),
    pa.field("score_mean", pa.float32(), nullable=False),
    pa.field("num_patches", pa.int32(), nullable=False),
)
EVENTS_SCHEMA = pa.schema(EVENT_FIELDS)


def events_table(
    events: Events,
    times: PatchTimes,
    labels: tuple[str, ...],
    clip_id: str,
    uri: str,
) -> pa.Table:
    """The events of one clip, with times in its file."""
    names = np.array(labels, object)[events.label]
    count = len(events.label)
    columns = [
        pa.repeat(pa.scalar(clip_id), count),
        pa.repeat(pa.scalar(uri), count),
        pa.array(names, pa.string()),
        times.clip_start_s + times.seconds(events.start),
        times.clip_start_s + times.seconds(events.end),
        events.score_max.astype(np.float32),
        events.score_mean.astype(np.float32),
        events.num_patches.astype(np.int32),
    ]
    return pa.Table.from_arrays([pa.array(c) for c in columns], schema=EVENTS_SCHEMA)
