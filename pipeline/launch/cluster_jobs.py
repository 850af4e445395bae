"""Jobs that go on without their launcher: `fsdsinet job`, and a check before a run."""

import shlex
import time

import pyarrow.compute as pc

from pipeline.console import ProgressLine
from pipeline.dataset.folder import Dataset
from pipeline.dataset.summary import dataset_totals, finish_run, summary_text
from pipeline.errors import ConfigError
from pipeline.runners.base import ClusterError, ClusterRunner, JobState, runner_named
from pipeline.runners.job_folder import JobFolder, JobNote
from pipeline.runners.job_process import JobError
from pipeline.runners.ledger_progress import LedgerWatch

EXIT_OK, EXIT_FAILED = 0, 1
_INTERVAL_S = 1.0


def check_no_job(dataset: Dataset) -> None:
    """Raises ConfigError if a job may still be writing to the dataset."""
    note = JobFolder(dataset).note()
    if note is None or note.job is None:
        return
    job = _ask(dataset, note)
    if job and not job.has_ended:
        raise ConfigError(
            f"job {note.job} at {note.where} is writing to {dataset.shown}: wait for "
            f"it with '{_command(dataset)} --wait', or stop it with --stop, then run "
            "the same command again"
        )


def detached_text(dataset: Dataset) -> str:
    """The message for a user whose job goes on without its launcher."""
    note = JobFolder(dataset).note()
    assert note
    return (
        f"job {note.job} runs at {note.where} and goes on\n"
        f"look at it:      {_command(dataset)}\n"
        f"wait for it:     {_command(dataset)} --wait\n"
        f"stop it:         {_command(dataset)} --stop\n"
        "continue it after a stop: run the same extract command again"
    )


def job_command(output: str, wait: bool, stop: bool, forget: bool) -> int:
    """Shows the job that writes to a dataset; waits for it, stops or forgets it.

    Raises:
        ConfigError: if there is no dataset, or the cluster does not answer.
    """
    dataset = Dataset(output)
    run = dataset.existing_run()
    folder = JobFolder(dataset)
    note = folder.note()
    if note is None or note.job is None:
        print(f"no job is writing to {dataset.shown}; its last run: {run['state']}")
        return EXIT_OK
    if forget:
        folder.revoke()
        print(f"job {note.job} is forgotten: its results are no longer kept")
        return EXIT_OK
    job = _ask(dataset, note)
    if stop:
        return _stop(dataset, note)
    if wait:
        job = _wait(dataset, note, run["manifest"]["num_clips"])
    return _show(dataset, note, job, run["manifest"]["num_clips"])


def _runner(note: JobNote) -> ClusterRunner:
    runner: ClusterRunner = runner_named(note.runner)
    return runner


def _ask(dataset: Dataset, note: JobNote) -> JobState | None:
    """The state of a job on its cluster; None if the cluster does not list the job."""
    try:
        return _runner(note).job_state(note)
    except ClusterError as error:
        raise ConfigError(
            f"job {note.job} may be writing to {dataset.shown}, but {error}; if the "
            f"job has ended, or its cluster is gone for good, run "
            f"'{_command(dataset)} --forget'"
        ) from error


def _wait(dataset: Dataset, note: JobNote, num_clips: int) -> JobState | None:
    """Shows progress until the job has ended. Ctrl-C ends only the waiting."""
    progress = ProgressLine(num_clips)
    ledger = dataset.read_ledger(["status", "duration_s"])
    done = ledger["status"].to_pylist()
    audio_s = pc.sum(ledger["duration_s"]).as_py() or 0.0
    progress.set_committed(len(done), done.count("failed"), audio_s)
    watch = LedgerWatch(dataset)
    try:
        while (job := _ask(dataset, note)) and not job.has_ended:
            progress.update({0: watch.poll()}, watch.note(job.state))
            time.sleep(_INTERVAL_S)
        return job
    finally:
        progress.close()


def _stop(dataset: Dataset, note: JobNote) -> int:
    try:
        _runner(note).stop_job(note)
    except JobError as error:
        JobFolder(dataset).revoke()
        raise ConfigError(str(error)) from error
    JobFolder(dataset).revoke()
    _note_stopped(dataset)
    print(f"job {note.job} is stopped; to continue, run the same extract command again")
    return EXIT_OK


def _show(dataset: Dataset, note: JobNote, job: JobState | None, num_clips: int) -> int:
    """Shows the state of a job, and the summary of a job that has ended."""
    num_done = dataset.read_ledger(["clip_id"]).num_rows
    if job and not job.has_ended:
        print(f"job {note.job} at {note.where}: {job.state}")
        print(f"{num_done:,} of {num_clips:,} clips are done")
        return EXIT_OK
    if num_done == num_clips:
        with dataset.locked():
            JobFolder(dataset).remove()
            dataset.remove_temporary()
            dataset.remove_unfinished([])
            totals = dataset_totals(dataset)
            finish_run(dataset, _runner(note).job_counters(note), totals)
        print(summary_text(dataset, totals, None))
        return EXIT_OK
    JobFolder(dataset).revoke()
    _note_stopped(dataset)
    state, reason = "unknown", "the cluster no longer lists it"
    if job:
        state = job.state
        reason = _runner(note).job_problem(note) or "the cluster gives no reason"
    print(
        f"job {note.job} has ended ({state}) with {num_done:,} of {num_clips:,} clips "
        f"done and safe: {reason}\n"
        "to continue, run the same extract command again"
    )
    return EXIT_FAILED


def _note_stopped(dataset: Dataset) -> None:
    dataset.write_run(dataset.run() | {"state": "stopped"})


def _command(dataset: Dataset) -> str:
    return f"fsdsinet job {shlex.quote(dataset.shown)}"
