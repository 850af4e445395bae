"""Finds the events of a dataset in its patches, one clip at a time."""

import dataclasses
import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.event_options import label_thresholds
from pipeline.inputs.excerpts import START
from pipeline.results.events.clip_blocks import ClipBlocks
from transforms.elements import AudioInfo, Clip
from transforms.events.settings import EventSettings, LabelThresholds
from transforms.events.table import EVENTS_SCHEMA
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.tables import clip_events


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


def read_events(snapshot: Snapshot, settings: EventSettings) -> DatasetEvents:
    """Finds the events of all clips.

    Patches are read in a stream; only the events are kept. `reads_stored` says when
    the events of the dataset are read instead.

    Raises:
        ConfigError: if the settings name a label that the model does not have, or
            differ from those of the events that the dataset has.
        DatasetError: if the dataset has neither activations nor events, or is damaged.
    """
    if reads_stored(snapshot, settings):
        return _stored_events(snapshot, settings)
    metadata = snapshot.schema("patches", "activations").metadata
    labels = json.loads(metadata[b"labels"])
    thresholds = label_thresholds(settings, labels, snapshot.model)
    columns = _ledger_columns(snapshot)
    tables, num_clips = [EVENTS_SCHEMA.empty_table()], 0
    for part in snapshot.parts:
        for table in _part_events(snapshot, part, columns, thresholds, settings):
            num_clips += 1
            if table.num_rows:
                tables.append(table)
    return DatasetEvents(snapshot, _sorted(pa.concat_tables(tables)), num_clips)


def reads_stored(snapshot: Snapshot, settings: EventSettings) -> bool:
    """Whether the events that a run stored are read, and not the patches.

    This is so if the settings are the defaults, or if there are no activations.
    """
    if "events" not in snapshot.run["config"]["outputs"]:
        return False
    is_default = dataclasses.replace(settings, labels=()) == EventSettings()
    return is_default or not snapshot.has_column("patches", "activations")


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([(n, "ascending") for n in ("uri", "start_s", "label")])


def _stored_events(snapshot: Snapshot, settings: EventSettings) -> DatasetEvents:
    if dataclasses.replace(settings, labels=()) != EventSettings():
        raise ConfigError(
            f"{snapshot.dataset.shown} has no activations of patches, so that its "
            "events cannot be found with other settings; leave out all but --label"
        )
    # Refuses labels that the model does not have.
    label_thresholds(settings, snapshot.labels("activations_mean"), snapshot.model)
    table = pa.Table.from_batches(snapshot.batches("events"), EVENTS_SCHEMA)
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
    blocks = ClipBlocks(snapshot, part)
    for clip, num_patches in _read_clips(snapshot, part, columns):
        activations = blocks.of_clip(clip.clip_id, num_patches)
        yield clip_events(
            clip, activations, num_patches, snapshot.patch_spec, thresholds, settings
        )


def _ledger_columns(snapshot: Snapshot) -> list[str]:
    """Columns of the ledger that say what a clip is."""
    info = [field.name for field in dataclasses.fields(AudioInfo)]
    columns = ["clip_id", "uri", "num_patches", *info]
    if snapshot.has_excerpts():
        columns.append(START)
    if RECORDED_AT_COLUMN in snapshot.ledger_names():
        columns.append(RECORDED_AT_COLUMN)
    return columns


def _read_clips(
    snapshot: Snapshot, part: str, columns: list[str]
) -> Iterator[tuple[Clip, int]]:
    """Yields the clips of a part that have results, and their numbers of patches.

    They are in the order of the patches.
    """
    ledger = snapshot.read_part("ledger", part, columns)
    for row in ledger.filter(pc.greater(ledger["num_patches"], 0)).to_pylist():
        info = {f.name: row.pop(f.name) for f in dataclasses.fields(AudioInfo)}
        num_patches = row.pop("num_patches")
        yield Clip(**row, info=AudioInfo(**info)), num_patches
