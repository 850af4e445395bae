"""ReadManifest: reads the planned shards of a run.

A plan is an Arrow IPC file with one record batch a shard: the manifest's columns plus
two of ours, the shard's name and the failure decided before the shard starts (a clip
that took workers down). The launcher writes it, workers read it: a manifest of a
million rows never sits in the job's graph.
"""

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


def read_planned_shards(plan_path: str) -> list[PlannedShard]:
    """All shards of a plan file, in its order."""
    with open_arrow(plan_path) as source:
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        return [
            PlannedShard(batch.column(SHARD_COLUMN)[0].as_py(), _to_bytes(batch))
            for batch in batches
        ]


def open_shard(planned: PlannedShard) -> Shard:
    """Makes the clips of a planned shard."""
    rows = manifest_rows(planned.manifest)
    columns = (rows.column(name).to_pylist() for name in ("clip_id", "uri"))
    failures = rows.column(FAILURE_COLUMN).to_pylist()
    clips = tuple(
        Clip(clip_id, uri, failure=_worker_failure(failure))
        for clip_id, uri, failure in zip(*columns, failures, strict=True)
    )
    return Shard(planned.shard_id, planned.manifest, clips)


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


class ReadManifest(beam.PTransform):
    """Reads plans and deals their shards out to the workers.

    Input: paths of plan files. Output: Shard. Only manifest rows cross the Reshuffle.
    """

    def expand(self, plan_paths: beam.PCollection) -> beam.PCollection:
        return (
            plan_paths
            | "ReadPlan" >> beam.FlatMap(read_planned_shards)
            | "Spread" >> beam.Reshuffle()
            | "OpenShard" >> beam.Map(open_shard).with_output_types(Shard)
        )
