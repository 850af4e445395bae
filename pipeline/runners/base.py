"""Where jobs run: the names of the runners, and what a run asks of one.

A runner is a module with two functions: `num_workers` checks, before anything starts,
what can be checked, and `run` runs a job to its end. A new one adds a module and a line
in `runner_of`.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pipeline.config import RunConfig
from pipeline.console import ProgressLine
from pipeline.dataset.folder import Dataset
from pipeline.extract import ExtractJob
from pipeline.runners.job_process import JobProcess

# Writes the plan of what is left; gets the clips to give up, with the reason; returns
# False if nothing is left.
Replan = Callable[[Mapping[str, str]], bool]

_MODULES = {
    "local": "pipeline.runners.local.runner",
    "flink": "pipeline.runners.flink.runner",
    "dataflow": "pipeline.runners.dataflow",
}


@dataclasses.dataclass(frozen=True)
class JobRequest:
    """A planned run, for a runner.

    Attributes:
        job: Its plan file is written by `replan`.
        config: Of the run; its Beam flags are checked.
        num_workers: Worker processes.
        dataset: The output, locked.
        replan: See Replan.
        progress: Knows what earlier runs have committed.
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
    """What the module of a runner has."""

    def num_workers(self, config: RunConfig) -> int:
        """Worker processes for a run.

        Raises:
            ConfigError: if the runner cannot run it, and why.
        """

    def dry_run(self, job: ExtractJob, config: RunConfig, num_workers: int) -> str:
        """Builds what can be built without starting anything; says what it is."""

    def run(self, request: JobRequest) -> dict[str, int] | None:
        """Runs a job to its end, and returns its counters.

        None if it goes on without us.

        Raises:
            JobError: if it failed.
            KeyboardInterrupt: if it was stopped, and has ended.
        """


def runner_of(config: RunConfig) -> Runner:
    """The runner of a configuration; the others are not imported."""
    module: Any = importlib.import_module(_MODULES[config.runner])
    runner: Runner = module
    return runner
