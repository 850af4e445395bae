"""The local runner: one single-threaded worker for every core, under a job process.

The job process is replaced when a worker dies, because Beam's local runner would wait
for the dead worker forever.
"""

import contextlib
import functools
import os

from pipeline.config import RunConfig
from pipeline.console import ProgressLine
from pipeline.extract import ExtractJob
from pipeline.runners.base import JobRequest
from pipeline.runners.failure_reason import plain_reason
from pipeline.runners.job_folder import JobFolder
from pipeline.runners.job_process import (
    COUNTERS_NAME,
    LOCAL_JOB,
    JobError,
    JobProcess,
    job_failure,
    job_log,
    read_result,
)
from pipeline.runners.local.job import WORKER_DIED_CODE, LocalJob
from transforms.job_control.deaths import NO_CLIP
from transforms.job_control.status import read_statuses
from transforms.storage import StorageError

_MAX_DEATHS = 20
_MAX_DEATHS_WITHOUT_CLIP = 3


def num_workers(config: RunConfig) -> int:
    """The requested number of workers, or one for every core."""
    return config.workers or len(os.sched_getaffinity(0))


def dry_run(job: ExtractJob, config: RunConfig, num_workers: int) -> str:
    """Says where the job would run; a local job needs no other check."""
    return f"runs here, in {num_workers} worker processes"


def run(request: JobRequest) -> dict[str, int]:
    """Runs a job on this machine until every shard is committed.

    When a worker dies (killed, crashed, out of memory) the job starts again with the
    shards that are left. A clip that was in hand at two deaths is given up.

    Returns:
        Counters of the last attempt; empty if nothing was left to do.

    Raises:
        JobError: if the job failed, or workers keep dying.
    """
    folder = JobFolder(request.dataset)
    # The cause of deaths in an earlier run may be gone, such as too little memory.
    folder.remove()
    try:
        return _run_until_done(request, folder)
    finally:
        # A store that does not answer must not hide the error that came first.
        with contextlib.suppress(StorageError):
            folder.remove()


def _run_until_done(request: JobRequest, folder: JobFolder) -> dict[str, int]:
    early = request.early
    while request.replan(folder.given_up()):
        with early or JobProcess(LOCAL_JOB) as process:
            job = LocalJob(
                request.job,
                request.num_workers,
                request.config.beam_flags,
                process.folder,
                folder.uri,
            )
            show = functools.partial(_show, request.progress, process.folder)
            code = process.run(job, show)
            if code == 0:
                counters: dict[str, int] = read_result(process.folder, COUNTERS_NAME)
                return counters
            if code != WORKER_DIED_CODE:
                raise JobError(job_failure(process.folder, code))
            _check_deaths(folder, plain_reason(job_log(process.folder)))
        early = None
    return {}


def _check_deaths(folder: JobFolder, problem: str) -> None:
    """Raises JobError if workers died too often."""
    counts = folder.count_deaths()
    if counts[NO_CLIP] >= _MAX_DEATHS_WITHOUT_CLIP or counts.total() >= _MAX_DEATHS:
        raise JobError(
            f"worker processes died {counts.total()} times (the last: {problem}); "
            "the usual cause is too little memory: try fewer --workers"
        )


def _show(progress: ProgressLine, folder: str) -> None:
    progress.update(read_statuses(folder))
