"""ReadManifest: reads the planned shards of a run and brings them to the workers.

A plan is an Arrow IPC file with one record batch for every shard: the manifest's
columns and five more: the shard's name, a failure that was decided before the shard
starts (for a clip that was given up), and what the launcher knew of the file when it
planned. The launcher writes the plan and workers read it, so that a manifest of a
million rows is never part of the job's graph.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import pyarrow as pa

from transforms.elements import Clip, Failure, PlannedShard, Shard, shard_name
from transforms.job_control.lanes import Lane, Lanes, deal_lanes
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.storage import FILE_STATES, open_arrow, publish

# Columns of a manifest that say what a clip is; those after the uri may be missing.
CLIP_COLUMNS = ("clip_id", "uri", "start_s", "end_s", RECORDED_AT_COLUMN)
SHARD_COLUMN = "__shard_id"
FAILURE_COLUMN = "__failure"
FILE_SIZE_COLUMN, FILE_MODIFIED_COLUMN = "__file_size_bytes", "__file_modified"
FILE_FOUND_COLUMN = "__file_found"
# What the launcher knew of a clip's file when it planned.
FILE_FIELDS = tuple(
    field.with_name(name)
    for field, name in zip(
        FILE_STATES,
        (FILE_SIZE_COLUMN, FILE_MODIFIED_COLUMN, FILE_FOUND_COLUMN),
        strict=True,
    )
)
PLAN_FIELDS = (
    pa.field(SHARD_COLUMN, pa.string()),
    pa.field(
        FAILURE_COLUMN,
        pa.struct({field.name: pa.string() for field in dataclasses.fields(Failure)}),
    ),
    *FILE_FIELDS,
)


def write_plan(
    shards: Iterable[pa.Table],
    path: str,
    failures: Mapping[str, Failure] | None = None,
) -> None:
    """Writes the file that ReadManifest reads.

    Args:
        shards: At least one table of manifest rows, each of which becomes a shard. All
            have the same columns: `clip_id`, `uri`, and any others, which CommitShard
            copies to the ledger. `recorded_at` must be text (ISO 8601). FILE_FIELDS may
            be among the columns: CommitShard copies size and time to the ledger.
        path: Path or uri of the plan file.
        failures: Failures of clips that are not to be tried, by clip_id.

    Raises:
        ValueError: if there is no shard, the first columns are not clip_id and uri, or
            recorded_at is not text.
    """
    iterator = iter(shards)
    first = next(iterator, None)
    if first is None:
        raise ValueError("got no shards: a plan needs at least one")
    if first.column_names[:2] != ["clip_id", "uri"]:
        raise ValueError(
            f"the manifest begins with columns {first.column_names[:2]}, expected "
            "clip_id and uri"
        )
    index = first.schema.get_field_index(RECORDED_AT_COLUMN)
    if index >= 0 and first.schema.field(index).type != pa.string():
        raise ValueError(
            f"column {RECORDED_AT_COLUMN} is {first.schema.field(index).type}, "
            "expected text such as 2024-06-11T05:30:00+02:00"
        )
    own = [field for field in first.schema if field not in FILE_FIELDS]
    schema = pa.schema([*own, *PLAN_FIELDS])
    with publish(path) as file, pa.ipc.new_file(file, schema) as writer:
        for rows in itertools.chain([first], iterator):
            writer.write_table(_planned(rows, failures or {}).select(schema.names))


def _planned(rows: pa.Table, failures: Mapping[str, Failure]) -> pa.Table:
    """The rows of a shard in one chunk, with the plan's own columns."""
    clip_ids = rows["clip_id"].to_pylist()
    found = [failures.get(clip_id) for clip_id in clip_ids] if failures else []
    structs = [failure and dataclasses.asdict(failure) for failure in found]
    columns = {
        SHARD_COLUMN: [shard_name(clip_ids)] * rows.num_rows,
        FAILURE_COLUMN: structs or [None] * rows.num_rows,
    }
    for field in PLAN_FIELDS:
        if field.name not in rows.column_names:
            values = columns.get(field.name, [None] * rows.num_rows)
            rows = rows.append_column(field, pa.array(values, field.type))
    return rows.combine_chunks()


def read_planned_shards(plan_path: str) -> Iterator[PlannedShard]:
    """Yields all shards of a plan file, in the order of the file."""
    with open_arrow(plan_path) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            yield _read_shard(reader, index)


def take_planned_shards(lane: Lane, lanes: Lanes) -> Iterator[PlannedShard]:
    """Takes shards of a plan file one at a time, until all lanes have taken all."""
    with open_arrow(lane.plan_path) as source:
        reader = pa.ipc.open_file(source)
        for index in lanes.take(lane, reader.num_record_batches):
            yield _read_shard(reader, index)


def _read_shard(reader: pa.RecordBatchFileReader, index: int) -> PlannedShard:
    batch = reader.get_batch(index)
    return PlannedShard(batch.column(SHARD_COLUMN)[0].as_py(), _to_bytes(batch))


def open_shard(planned: PlannedShard) -> Shard:
    """Turns a planned shard into a Shard with its clips."""
    rows = manifest_rows(planned.manifest)
    named = [name for name in CLIP_COLUMNS if name in rows.schema.names]
    failures = rows.column(FAILURE_COLUMN).to_pylist()
    clips = tuple(
        Clip(
            **row,
            recorded_at_source="column" if row.get(RECORDED_AT_COLUMN) else None,
            failure=failure and Failure(**failure),
        )
        for row, failure in zip(rows.select(named).to_pylist(), failures, strict=True)
    )
    return Shard(planned.shard_id, clips, rows, time.time())


def manifest_rows(manifest: bytes) -> pa.RecordBatch:
    """The manifest rows of a planned shard, with the plan's own columns."""
    return pa.ipc.open_stream(manifest).read_next_batch()


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


@dataclasses.dataclass
class ReadManifest(beam.PTransform):
    """Reads plans and brings their shards to the workers.

    Input: paths of plan files, from `write_plan`. Output: Shard. Only manifest rows
    cross the Reshuffle; with lanes, only the path of the plan.
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
            | "DealLanes" >> beam.FlatMap(deal_lanes, self.lanes.num_lanes)
            | "Spread" >> beam.Reshuffle()
            | "TakeShards" >> beam.FlatMap(take_planned_shards, self.lanes)
        )
