"""The Dataflow runner: builds and checks a job without an account, and submits it.

Building and checking are tested. Nobody has run a job on Dataflow.
"""

import importlib
import math
import re
import sys
import uuid
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.extract import ExtractJob, extract
from pipeline.runners.base import ClusterError, JobRequest, JobState
from pipeline.runners.job_folder import JobFolder, JobNote
from pipeline.runners.job_process import JobError
from pipeline.runners.ledger_progress import LedgerWatch
from transforms.job_control.counters import our_counters
from transforms.job_control.permit import Permit

# https://cloud.google.com/compute/docs/machine-resource: NAME-KIND-VCPUS.
_MACHINE = re.compile(r"[a-z0-9]+-[a-z]+-(\d+)(?:-\w+)*")
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/|$)")
_WAIT_MS = 2000
_FAILED = frozenset({"FAILED", "CANCELLED", "UPDATED", "DRAINED"})


def num_workers(config: RunConfig) -> int:
    """The requested number of workers, or one for every vCPU of one machine.

    Raises:
        ConfigError: if something that Dataflow needs is missing.
    """
    options = PipelineOptions(list(config.beam_flags))
    cloud, worker = (options.view_as(o) for o in (GoogleCloudOptions, WorkerOptions))
    needed = {
        "--project": cloud.project,
        "--region": cloud.region,
        "--temp_location": cloud.temp_location,
        "--machine_type": worker.machine_type,
        "--sdk_container_image (or --setup_file)": worker.sdk_container_image
        or options.view_as(SetupOptions).setup_file,
    }
    missing = [flag for flag, value in needed.items() if not value]
    if missing:
        raise ConfigError(
            f"Dataflow needs {', '.join(missing)} (after --, or beam_flags in YAML); "
            "see configs/dataflow.yaml"
        )
    for name, uri in (
        ("output", config.output),
        ("--temp_location", cloud.temp_location),
    ):
        # Beam would try to create a bucket even if its name is not valid.
        if not _BUCKET.match(uri):
            raise ConfigError(
                f"{name} is {uri}: Dataflow's workers need a bucket, gs://BUCKET/FOLDER"
            )
    experiments = options.view_as(DebugOptions).experiments or []
    if "no_use_multiple_sdk_containers" in experiments:
        raise ConfigError(
            "no_use_multiple_sdk_containers: an engine computes on one core, and needs "
            "a worker process for every vCPU"
        )
    return config.workers or _num_vcpus(worker.machine_type)


def _num_vcpus(machine_type: str) -> int:
    found = _MACHINE.fullmatch(machine_type)
    if not found:
        raise ConfigError(
            f"--machine_type={machine_type}: expected a type that states its number "
            "of vCPUs, such as n2-standard-4"
        )
    return int(found[1])


def beam_options(config: RunConfig, name: str, num_workers: int) -> tuple[str, ...]:
    """Beam's options for a job: those of the user, and those that a CPU model needs.

    Dataflow starts a worker process for every vCPU; each gets one thread.
    """
    options = PipelineOptions(list(config.beam_flags))
    machine = options.view_as(WorkerOptions).machine_type
    num_machines = math.ceil(num_workers / _num_vcpus(machine))
    return (
        *config.beam_flags,
        "--runner=DataflowRunner",
        f"--job_name={name}",
        f"--num_workers={num_machines}",
        f"--max_num_workers={num_machines}",
        "--number_of_worker_harness_threads=1",
        "--no_save_main_session",
    )


def build(job: ExtractJob, options: tuple[str, ...]) -> Any:
    """The whole job as Dataflow would get it. Sends nothing.

    Args:
        job: The main job.
        options: Options for Beam, from `beam_options`.

    Returns:
        Beam's description of the job: `options` and `proto_pipeline`.

    Raises:
        ConfigError: if Beam's parts for Dataflow are not installed.
    """
    _require_libraries()
    pipeline = beam.Pipeline(
        runner=DataflowRunner(), options=PipelineOptions([*options, "--dry_run=True"])
    )
    extract(pipeline, job)
    return pipeline.run().job


def _require_libraries() -> None:
    try:
        importlib.import_module("apache_beam.runners.dataflow.internal.apiclient")
    except ImportError as error:
        raise ConfigError(
            f"Beam's parts for Dataflow are missing ({error}): install "
            "'fsd-sinet-beam[dataflow]'"
        ) from error


def dry_run(job: ExtractJob, config: RunConfig, num_workers: int) -> str:
    """Builds the job and describes what would be submitted."""
    options = beam_options(config, "fsdsinet-dry-run", num_workers)
    permit = Permit("gs://dry-run", "fsdsinet-dry-run", {})
    built = build(job.on_cluster(permit, job.dataset.models), options)
    number = len(built.proto_pipeline.components.transforms)
    own_options = " ".join(options[len(config.beam_flags) :])
    return (
        f"a Dataflow job of {number} transforms was built and is valid; {own_options}"
    )


def run(request: JobRequest) -> dict[str, int] | None:
    """Submits a job and waits for it; see `pipeline.runners.base.Runner`."""
    _require_libraries()
    folder = JobFolder(request.dataset)
    if not request.replan(folder.given_up()):
        return {}
    name = f"fsdsinet-{uuid.uuid4().hex[:12]}"
    options = beam_options(request.config, name, request.num_workers)
    cloud = PipelineOptions(list(options)).view_as(GoogleCloudOptions)
    note = JobNote(name, "dataflow", f"{cloud.project}, {cloud.region}")
    permit = folder.begin(note, dict(request.job.dataset.versions))
    job = request.job.on_cluster(
        permit, folder.place_models(request.job.dataset.models)
    )
    try:
        pipeline = beam.Pipeline(
            runner=DataflowRunner(), options=PipelineOptions(list(options))
        )
        extract(pipeline, job)
        result = pipeline.run()
        if request.config.detach:
            return None
        counters = _wait(request, result)
    except BaseException:
        folder.revoke()
        raise
    folder.remove()
    return counters


def job_state(note: JobNote) -> JobState | None:
    """See `ClusterRunner.job_state`: Dataflow is not asked."""
    raise ClusterError(
        "fsdsinet does not ask Dataflow for the state of a job: look in the Cloud "
        f"console ({note.where}) whether the job has ended"
    )


def stop_job(note: JobNote) -> None:
    """See `ClusterRunner.stop_job`: Dataflow is not asked."""
    raise JobError(f"stop job {note.job} in the Cloud console ({note.where})")


def job_problem(note: JobNote) -> str | None:
    """See `ClusterRunner.job_problem`: Dataflow is not asked."""
    return None


def job_counters(note: JobNote) -> dict[str, int]:
    """See `ClusterRunner.job_counters`: Dataflow is not asked."""
    return {}


def _wait(request: JobRequest, result: Any) -> dict[str, int]:
    ledger = LedgerWatch(request.dataset)
    try:
        while (state := result.wait_until_finish(duration=_WAIT_MS)) != "DONE":
            if state in _FAILED:
                raise JobError(
                    f"the Dataflow job is {state}; the Cloud console tells why"
                )
            request.progress.update({0: ledger.poll()}, ledger.note(str(state)))
    except KeyboardInterrupt:
        print("fsdsinet: asking Dataflow to cancel the job", file=sys.stderr)
        result.cancel()
        raise
    return our_counters(result)
