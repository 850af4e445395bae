"""AdmitShards: passes a shard on only if its job may write and this worker fits.

On a cluster nothing ties a worker to the launcher of its job. The worker may see
another disk, have another version of this package, be started again by the runner, or
go on for seconds after its job was stopped. A job therefore has a folder beside its
dataset, with a permit in it. To stop a job is to take its permit away: from then on
nothing is committed.
"""

import dataclasses
import functools
import json
import socket
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

import apache_beam as beam
import pyarrow.parquet as pq

from transforms.elements import Shard
from transforms.essentia_import import essentia_version
from transforms.job_control.counters import count
from transforms.job_control.deaths import given_up
from transforms.job_control.status import report_job
from transforms.schemas import part_name
from transforms.storage import (
    StorageError,
    join,
    look_up,
    open_arrow,
    read_file,
    shown,
)

PERMIT_NAME = "permit.json"


class PermitError(Exception):
    """This worker may not work for this job. The message says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Permit:
    """The facts by which a worker decides whether it may work for a job.

    Attributes:
        folder: Folder of the job; holds the permit, a JSON object with `job` and more.
        job: Name of the job, which no other job has.
        versions: Versions of the packages that a worker must have.
    """

    folder: str
    job: str
    versions: Mapping[str, str]

    def check(self) -> None:
        """Raises PermitError unless the job may still write."""
        uri = join(self.folder, PERMIT_NAME)
        try:
            found = json.loads(read_file(uri)).get("job")
        except StorageError as error:
            raise PermitError(
                f"a worker on {socket.gethostname()} cannot read {shown(uri)} "
                f"({error}): the job was stopped, or the workers do not see the "
                "output; it must be a bucket, or a disk that they share with the "
                "launcher under the same path"
            ) from error
        if found != self.job:
            now = f"; job {found} writes to its output now" if found else ""
            raise PermitError(f"job {self.job} was stopped{now}")


def check_versions(versions: Mapping[str, str]) -> None:
    """Raises PermitError unless this process has these versions of the packages."""
    _check_versions(tuple(versions.items()))


@functools.cache
def _check_versions(versions: tuple[tuple[str, str], ...]) -> None:
    for name, expected in versions:
        try:
            is_essentia = name == "essentia-tensorflow"
            found = essentia_version() if is_essentia else version(name)
        except PackageNotFoundError:
            found = "none"
        if found != expected:
            raise PermitError(
                f"a worker on {socket.gethostname()} has {name} {found}, the launcher "
                f"{expected}: install the launcher's version there (or its container "
                "image), or launch with the version of the workers"
            )


def admit_shard(shard: Shard, output: str, permit: Permit) -> Iterator[Shard]:
    """Yields the shard unless it is committed. Fails clips that were given up.

    Args:
        shard: Shard with its clips.
        output: Folder of the dataset.
        permit: Permit of the job.

    Raises:
        PermitError: if this worker may not work on the shard.
    """
    check_versions(permit.versions)
    permit.check()
    report_job(permit.folder)
    # The runner may have started the job again after this shard was committed.
    if _is_committed(shard, output):
        count("shards_skipped")
        for index in _not_in_ledger(shard, output):
            # Long recordings are committed alone, after the rest of their shard.
            yield from admit_shard(shard.alone(index), output, permit)
        return
    failures = given_up(permit.folder)
    clips = (
        dataclasses.replace(clip, failure=failures.get(clip.clip_id, clip.failure))
        for clip in shard.clips
    )
    yield dataclasses.replace(shard, clips=tuple(clips)) if failures else shard


def _is_committed(shard: Shard, output: str) -> bool:
    return bool(look_up(join(output, "ledger", part_name(shard.shard_id))))


def _not_in_ledger(shard: Shard, output: str) -> list[int]:
    """Indices of the clips that are not in the ledger file of their shard."""
    if len(shard.clips) == 1:
        return []
    with open_arrow(join(output, "ledger", part_name(shard.shard_id))) as file:
        found = pq.ParquetFile(file).read(columns=["clip_id"])["clip_id"].to_pylist()
    done = set(found)
    return [i for i, clip in enumerate(shard.clips) if clip.clip_id not in done]


@dataclasses.dataclass
class AdmitShards(beam.PTransform):
    """Passes on the shards that this worker may work on.

    Input: Shard. Output: Shard that is not committed yet. Counter: `shards_skipped`.
    """

    output: str
    permit: Permit

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Admit" >> beam.FlatMap(
            admit_shard, self.output, self.permit
        ).with_output_types(Shard)
