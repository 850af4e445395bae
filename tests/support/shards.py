"""Plans, shards and clips for tests of single transforms, and a pipeline for one."""

import pathlib
from collections.abc import Mapping

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

from pipeline.dataset.folder import DONE_COLUMNS
from pipeline.launch.done_rows import find_done
from pipeline.launch.plan import Plan, ShardLimits, pending_rows, write_plan
from transforms import storage
from transforms.elements import Clip, Failure, PlannedShard, Shard
from transforms.job_control.counters import METRICS_NAMESPACE
from transforms.manifest import FILE_FIELDS, read_planned_shards
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import FileInfo

FAILED = Clip("bad", "bad.wav", failure=Failure("decode", "empty", "nothing in it"))


def plan_of(rows: pa.Table, num_clips: int, *audio_s: float) -> Plan:
    """A plan that does all rows of a manifest.

    Args:
        rows: Rows of the manifest.
        num_clips: Largest number of clips in a shard.
        audio_s: Length of each clip in seconds; 1 second each if none is given.
    """
    lengths = np.array(audio_s or [1.0] * rows.num_rows)
    return Plan(rows, rows, lengths, ShardLimits(num_clips))


def with_files(rows: pa.Table, files: Mapping[str, FileInfo | None]) -> pa.Table:
    """Adds FILE_FIELDS to rows of a manifest; see `states_by_uri`."""
    states = states_by_uri(rows, files)
    for field, column in zip(FILE_FIELDS, states.columns, strict=True):
        rows = rows.append_column(field, column)
    return rows


def states_by_uri(rows: pa.Table, files: Mapping[str, FileInfo | None]) -> pa.Table:
    """Returns FILE_STATES of rows of a manifest.

    Args:
        rows: Rows of the manifest.
        files: Sizes and times by uri; None for a file that does not exist.
    """
    uris = rows["uri"].to_pylist()
    infos = [files.get(uri) for uri in uris]
    found = [files[uri] is not None if uri in files else None for uri in uris]
    return storage.file_states(infos, found)


def pending_of(
    manifest: pa.Table, ledger: pa.Table, retry_failed: bool = False
) -> pa.Table:
    """The rows of a manifest that are not done according to a ledger.

    Args:
        manifest: Rows of the manifest.
        ledger: Rows of the ledger, with or without the columns of their files.
        retry_failed: Whether failed rows are pending, too.
    """
    for field in LEDGER_FIELDS:
        if field.name in DONE_COLUMNS and field.name not in ledger.column_names:
            ledger = ledger.append_column(field, pa.nulls(len(ledger), field.type))
    done = find_done(manifest, states_by_uri(manifest, {}), [ledger])
    return pending_rows(manifest, done, retry_failed)


def planned_shard(clip_ids: list[str], tmp_path: pathlib.Path) -> PlannedShard:
    """A shard of the given clips, read from a plan file that is written to a folder."""
    table = pa.table(
        {
            "clip_id": clip_ids,
            "uri": [f"{clip_id}.wav" for clip_id in clip_ids],
            "take": range(len(clip_ids)),
        }
    )
    plan = tmp_path / "plan.arrow"
    write_plan(plan_of(table, len(clip_ids)), str(plan), {})
    return next(read_planned_shards(str(plan)))


def run_transform(
    transform: beam.PTransform, shard: Shard, check: object
) -> dict[str, int]:
    """Runs a transform on one shard, checks its output and returns its counters."""
    with TestPipeline(runner="FnApiRunner") as pipeline:
        result = pipeline | beam.Create([shard]) | transform
        assert_that(result, check, label="Check")
    counters = pipeline.result.metrics().query()["counters"]
    return {
        counter.key.metric.name: counter.committed
        for counter in counters
        if counter.key.metric.namespace == METRICS_NAMESPACE
    }
