"""AdmitShards: where a job may still write, and a worker fits it, its shards go on.

On a cluster nothing ties a worker to who started the job: it may see another disk, have
another version of this package, be started again by the runner, or go on for seconds
after its job was stopped. So a job has a folder of its own beside its dataset, and in
it a permit. Whoever stops the job takes the permit away, and nothing is committed any
more. Beside it lies which clips were in hand when workers died.
"""

import collections
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import socket
import uuid
from collections.abc import Iterator, Mapping

import apache_beam as beam

from transforms.elements import ClipError, Shard
from transforms.schemas import part_name
from transforms.storage import (
    StorageError,
    file_name,
    join,
    list_files,
    look_up,
    publish,
    read_file,
    shown,
)
from transforms.workers.counters import count
from transforms.workers.status import report_job

# A clip that was in hand at two deaths is given up.
DEATHS_A_CLIP = 2
PERMIT_NAME = "permit.json"
_DEATHS = "deaths"


class PermitError(Exception):
    """This worker may not work for this job; says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Permit:
    """What a worker needs to know whether it may work for a job.

    Attributes:
        folder: Of the job; holds the permit, a JSON object with `job` and more.
        job: Name of the job, of no other one.
        versions: Of the packages that a worker must have.
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
            raise PermitError(f"job {self.job} was stopped; {found} writes there now")


def check_versions(versions: Mapping[str, str]) -> None:
    """Raises PermitError unless this process has these versions of the packages."""
    _check_versions(tuple(versions.items()))


@functools.cache
def _check_versions(versions: tuple[tuple[str, str], ...]) -> None:
    for name, expected in versions:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != expected:
            raise PermitError(
                f"a worker on {socket.gethostname()} has {name} {found}, the launcher "
                f"{expected}: install the launcher's version there (or its container "
                "image), or launch with the version of the workers"
            )


def note_death(folder: str, clip_id: str, problem: str) -> None:
    """Notes in a job's folder that a worker died with a clip in hand."""
    digest = hashlib.sha256(clip_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    name = f"{digest}-{uuid.uuid4().hex}.json"
    with publish(join(folder, _DEATHS, name)) as file:
        file.write(json.dumps({"clip_id": clip_id, "problem": problem}).encode())


def given_up(folder: str) -> dict[str, str]:
    """Clips that took several workers down, with why.

    Args:
        folder: Of a job.
    """
    by_clip = collections.defaultdict(list)
    for info in list_files(join(folder, _DEATHS)):
        by_clip[file_name(info.uri).partition("-")[0]].append(info.uri)
    reasons = {}
    for uris in by_clip.values():
        if len(uris) >= DEATHS_A_CLIP:
            death = json.loads(read_file(uris[-1]))
            clip_id = death["clip_id"]
            reasons[clip_id] = given_up_message(clip_id, death["problem"])
    return reasons


def given_up_message(clip_id: str, problem: str) -> str:
    """The ledger's words for a clip that took several workers down."""
    return (
        f"worker processes died {DEATHS_A_CLIP} times while working on clip {clip_id} "
        f"(the last: {problem}); it may be too long for the memory or crash the "
        "decoder: split or re-encode it"
    )


def admit_shard(shard: Shard, output: str, permit: Permit) -> Iterator[Shard]:
    """The shard, unless it is committed; without clips that took workers down.

    Args:
        shard: As opened.
        output: Folder of the dataset.
        permit: Of the job.

    Raises:
        PermitError: if this worker may not work on it.
    """
    check_versions(permit.versions)
    permit.check()
    report_job(permit.folder)
    # The runner may have started the job again.
    if look_up(join(output, "ledger", part_name(shard.shard_id))):
        count("shards_skipped")
        return
    reasons = given_up(permit.folder)
    clips = (
        clip.failed(ClipError("worker", "worker_died", reasons[clip.clip_id]))
        if clip.clip_id in reasons
        else clip
        for clip in shard.clips
    )
    yield dataclasses.replace(shard, clips=tuple(clips)) if reasons else shard


@dataclasses.dataclass
class AdmitShards(beam.PTransform):
    """Lets shards of a job in.

    Input: Shard. Output: Shard that is not committed yet. Counter: `shards_skipped`.
    """

    output: str
    permit: Permit

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "Admit" >> beam.FlatMap(
            admit_shard, self.output, self.permit
        ).with_output_types(Shard)
