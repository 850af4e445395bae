"""The local runner: one single-threaded worker process a core, under a job process.

The job process is replaced when a worker dies: Beam's local runner would wait for ever.
"""

import collections
import functools
import os

from pipeline.config import RunConfig
from pipeline.console import ProgressLine
from pipeline.extract import ExtractJob
from pipeline.runners.base import JobRequest
from pipeline.runners.job_process import (
    COUNTERS_NAME,
    LOCAL_JOB,
    JobError,
    JobProcess,
    job_problem,
    take,
)
from pipeline.runners.local.job import DEATH_NAME, WORKER_DIED_CODE, LocalJob
from transforms.workers.permit import DEATHS_A_CLIP, given_up_message
from transforms.workers.status import read_statuses

_MAX_DEATHS = 20
_MAX_DEATHS_WITHOUT_CLIP = 3


def num_workers(config: RunConfig) -> int:
    """As asked for; one a core otherwise."""
    return config.workers or len(os.sched_getaffinity(0))


def dry_run(job: ExtractJob, config: RunConfig, num_workers: int) -> str:
    """There is nothing to build."""
    return f"runs here, in {num_workers} worker processes"


def run(request: JobRequest) -> dict[str, int]:
    """Runs a job on this machine until every shard is committed.

    When a worker dies (killed, crashed, out of memory) the job starts again with the
    shards that are left. A clip that was in hand twice at such a moment is given up.

    Returns:
        Counters of the last attempt; none if it had nothing left to do.

    Raises:
        JobError: if the job failed, or workers keep dying.
    """
    deaths = _Deaths()
    early = request.early
    while request.replan(deaths.given_up):
        with early or JobProcess(LOCAL_JOB) as process:
            folder = process.folder
            job = LocalJob(
                request.job, request.num_workers, request.config.beam_flags, folder
            )
            code = process.run(job, functools.partial(_watch, request.progress, folder))
            if code == 0:
                return take(folder, COUNTERS_NAME)
            if code != WORKER_DIED_CODE:
                raise JobError(job_problem(code, folder))
            deaths.add(**take(folder, DEATH_NAME))
        early = None
    return {}


class _Deaths:
    """Counts the deaths of workers, and the clips they had in hand.

    Attributes:
        given_up: Clips that are not to be tried again, with the reason.
    """

    def __init__(self) -> None:
        self.given_up: dict[str, str] = {}
        self._by_clip: collections.Counter[str | None] = collections.Counter()

    def add(self, problem: str, clip_ids: list[str]) -> None:
        """Notes a death; raises JobError if there were too many."""
        counts = self._by_clip
        in_hand: list[str | None] = [*clip_ids]
        counts.update(in_hand or [None])
        if counts[None] >= _MAX_DEATHS_WITHOUT_CLIP or counts.total() >= _MAX_DEATHS:
            raise JobError(
                f"worker processes died {counts.total()} times (the last: {problem}); "
                "often memory ran out: try fewer --workers"
            )
        for clip_id in clip_ids:
            if counts[clip_id] >= DEATHS_A_CLIP:
                self.given_up[clip_id] = given_up_message(clip_id, problem)


def _watch(progress: ProgressLine, folder: str) -> None:
    progress.update(read_statuses(folder))
