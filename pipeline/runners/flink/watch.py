"""Watches a job on Flink: shows how far it is, and ends the wait if it is stuck."""

import collections
import contextlib
import time

from pipeline.runners.base import JobRequest
from pipeline.runners.flink.problems import explain, is_hopeless
from pipeline.runners.flink.rest import FlinkCluster, FlinkError, FlinkJob
from pipeline.runners.job_process import JobError
from pipeline.runners.ledger_watch import LedgerWatch
from transforms.storage import StorageError

_INTERVAL_S = 1.0
# A cluster that does not answer may be restarting its JobManager.
_NO_ANSWER_S = 60.0
# Without slots a job waits for slot.request.timeout, 300 s by default.
_NOT_STARTED_S = 60.0
# Beam waits for a worker that fails before it begins for 180 s, at every restart.
_NOT_BEGUN_S = 60.0
# The job server has heard of the end by then.
_ENDED_S = 20.0


class Detached(Exception):
    """The job runs, and nobody waits for it."""


class FlinkWatch:
    """Called again and again while a job is submitted and runs.

    Args:
        cluster: Where it runs.
        name: Of the job.
        request: What was asked for.
    """

    def __init__(self, cluster: FlinkCluster, name: str, request: JobRequest) -> None:
        self._cluster = cluster
        self._name = name
        self._request = request
        self._ledger = LedgerWatch(request.dataset)
        self._job: FlinkJob | None = None
        self._next = 0.0
        self._answered = self._ran = self._begun = time.monotonic()
        self._ended: float | None = None
        self._gone: float | None = None
        self._has_begun = False

    def poll(self) -> None:
        """Shows progress.

        Raises:
            JobError: if the job is stuck, or can only fail.
            Detached: once it runs, if nobody is to wait for it.
        """
        now = time.monotonic()
        if now < self._next:
            return
        try:
            self._look(now)
            self._answered = now
        except FlinkError as error:
            if now - self._answered > _NO_ANSWER_S:
                raise JobError(f"{error}, for {_NO_ANSWER_S:.0f} s") from error
        state = self._job.state.lower() if self._job else "being submitted"
        # The store may be back in a moment; workers have their own patience with it.
        with contextlib.suppress(StorageError):
            self._ledger.poll()
        self._request.progress.update({0: self._ledger.total}, f"job {state}")
        self._next = now + _INTERVAL_S

    def problems(self) -> list[str]:
        """What Flink says went wrong."""
        try:
            return self._cluster.problems(self._job.job_id) if self._job else []
        except FlinkError:
            return []

    def _look(self, now: float) -> None:
        job = self._cluster.find_job(self._name)
        if job is None and self._job is None:
            self._ran = self._begun = now
            return
        if job is None:
            # A JobManager that was started again knows nothing of its jobs.
            self._gone = self._gone or now
            if now - self._gone > _ENDED_S:
                raise JobError(
                    f"{self._cluster.url} does not know job {self._name} any more"
                )
            return
        self._job, self._gone = job, None
        if self._job.has_ended:
            self._ended = self._ended or now
            if now - self._ended > _ENDED_S:
                raise JobError(f"job {self._name} is {self._job.state}")
        else:
            self._look_at_running(now, self._job)

    def _look_at_running(self, now: float, job: FlinkJob) -> None:
        tasks = self._cluster.tasks(job.job_id)
        if any(states["RUNNING"] + states["FINISHED"] for _, states in tasks):
            self._ran = now
            self._check_begun(now, tasks)
            if self._request.config.detach and self._has_begun:
                raise Detached
        elif now - self._ran > _NOT_STARTED_S:
            raise JobError(
                f"no task of job {self._name} was started in {_NOT_STARTED_S:.0f} s: "
                f"{explain(self.problems()) or 'are there free slots?'} "
                f"({self._cluster.url})"
            )
        else:
            self._begun = now
        if not self._ledger.total.clips_done:
            for problem in self.problems():
                if is_hopeless(problem):
                    raise JobError(f"the job cannot run: {explain([problem])}")

    def _check_begun(
        self, now: float, tasks: list[tuple[str, collections.Counter[str]]]
    ) -> None:
        """Raises JobError if there are workers, but none that does anything."""
        first = [states for name, states in tasks if "ReadManifest" in name]
        self._has_begun |= any(states["FINISHED"] for states in first)
        if not self._has_begun and now - self._begun > _NOT_BEGUN_S:
            raise JobError(
                f"no worker has done anything in {_NOT_BEGUN_S:.0f} s: do they have "
                "fsd-sinet-beam in the launcher's version, and are they started by "
                "fsdsinet-worker? The logs of the TaskManagers and of the worker pools "
                "say more"
            )
