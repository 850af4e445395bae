"""ReadManifest: reads the planned shards of a run and brings them to the workers.

A plan is an Arrow IPC file with one record batch a shard: the manifest's columns plus
two of ours, the shard's name and the failure decided before the shard starts (a clip
that took workers down). The launcher writes it, workers read it: a manifest of a
million rows never sits in the job's graph.
"""

import dataclasses
import fcntl
import os
import time
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

from transforms.elements import Clip, Failure, PlannedShard, Shard
from transforms.storage import open_arrow

SHARD_COLUMN = "__shard_id"
FAILURE_COLUMN = "__failure"
PLAN_FIELDS = (
    pa.field(SHARD_COLUMN, pa.string()),
    pa.field(FAILURE_COLUMN, pa.string()),
)


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Lets the workers of one machine take shards as they become free.

    Beam's local runner gives every worker its share at the start, and a slow one keeps
    the others waiting. With lanes each worker gets one lane, and a lane takes the next
    shard of the plan whenever the last is done.

    Attributes:
        num_lanes: One a worker.
        counter_path: A file that all workers see and no other job uses; it counts the
            shards that were taken.
    """

    num_lanes: int
    counter_path: str

    def take(self) -> int:
        """Index of the next shard; no other lane gets the same one."""
        descriptor = os.open(self.counter_path, os.O_RDWR | os.O_CREAT, 0o600)
        with open(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            index = int.from_bytes(file.read())
            file.seek(0)
            file.write((index + 1).to_bytes(8))
        return index


def read_planned_shards(plan_path: str) -> list[PlannedShard]:
    """All shards of a plan file, in its order."""
    with open_arrow(plan_path) as source:
        reader = pa.ipc.open_file(source)
        return [_read_shard(reader, i) for i in range(reader.num_record_batches)]


def take_planned_shards(plan_path: str, lanes: Lanes) -> Iterator[PlannedShard]:
    """Shards of a plan file that no other lane has taken, one at a time."""
    with open_arrow(plan_path) as source:
        reader = pa.ipc.open_file(source)
        while (index := lanes.take()) < reader.num_record_batches:
            yield _read_shard(reader, index)


def _read_shard(reader: pa.RecordBatchFileReader, index: int) -> PlannedShard:
    batch = reader.get_batch(index)
    return PlannedShard(batch.column(SHARD_COLUMN)[0].as_py(), _to_bytes(batch))


def open_shard(planned: PlannedShard) -> Shard:
    """Makes the clips of a planned shard."""
    rows = manifest_rows(planned.manifest)
    columns = (rows.column(name).to_pylist() for name in ("clip_id", "uri"))
    failures = rows.column(FAILURE_COLUMN).to_pylist()
    clips = tuple(
        Clip(clip_id, uri, failure=_worker_failure(failure))
        for clip_id, uri, failure in zip(*columns, failures, strict=True)
    )
    return Shard(planned.shard_id, planned.manifest, clips, time.time())


def manifest_rows(manifest: bytes) -> pa.RecordBatch:
    """The manifest slice of a shard, with the plan's own columns."""
    return pa.ipc.open_stream(manifest).read_next_batch()


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _worker_failure(message: str | None) -> Failure | None:
    return Failure("worker", "worker_died", message) if message else None


@dataclasses.dataclass
class ReadManifest(beam.PTransform):
    """Reads plans and brings their shards to the workers.

    Input: paths of plan files. Output: Shard. No more than manifest rows crosses the
    Reshuffle; with lanes, which workers of one machine may use, nothing but the path.
    """

    lanes: Lanes | None = None

    def expand(self, plan_paths: beam.PCollection) -> beam.PCollection:
        planned = self._taken(plan_paths) if self.lanes else self._dealt(plan_paths)
        return planned | "OpenShard" >> beam.Map(open_shard).with_output_types(Shard)

    def _dealt(self, plan_paths: beam.PCollection) -> beam.PCollection:
        return (
            plan_paths
            | "ReadPlan" >> beam.FlatMap(read_planned_shards)
            | "Spread" >> beam.Reshuffle()
        )

    def _taken(self, plan_paths: beam.PCollection) -> beam.PCollection:
        assert self.lanes
        return (
            plan_paths
            | "Lanes" >> beam.FlatMap(_repeat, self.lanes.num_lanes)
            | "Spread" >> beam.Reshuffle()
            | "TakeShards" >> beam.FlatMap(take_planned_shards, self.lanes)
        )


def _repeat(plan_path: str, times: int) -> list[str]:
    return [plan_path] * times
