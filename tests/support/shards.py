"""Plans, shards and clips for tests of single transforms, and a pipeline for one."""

import pathlib

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

from pipeline.launch.plan import Plan, ShardLimits, write_plan
from transforms.elements import Clip, Failure, PlannedShard, Shard
from transforms.job_control.counters import METRICS_NAMESPACE
from transforms.manifest import read_planned_shards

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
    return read_planned_shards(str(plan))[0]


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
