"""python -m pipeline.runners.local.job: runs the main job on this machine with Beam.

`runner.py` starts it as a process of its own: if a worker dies, Beam's local runner
waits for the worker forever, and only the end of the process ends the wait. The process
writes the counters of a finished job.
"""

import dataclasses
import logging
import os
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from pipeline.extract import ExtractJob, extract
from pipeline.runners.job_process import COUNTERS_NAME, receive_job, write_result
from pipeline.runners.local.fn_runner import runner_with_pool
from pipeline.runners.workers.fork_server import start_fork_server
from pipeline.runners.workers.pool import WorkerPool
from transforms.job_control.counters import our_counters
from transforms.job_control.lanes import Lanes

WORKER_DIED_CODE = 70


@dataclasses.dataclass(frozen=True)
class LocalJob:
    """The main job and how to run it on this machine.

    Attributes:
        extract: The main job.
        num_workers: Number of worker processes.
        beam_flags: Flags for Beam.
        status_folder: Folder for the counters, the status of workers and their lanes.
        job_folder: Folder for notes of workers that died.
    """

    extract: ExtractJob
    num_workers: int
    beam_flags: tuple[str, ...]
    status_folder: str
    job_folder: str


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    server = start_fork_server()
    job: LocalJob = receive_job()
    pool = WorkerPool(server, job.status_folder, job.job_folder, _end_job)
    pool.load(job.extract.dataset.models)
    write_result(job.status_folder, COUNTERS_NAME, run(job, pool))
    # Everything is committed. Waiting for Beam's threads would take longer.
    os._exit(0)


def run(job: LocalJob, pool: WorkerPool) -> dict[str, int]:
    """Runs the job to its end and returns its counters."""
    options = PipelineOptions(list(job.beam_flags))
    options.view_as(DirectOptions).direct_num_workers = job.num_workers
    pipeline = beam.Pipeline(runner=runner_with_pool(options, pool), options=options)
    lanes = Lanes(job.num_workers, job.status_folder)
    extract(
        pipeline,
        dataclasses.replace(job.extract, lanes=lanes, job_folder=job.job_folder),
    )
    result = pipeline.run()
    result.wait_until_finish()
    return our_counters(result)


def _end_job(problem: str) -> None:
    """Ends this process, because Beam's main thread would wait for the dead worker."""
    print(f"a worker process {problem}", file=sys.stderr, flush=True)
    os._exit(WORKER_DIED_CODE)


if __name__ == "__main__":
    main()
