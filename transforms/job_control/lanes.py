"""Lanes: let workers take planned shards as they become free.

A runner deals elements to its workers at the start, and all workers then wait for the
slowest. With lanes it deals one lane to each worker, and a lane takes another shard of
the plan whenever its last shard is done.
"""

import dataclasses
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from transforms.storage import create_file, join, list_names

_FOLDER = "lanes"


class Lane(NamedTuple):
    """One lane of a started job.

    Attributes:
        plan_path: Path or uri of the plan file.
        number: Number of the lane, from 0.
        start: Name of the start of the job that dealt the lane.
    """

    plan_path: str
    number: int
    start: str


def deal_lanes(plan_path: str, num_lanes: int) -> list[Lane]:
    """All lanes of a job that starts now."""
    start = uuid.uuid4().hex
    return [Lane(plan_path, number, start) for number in range(num_lanes)]


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Lanes of workers that share a folder, which may be in a bucket.

    Each lane owns every n-th shard and takes these in order. A lane that has taken its
    own shards takes shards of others. Empty files tell what was taken:

        <folder>/lanes/<start>/taken-<index of a shard>
        <folder>/lanes/<start>/begun-<lane>-<attempt>

    In a bucket two lanes may take one shard, if they do so at the same moment. Both
    then compute it and commit the same files. No shard is left out: a lane yields the
    shards that it takes, and a lane that is begun again yields all shards.

    Attributes:
        num_lanes: Number of lanes: one for every worker.
        folder: Path or uri of a folder of the job.
    """

    num_lanes: int
    folder: str

    def take(self, lane: Lane, num_shards: int) -> Iterator[int]:
        """Yields indices of shards; see the class.

        A lane is begun again if its worker died and the runner did not start the whole
        job again. The shards that the earlier attempt took and did not commit are then
        unknown, and it may still run and take more. The lane yields all shards; the
        committed ones are skipped by AdmitShards.

        Raises:
            StorageError: if the folder cannot be read or written.
        """
        own = range(lane.number, num_shards, self.num_lanes)
        if self._has_begun_before(lane):
            yield from sorted(range(num_shards), key=lambda index: index not in own)
            return
        for index in own:
            if self._take(lane, index):
                yield index
        # A lane without own shards is one of a small job, and others are about to take
        # what is left.
        left = self._left(lane, num_shards) if own else []
        while left:
            index = left.pop(0)
            if self._take(lane, index):
                yield index
            else:
                left = self._left(lane, num_shards)

    def _has_begun_before(self, lane: Lane) -> bool:
        """Notes that an attempt of a lane has begun; returns whether there are others.

        Of two attempts that begin at the same time, at least one sees the other.
        """
        create_file(self._uri(lane, f"begun-{lane.number}-{uuid.uuid4().hex}"))
        begun = f"begun-{lane.number}-"
        return sum(name.startswith(begun) for name in self._names(lane)) > 1

    def _take(self, lane: Lane, index: int) -> bool:
        """Takes a shard; False if another lane has it."""
        return create_file(self._uri(lane, f"taken-{index}"))

    def _left(self, lane: Lane, num_shards: int) -> list[int]:
        """The shards that no lane has taken, in the order in which to try them.

        The next shard of each lane comes last, because that lane is about to take it.
        The others are in the order of the plan, which begins with the most audio, so
        that short ones are left for the end. Lanes begin at different places.
        """
        names = self._names(lane)
        left = [i for i in range(num_shards) if f"taken-{i}" not in names]
        following = {index % self.num_lanes: index for index in reversed(left)}
        inner = [i for i in left if i != following[i % self.num_lanes]]
        begin = lane.number % max(len(inner), 1)
        return [*inner[begin:], *inner[:begin], *following.values()]

    def _names(self, lane: Lane) -> set[str]:
        return list_names(self._uri(lane))

    def _uri(self, lane: Lane, *name: str) -> str:
        return join(self.folder, _FOLDER, lane.start, *name)
