"""The Flink runner: checks the cluster, submits a job, watches it and can stop it.

The job is watched and stopped through Flink's own interface, because Beam's `cancel`
returns while the job goes on.
"""

import dataclasses
import json
import time
import uuid

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
)

from pipeline.config import RunConfig
from pipeline.extract import ExtractJob
from pipeline.runners.base import JobRequest, JobState
from pipeline.runners.flink.checks import check_cluster, check_job_server
from pipeline.runners.flink.explain import explain
from pipeline.runners.flink.job import FlinkSubmission
from pipeline.runners.flink.rest import FlinkCluster, FlinkError, FlinkJob
from pipeline.runners.flink.watch import Detached, FlinkWatch
from pipeline.runners.job_folder import JobFolder, JobNote
from pipeline.runners.job_process import (
    COUNTERS_NAME,
    JobError,
    JobProcess,
    job_failure,
    job_log,
    read_result,
)
from pipeline.runners.workers.boot import boot_path
from transforms.job_control.counters import METRICS_NAMESPACE
from transforms.job_control.lanes import Lanes

_CANCEL_S = 60.0
# The cluster may not yet list a job that was submitted a moment ago.
_APPEARS_S = 3.0


def num_workers(config: RunConfig) -> int:
    """The requested number of workers, or one for every free slot.

    Raises:
        ConfigError: if the cluster does not answer, has too few free slots, or does not
            fit the flags.
    """
    options = PipelineOptions(list(config.beam_flags))
    check_job_server(options)
    return check_cluster(FlinkCluster(_master(options)), options, config.workers)


def dry_run(job: ExtractJob, config: RunConfig, num_workers: int) -> str:
    """Says where the job would run. Only Beam's job server could build the job."""
    flags = " ".join(beam_options(config, "NAME", num_workers))
    return f"runs on Flink at {_cluster(config).url} with {flags}"


def run(request: JobRequest) -> dict[str, int] | None:
    """Runs a job on the cluster; see `pipeline.runners.base.Runner`."""
    folder = JobFolder(request.dataset)
    if not request.replan(folder.given_up()):
        folder.remove()
        return {}
    cluster = _cluster(request.config)
    name = f"fsdsinet-{uuid.uuid4().hex[:12]}"
    permit = folder.begin(
        JobNote(name, "flink", cluster.url), dict(request.job.dataset.versions)
    )
    watch = FlinkWatch(cluster, name, request)
    job = request.job.on_cluster(
        permit, folder.place_models(request.job.dataset.models)
    )
    lanes = Lanes(request.num_workers, permit.folder)
    job = dataclasses.replace(job, lanes=lanes)
    options = beam_options(request.config, name, request.num_workers)
    with JobProcess("pipeline.runners.flink.job") as process:
        submission = FlinkSubmission(job, options, process.folder)
        try:
            counters = _submit(process, submission, watch)
        except Detached:
            return None
        except BaseException:
            try:
                _cancel(cluster, name)
            finally:
                folder.revoke()
            raise
    folder.remove()
    return counters


def _submit(
    process: JobProcess, submission: FlinkSubmission, watch: FlinkWatch
) -> dict[str, int]:
    code = process.run(submission, watch.poll)
    if code == 0:
        counters: dict[str, int] = read_result(process.folder, COUNTERS_NAME)
        return counters
    reason = explain([*watch.problems(), job_log(process.folder)])
    raise JobError(job_failure(process.folder, code, reason))


def beam_options(config: RunConfig, name: str, num_workers: int) -> tuple[str, ...]:
    """Beam's options for a job: those of the user, and those that a CPU model needs.

    Each slot gets one process. An engine keeps Python's lock while it computes, so that
    more threads in a process do not help.
    """
    options = PipelineOptions(list(config.beam_flags))
    environment: tuple[str, ...] = ()
    if not options.view_as(PortableOptions).environment_type:
        command = json.dumps({"command": boot_path()})
        environment = (
            "--environment_type=PROCESS",
            f"--environment_config={command}",
        )
    return (
        *config.beam_flags,
        f"--flink_master={_master(options)}",
        *environment,
        f"--parallelism={num_workers}",
        f"--job_name={name}",
        "--no_save_main_session",
    )


def job_state(note: JobNote) -> JobState | None:
    """See `ClusterRunner.job_state`."""
    return _find_job(note)


def job_problem(note: JobNote) -> str | None:
    """See `ClusterRunner.job_problem`."""
    job = _find_job(note)
    problems = FlinkCluster(note.where).problems(job.job_id) if job else []
    return explain(problems) or next(iter(problems), None)


def job_counters(note: JobNote) -> dict[str, int]:
    """See `ClusterRunner.job_counters`."""
    job = _find_job(note)
    if job is None:
        return {}
    return FlinkCluster(note.where).counters(job.job_id, METRICS_NAMESPACE)


def stop_job(note: JobNote) -> None:
    """See `ClusterRunner.stop_job`."""
    _cancel(FlinkCluster(note.where), str(note.job))


def _find_job(note: JobNote) -> FlinkJob | None:
    return FlinkCluster(note.where).find_job(str(note.job))


def _cancel(cluster: FlinkCluster, name: str) -> None:
    """Cancels a job and waits until the cluster says that it has ended.

    Raises:
        JobError: if the job has not ended in time.
    """
    start = time.monotonic()
    problem = "it still runs"
    while time.monotonic() < start + _CANCEL_S:
        try:
            job = cluster.find_job(name)
            if job and job.has_ended:
                return
            if job:
                cluster.cancel(job.job_id)
            elif time.monotonic() > start + _APPEARS_S:
                return
        except FlinkError as error:
            problem = str(error)
        time.sleep(0.5)
    raise JobError(
        f"cannot stop job {name}: {problem}; its results are no longer kept, but "
        f"cancel it at {cluster.url} to free its slots"
    )


def _cluster(config: RunConfig) -> FlinkCluster:
    return FlinkCluster(_master(PipelineOptions(list(config.beam_flags))))


def _master(options: PipelineOptions) -> str:
    master: str = options.view_as(FlinkRunnerOptions).flink_master
    return master
