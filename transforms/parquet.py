"""CommitShard: writes the Parquet files of a shard, the ledger file last.

The ledger file is the commit mark. A shard that has a ledger file is done. Any other
shard is computed again, and its files, which have the same names, are replaced. A job
may therefore be killed at any moment and run again: no row is lost or doubled.
"""

import dataclasses
import json
import os
import socket
import time

import apache_beam as beam
import pyarrow as pa

from transforms.elements import Clip, Shard, ShardSummary
from transforms.job_control.counters import count, timed
from transforms.job_control.permit import Permit
from transforms.job_control.status import report_clip
from transforms.manifest import FILE_MODIFIED_COLUMN, FILE_SIZE_COLUMN
from transforms.schemas import LEDGER_FIELDS, DatasetSpec, ledger_schema, part_name
from transforms.storage import join
from transforms.tables import model_tables, write_table


def commit_shard(
    shard: Shard, output: str, spec: DatasetSpec, permit: Permit | None = None
) -> ShardSummary:
    """Writes patches and clips of every model, then the ledger, and counts outcomes.

    Raises:
        PermitError: if the job may no longer write; the shard is not committed.
    """
    if shard.rows is None:
        raise ValueError(f"shard {shard.shard_id} has no manifest rows to commit")
    report_clip(None)
    with timed("commit"):
        part = part_name(shard.shard_id)
        for model in spec.models:
            for table, rows in model_tables(shard, spec, model):
                write_table(join(output, table, f"model={model.name}", part), rows)
        if permit:
            permit.check()
        write_table(join(output, "ledger", part), ledger_table(shard, spec))
    return count_outcomes(shard, sum(_num_patches(clip) for clip in shard.clips))


def count_outcomes(shard: Shard, num_patches: int) -> ShardSummary:
    """Counts a committed shard. A shard that is computed twice is committed once."""
    failures = [clip.failure.error_type for clip in shard.clips if clip.failure]
    num_ok = len(shard.clips) - len(failures)
    count("clips", len(shard.clips))
    count("clips_ok", num_ok)
    for error_type in failures:
        count(f"clips_failed_{error_type}")
    count("patches", num_patches)
    return ShardSummary(shard.shard_id, num_ok, len(failures), num_patches)


def ledger_table(
    shard: Shard, spec: DatasetSpec, num_patches: int | None = None
) -> pa.Table:
    """One row for every clip of the shard, ok or failed.

    Args:
        shard: Shard with predictions, or failures.
        spec: What is written.
        num_patches: Number of patches of the only clip, if its predictions are not in
            the shard.
    """
    assert shard.rows is not None
    rows = [_ledger_row(clip) for clip in shard.clips]
    if num_patches is not None:
        rows[0]["num_patches"] = num_patches
    # As planned, not as they are now: a file that changed before it was read counts as
    # changed in the next run.
    files = {
        "file_size_bytes": shard.rows.column(FILE_SIZE_COLUMN),
        "file_modified": shard.rows.column(FILE_MODIFIED_COLUMN),
    }
    columns = [
        files[field.name].cast(field.type)
        if field.name in files
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in LEDGER_FIELDS
    ]
    carried = [shard.rows.column(field.name) for field in spec.manifest_fields]
    schema = ledger_schema(spec)
    schema = schema.with_metadata({**schema.metadata, "worker": _worker(shard)})
    return pa.Table.from_arrays([*columns, *carried], schema=schema)


def _worker(shard: Shard) -> str:
    """The process that computed the shard, and when (Unix time), as JSON."""
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_s": round(shard.started_s, 3),
            "committed_s": round(time.time(), 3),
        }
    )


def _ledger_row(clip: Clip) -> dict[str, object]:
    row: dict[str, object] = {
        "clip_id": clip.clip_id,
        "uri": clip.uri,
        "status": "failed" if clip.failure else "ok",
        "num_patches": _num_patches(clip),
        "flags": sorted(clip.flags),
        "recorded_at": clip.recorded_at,
        "recorded_at_source": clip.recorded_at_source,
    }
    if clip.failure:
        row |= {
            "stage": clip.failure.stage,
            "error_type": clip.failure.error_type,
            "error": clip.failure.message,
        }
    if clip.info:
        row |= dataclasses.asdict(clip.info)
    return row


def _num_patches(clip: Clip) -> int:
    if not clip.predictions:
        return 0
    return len(next(iter(clip.predictions.values())).activations)


@dataclasses.dataclass
class CommitShard(beam.PTransform):
    """Commits shards to a dataset.

    Input: Shard with predictions. Output: ShardSummary. Counters: `clips`, `clips_ok`,
    `clips_failed_<error_type>`, `patches` and `commit_us`.
    """

    output: str
    spec: DatasetSpec
    permit: Permit | None = None

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Commit" >> beam.Map(
            commit_shard, self.output, self.spec, self.permit
        ).with_output_types(ShardSummary)
