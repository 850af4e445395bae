"""Finds the events of a dataset in its patches, one clip at a time."""

import dataclasses
import json
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.inputs.excerpts import START
from pipeline.results.events.clip_blocks import ClipBlocks
from transforms import storage
from transforms.events.detect import find_events
from transforms.events.settings import EventSettings, LabelThresholds
from transforms.events.table import EVENTS_SCHEMA, events_table
from transforms.front_end.patches import PatchSpec
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.schemas import patch_times


@dataclasses.dataclass(frozen=True)
class DatasetEvents:
    """The events of a dataset.

    Attributes:
        snapshot: Dataset and model.
        table: One row for every event, sorted by uri, start and label.
        num_clips: Number of clips with results.
    """

    snapshot: Snapshot
    table: pa.Table
    num_clips: int


class _Clip(NamedTuple):
    """What the ledger says of a clip with results."""

    uri: str
    duration_s: float
    num_patches: int
    start_s: float
    recorded_at: str | None


def read_events(snapshot: Snapshot, settings: EventSettings) -> DatasetEvents:
    """Finds the events of all clips.

    Patches are read in a stream; only the events are kept. See `reads_stored`.

    Raises:
        ConfigError: if the settings name a label that the model does not have, or
            differ from those of the events that the dataset has.
        DatasetError: if the dataset has neither activations nor events, or is damaged.
    """
    if reads_stored(snapshot, settings):
        return _stored_events(snapshot, settings)
    metadata = snapshot.schema("patches", "activations").metadata
    try:
        thresholds = settings.of_labels(json.loads(metadata[b"labels"]))
    except ValueError as error:
        raise ConfigError(f"model {snapshot.model}: {error}") from error
    columns = _ledger_columns(snapshot)
    tables, num_clips = [EVENTS_SCHEMA.empty_table()], 0
    for part in snapshot.parts:
        for table in _part_events(snapshot, part, columns, thresholds, settings):
            num_clips += 1
            if table.num_rows:
                tables.append(table)
    return DatasetEvents(snapshot, _sorted(pa.concat_tables(tables)), num_clips)


def reads_stored(snapshot: Snapshot, settings: EventSettings) -> bool:
    """Whether the events that a run stored are read: without other settings."""
    outputs = snapshot.run["config"]["outputs"]
    is_default = dataclasses.replace(settings, labels=()) == EventSettings()
    return "events" in outputs and (is_default or "activations" not in outputs)


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(n, "ascending") for n in ("uri", "start_s", "label")])


def _stored_events(snapshot: Snapshot, settings: EventSettings) -> DatasetEvents:
    if dataclasses.replace(settings, labels=()) != EventSettings():
        raise ConfigError(
            f"{snapshot.dataset.shown} has no activations of patches, so that its "
            "events cannot be found with other settings; leave out all but --label"
        )
    try:
        settings.of_labels(snapshot.labels("activations_mean"))
    except ValueError as error:
        raise ConfigError(f"model {snapshot.model}: {error}") from error
    files = storage.open_dataset(snapshot.files("events"))
    table = files.to_table().replace_schema_metadata()
    if settings.labels:
        wanted = pa.array(settings.labels)
        table = table.filter(pc.is_in(table["label"], value_set=wanted))
    counts = snapshot.ledger(["num_patches"])["num_patches"]
    num_clips = pc.sum(pc.greater(counts, 0)).as_py() or 0
    return DatasetEvents(snapshot, _sorted(table), num_clips)


def _part_events(
    snapshot: Snapshot,
    part: str,
    columns: list[str],
    thresholds: LabelThresholds,
    settings: EventSettings,
) -> Iterator[pa.Table]:
    """Yields the events of every clip of a part that has results."""
    spec = PatchSpec(snapshot.run["config"]["patch_hop"])
    blocks = ClipBlocks(snapshot, part)
    for clip_id, clip in _read_clips(snapshot, part, columns).items():
        times = patch_times(spec, clip.num_patches, clip.start_s, clip.duration_s)
        activations = blocks.of_clip(clip_id, clip.num_patches)
        events = find_events(activations, times, thresholds, settings)
        yield events_table(
            events, times, thresholds.labels, clip_id, clip.uri, clip.recorded_at
        )


def _ledger_columns(snapshot: Snapshot) -> list[str]:
    """Columns of the ledger that say what a clip is."""
    columns = ["clip_id", "uri", "duration_s", "num_patches"]
    if snapshot.has_excerpts():
        columns.append(START)
    if RECORDED_AT_COLUMN in snapshot.ledger_dataset().schema.names:
        columns.append(RECORDED_AT_COLUMN)
    return columns


def _read_clips(snapshot: Snapshot, part: str, columns: list[str]) -> dict[str, _Clip]:
    """Returns the clips of a part that have results, in the order of its patches."""
    ledger = snapshot.read_part("ledger", part, columns)
    ledger = ledger.filter(pc.greater(ledger["num_patches"], 0))
    return {
        row["clip_id"]: _Clip(
            row["uri"],
            row["duration_s"],
            row["num_patches"],
            row.get(START) or 0.0,
            row.get(RECORDED_AT_COLUMN),
        )
        for row in ledger.to_pylist()
    }
