"""python -m pipeline.runners.local.job: runs the main job on this machine with Beam.

`runner.py` starts it as a process of its own: if a worker dies, Beam's local runner
waits for it for ever, and the only cure is to end the process. It leaves the
counters of a finished job, or what was known when a worker died.
"""

import dataclasses
import logging
import os
import shlex
import sys
import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from pipeline.extract import ExtractJob, extract
from pipeline.runners.job_process import COUNTERS_NAME, leave, receive_job
from pipeline.runners.workers.nursery import Nursery, start_nursery
from transforms.manifest import Lanes
from transforms.workers.counters import our_counters
from transforms.workers.status import STATUS_FOLDER_VARIABLE, read_statuses

WORKER_DIED_CODE = 70
DEATH_NAME = "death"
_TAKEN_NAME = "shards-taken"
_WORKER_COMMAND = (
    f"exec {shlex.quote(sys.executable)} -m pipeline.runners.workers.worker"
)


@dataclasses.dataclass(frozen=True)
class LocalJob:
    """The main job and how to run it here."""

    extract: ExtractJob
    num_workers: int
    beam_flags: tuple[str, ...]
    status_folder: str


def main() -> None:
    logging.getLogger().setLevel(logging.ERROR)
    nursery = start_nursery(os.environ[STATUS_FOLDER_VARIABLE])
    job: LocalJob = receive_job()
    threading.excepthook = lambda arguments: _end_if_worker_died(job, arguments)
    leave(job.status_folder, COUNTERS_NAME, run(job, nursery))
    # Everything is committed; Beam's threads would take their time to end.
    os._exit(0)


def run(job: LocalJob, nursery: Nursery | None) -> dict[str, int]:
    """Runs the job to its end and returns our counters."""
    if nursery:
        nursery.load(job.extract.dataset.models)
    command = nursery.command if nursery else _WORKER_COMMAND
    options = PipelineOptions(list(job.beam_flags))
    options.view_as(DirectOptions).direct_num_workers = job.num_workers
    pipeline = beam.Pipeline(runner=_runner(options, command), options=options)
    lanes = Lanes(job.num_workers, f"{job.status_folder}/{_TAKEN_NAME}")
    extract(pipeline, dataclasses.replace(job.extract, lanes=lanes))
    result = pipeline.run()
    result.wait_until_finish()
    return our_counters(result)


def _runner(options: PipelineOptions, command: str) -> fn_runner.FnApiRunner:
    """Beam's FnApiRunner with worker processes of ours.

    Not DirectRunner: that one switches to another runner when it can, which has one
    process only. The options go to the workers through the provision service.
    """
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return fn_runner.FnApiRunner(
        default_environment=SubprocessSDKEnvironment.from_command_string(command),
        provision_info=fn_runner.ExtendedProvisionInfo(provision),
    )


def _end_if_worker_died(job: LocalJob, arguments: threading.ExceptHookArgs) -> None:
    problem = str(arguments.exc_value)
    if "Worker subprocess exited" not in problem:
        threading.__excepthook__(arguments)
        return
    clip_ids = [
        status.clip_id
        for pid, status in read_statuses(job.status_folder).items()
        if not _is_running(pid) and status.clip_id is not None
    ]
    death = {"problem": problem, "clip_ids": clip_ids}
    leave(job.status_folder, DEATH_NAME, death)
    # Only this ends the process: Beam's main thread waits for the worker.
    os._exit(WORKER_DIED_CODE)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
