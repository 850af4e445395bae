"""Watches a job on Flink: shows its progress, and ends the wait if it is stuck."""

import collections
import contextlib
import time

from pipeline.runners.base import JobRequest
from pipeline.runners.flink.explain import explain, is_permanent
from pipeline.runners.flink.rest import FlinkCluster, FlinkError, FlinkJob
from pipeline.runners.job_process import JobError
from pipeline.runners.ledger_progress import LedgerWatch
from transforms.storage import StorageError

_INTERVAL_S = 1.0
# A cluster that does not answer may be restarting its JobManager.
_NO_ANSWER_S = 60.0
# A job without slots waits for slot.request.timeout, 300 s by default.
_NOT_STARTED_S = 60.0
# For a worker that fails at its start Beam waits 180 s, at every restart of the job.
_NOT_BEGUN_S = 60.0
# The job server notices within this time that the job has ended.
_ENDED_S = 20.0


class Detached(Exception):
    """The job runs, and the launcher was told not to wait for it."""


class FlinkWatch:
    """Watches one job. `poll` is called several times a second.

    Args:
        cluster: Cluster on which the job runs.
        name: Name of the job.
        request: Request for the job, with its progress line.
    """

    def __init__(self, cluster: FlinkCluster, name: str, request: JobRequest) -> None:
        self._cluster = cluster
        self._name = name
        self._request = request
        self._ledger = LedgerWatch(request.dataset)
        self._job: FlinkJob | None = None
        self._next_s = 0.0
        now = time.monotonic()
        self._last_answer_s = now
        self._last_running_s = now
        self._running_since_s = now
        self._ended_since_s: float | None = None
        self._missing_since_s: float | None = None
        self._has_begun = False

    def poll(self) -> None:
        """Shows progress.

        Raises:
            JobError: if the job is stuck, or can only fail.
            Detached: once the job runs, if the launcher is not to wait for it.
        """
        now = time.monotonic()
        if now < self._next_s:
            return
        try:
            self._look(now)
            self._last_answer_s = now
        except FlinkError as error:
            if now - self._last_answer_s > _NO_ANSWER_S:
                raise JobError(
                    f"{error}; this has gone on for {_NO_ANSWER_S:.0f} s"
                ) from error
        state = self._job.state if self._job else "being submitted"
        # The store may answer again in a moment. Workers try again by themselves.
        with contextlib.suppress(StorageError):
            self._ledger.poll()
        note = self._ledger.note(state)
        self._request.progress.update({0: self._ledger.total}, note)
        self._next_s = now + _INTERVAL_S

    def problems(self) -> list[str]:
        """Stack traces of the job's errors; empty if Flink does not answer."""
        try:
            return self._cluster.problems(self._job.job_id) if self._job else []
        except FlinkError:
            return []

    def _look(self, now: float) -> None:
        job = self._cluster.find_job(self._name)
        if job is None and self._job is None:
            self._last_running_s = self._running_since_s = now
            return
        if job is None:
            # A JobManager that was restarted does not list its earlier jobs.
            self._missing_since_s = self._missing_since_s or now
            if now - self._missing_since_s > _ENDED_S:
                raise JobError(f"{self._cluster.url} no longer lists job {self._name}")
            return
        self._job, self._missing_since_s = job, None
        if self._job.has_ended:
            self._ended_since_s = self._ended_since_s or now
            if now - self._ended_since_s > _ENDED_S:
                raise JobError(f"job {self._name} is {self._job.state}")
        else:
            self._look_at_running(now, self._job)

    def _look_at_running(self, now: float, job: FlinkJob) -> None:
        tasks = self._cluster.tasks(job.job_id)
        if any(states["RUNNING"] + states["FINISHED"] for _, states in tasks):
            self._last_running_s = now
            self._check_begun(now, tasks)
            if self._request.config.detach and self._has_begun:
                raise Detached
        elif now - self._last_running_s > _NOT_STARTED_S:
            raise JobError(
                f"no task of job {self._name} was started in {_NOT_STARTED_S:.0f} s: "
                f"{explain(self.problems()) or 'check whether slots are free'} "
                f"({self._cluster.url})"
            )
        else:
            self._running_since_s = now
        if not self._ledger.total.clips_done:
            for problem in self.problems():
                if is_permanent(problem):
                    raise JobError(f"the job cannot run: {explain([problem])}")

    def _check_begun(
        self, now: float, tasks: list[tuple[str, collections.Counter[str]]]
    ) -> None:
        """Raises JobError if tasks run, but no worker has begun to work."""
        first = [states for name, states in tasks if "ReadManifest" in name]
        self._has_begun |= any(states["FINISHED"] for states in first)
        if not self._has_begun and now - self._running_since_s > _NOT_BEGUN_S:
            raise JobError(
                f"no worker has begun to work in {_NOT_BEGUN_S:.0f} s: check that the "
                "workers have fsd-sinet-beam in the launcher's version and are started "
                "by fsdsinet-worker; the logs of the TaskManagers and of the worker "
                "pools say more"
            )
