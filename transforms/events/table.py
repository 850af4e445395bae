"""The table of events: one row for every event."""

import datetime

import numpy as np
import pyarrow as pa

from transforms.events.detect import Events, PatchTimes, Times
from transforms.recorded_at.moments import moment

EVENT_FIELDS = (
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("label", pa.string(), nullable=False),
    pa.field("start_s", pa.float64(), nullable=False),
    pa.field("end_s", pa.float64(), nullable=False),
    pa.field("score_max", pa.float32(), nullable=False),
    pa.field("score_mean", pa.float32(), nullable=False),
    pa.field("num_patches", pa.int32(), nullable=False),
    # ISO 8601 texts: an offset is known for some recordings only.
    pa.field("start_time", pa.string()),
    pa.field("end_time", pa.string()),
)
EVENTS_SCHEMA = pa.schema(EVENT_FIELDS)


def events_table(
    events: Events,
    times: PatchTimes,
    labels: tuple[str, ...],
    clip_id: str,
    uri: str,
    recorded_at: str | None,
) -> pa.Table:
    """The events of one clip, with times in its file.

    Args:
        events: Events of the clip.
        times: Where its patches are.
        labels: Labels of the model.
        clip_id: Id of the clip.
        uri: Its file.
        recorded_at: When the recording of the file started, as ISO 8601 text.
    """
    names = np.array(labels, object)[events.label]
    count = len(events.label)
    start_s = times.clip_start_s + times.seconds(events.start)
    end_s = times.clip_start_s + times.seconds(events.end)
    columns = [
        pa.repeat(pa.scalar(clip_id), count),
        pa.repeat(pa.scalar(uri), count),
        pa.array(names, pa.string()),
        start_s,
        end_s,
        events.score_max.astype(np.float32),
        events.score_mean.astype(np.float32),
        events.num_patches.astype(np.int32),
        pa.array(_times_of_day(recorded_at, start_s), pa.string()),
        pa.array(_times_of_day(recorded_at, end_s), pa.string()),
    ]
    return pa.Table.from_arrays([pa.array(c) for c in columns], schema=EVENTS_SCHEMA)


def _times_of_day(recorded_at: str | None, seconds: Times) -> list[str | None]:
    """When places of a recording were recorded, to milliseconds; None if unknown."""
    begin = moment(recorded_at or "")
    if begin is None:
        return [None] * len(seconds)
    return [
        # Always with milliseconds: pandas reads texts of one form only.
        (begin + datetime.timedelta(seconds=s)).isoformat(timespec="milliseconds")
        for s in np.round(seconds, 3).tolist()
    ]
