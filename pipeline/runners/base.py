"""The protocol of runners: the functions that a run and `fsdsinet job` call.

A runner is a module with the functions of Runner, and those of ClusterRunner if its
jobs can go on without their launcher. A new runner adds a module and a line in
_MODULES.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pipeline.config import RunConfig
from pipeline.console import ProgressLine
from pipeline.dataset.folder import Dataset
from pipeline.extract import ExtractJob
from pipeline.runners.job_folder import JobNote
from pipeline.runners.job_process import JobProcess
from transforms.elements import Failure

# Writes the plan of the shards that are left. Takes the failures of clips to give up,
# by clip_id. Returns False if nothing is left.
Replan = Callable[[Mapping[str, Failure]], bool]

_MODULES = {
    "local": "pipeline.runners.local.runner",
    "flink": "pipeline.runners.flink.runner",
    "dataflow": "pipeline.runners.dataflow",
}


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """A planned run, as a runner gets it.

    Attributes:
        job: The main job. `replan` writes its plan file.
        config: Configuration of the run, with checked Beam flags.
        num_workers: Number of worker processes.
        dataset: The output, locked.
        replan: Writes the plan of the shards that are left; see Replan.
        progress: Shows progress; knows what earlier runs have committed.
        early: A process that waits for the first job, if there is one.
    """

    job: ExtractJob
    config: RunConfig
    num_workers: int
    dataset: Dataset
    replan: Replan
    progress: ProgressLine
    early: JobProcess | None


class Runner(Protocol):
    """The functions of a runner module."""

    def num_workers(self, config: RunConfig) -> int:
        """Checks that a run is possible; returns its number of worker processes.

        Raises:
            ConfigError: if the runner cannot run this configuration.
        """

    def dry_run(self, job: ExtractJob, config: RunConfig, num_workers: int) -> str:
        """Builds the job as far as possible without starting it, and describes it."""

    def run(self, request: JobRequest) -> dict[str, int] | None:
        """Runs a job to its end.

        Returns:
            The job's counters; None if the job goes on without its launcher.

        Raises:
            JobError: if the job failed.
            KeyboardInterrupt: if the job was stopped and has ended.
        """


class ClusterError(Exception):
    """A cluster does not answer, refuses a request, or cannot be asked."""


@dataclasses.dataclass(frozen=True)
class JobState:
    """The state of a job on a cluster, as the cluster names it."""

    state: str
    has_ended: bool


class ClusterRunner(Runner, Protocol):
    """The functions of a runner module whose jobs can go on without their launcher."""

    def job_state(self, note: JobNote) -> JobState | None:
        """The state of a job; None if the cluster no longer lists the job.

        Raises:
            ClusterError: if the cluster does not answer or cannot be asked.
        """

    def stop_job(self, note: JobNote) -> None:
        """Stops a job and waits until the cluster says that it has ended.

        Raises:
            JobError: if the job could not be stopped.
        """

    def job_problem(self, note: JobNote) -> str | None:
        """The reason why a job failed; None if the cluster gives none."""

    def job_counters(self, note: JobNote) -> dict[str, int]:
        """The counters of a job; empty if the cluster no longer has them."""


def runner_named(name: str) -> Any:
    """The module of a runner; the others are not imported.

    Returns:
        A Runner, or a ClusterRunner if `name` is the runner of a JobNote.
    """
    return importlib.import_module(_MODULES[name])


def runner_of(config: RunConfig) -> Runner:
    """The runner of a configuration."""
    runner: Runner = runner_named(config.runner)
    return runner
