"""Runs `fsdsinet extract`: checks everything, plans, runs the job and sums up.

The functions stand in the order in which they are called.
"""

import contextlib
import dataclasses
import hashlib
import io
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RunConfig
from pipeline.console import ProgressLine, counted, say
from pipeline.dataset import summary
from pipeline.dataset.folder import Dataset
from pipeline.dataset.replace_parts import finish_swap
from pipeline.errors import ConfigError, DatasetError
from pipeline.extract import ExtractJob
from pipeline.inputs.bucket_access import check_reach
from pipeline.inputs.file_states import complete_states
from pipeline.inputs.read_inputs import read_sized_inputs
from pipeline.launch.beam_flags import check_beam_flags
from pipeline.launch.changed_files import (
    ChangedFiles,
    drop_rows,
    find_changed,
    remove_parts,
)
from pipeline.launch.cluster_jobs import check_no_job, detached_text
from pipeline.launch.done_rows import find_done
from pipeline.launch.forecast import longest_audio_s, predict_audio_s
from pipeline.launch.identity import (
    check_same_identity,
    dataset_spec,
    identity,
    times_text,
)
from pipeline.launch.pending_audio import PendingAudio
from pipeline.launch.plan import (
    Plan,
    by_file,
    choose_limits,
    ledger_columns,
    pending_rows,
    write_plan,
)
from pipeline.runners.base import JobRequest, runner_of
from pipeline.runners.job_folder import JobFolder
from pipeline.runners.job_process import JobError, JobProcess
from transforms import storage
from transforms.elements import Failure
from transforms.errors import UserError
from transforms.manifest import FILE_FIELDS
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_models
from transforms.schemas import DatasetSpec
from transforms.storage import StorageError

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
_AGAIN = "run the same command again"

# With more recordings than this, each is computed by one worker: none waits for a first
# pass, and those that are done at the end wait for a small part of the run.
_RECORDINGS_PER_WORKER = 4


@dataclasses.dataclass(frozen=True)
class Run:
    """A checked run, ready to start.

    Attributes:
        config: Configuration of the run.
        dataset: The output.
        state: State of the output when the plan was made.
        spec: Description of what is written.
        plan: Clips and shards that are left to do.
        changed: Files that changed since their rows were computed.
        num_workers: Number of worker processes.
        left_out: Sentence about files of folders that are not among the clips; empty if
            there are none.
        excerpts: Lines that say which columns are the times of parts of files.
        times: Sentence about rows whose recordings' start was found by other settings;
            empty if there are none.
    """

    config: RunConfig
    dataset: Dataset
    state: object
    spec: DatasetSpec
    plan: Plan
    changed: ChangedFiles
    num_workers: int
    left_out: str
    excerpts: tuple[str, ...] = ()
    times: str = ""

    @property
    def notes(self) -> list[str]:
        """Sentences about files that the user should know of before the run."""
        notes = (self.left_out, *self.excerpts, self.times, self.changed.text())
        return [note for note in notes if note]

    @property
    def job(self) -> ExtractJob:
        return ExtractJob(
            self.dataset.plan_path,
            self.dataset.root,
            self.spec,
            clip_timeout_s=self.config.clip_timeout,
            longest_s=self.config.long_clip,
            spread=self._num_recordings <= _RECORDINGS_PER_WORKER * self.num_workers,
            times=self.config.times,
        )

    @property
    def _num_recordings(self) -> int:
        """Predicted number of clips that are computed in segments."""
        return int(np.count_nonzero(self.plan.audio_s > self.config.long_clip))

    @property
    def num_useful_workers(self) -> int:
        """Number of workers that may have something to do."""
        if self.plan.num_shards >= self.num_workers:
            return self.num_workers
        audio_s = longest_audio_s(self.plan.pending["uri"], self.plan.audio_s)
        num_segments = int(audio_s[audio_s > self.config.long_clip].sum())
        num_segments //= self.config.long_clip
        return min(self.num_workers, self.plan.num_shards + num_segments)


def extract_command(config: RunConfig, early: JobProcess | None) -> int:
    """Runs the command and returns its exit code.

    Args:
        config: Configuration of the run.
        early: A process that waits for the job, if there is one.

    Raises:
        UserError: before anything is started or changed.
    """
    run = prepare(config)
    for note in run.notes:
        say(note)
    with run.dataset.locked():
        try:
            finish_swap(run.dataset)
        except DatasetError:
            # A dataset whose files are lost can still be replaced by a new one.
            if not config.overwrite:
                raise
        if run.dataset.state() != run.state:
            # Another run was writing while this run waited for the lock.
            run = prepare(config)
        JobFolder(run.dataset).settle()
        if config.overwrite or config.retry_failed or config.retry_changed:
            # The notes of deaths are removed, so that all clips are tried again.
            JobFolder(run.dataset).remove()
        if config.overwrite:
            run.dataset.remove_rows()
            # Removes files of large parts that were never put in their places.
            finish_swap(run.dataset)
        run.dataset.remove_uncommitted()
        with _sigterm_as_interrupt():
            return _execute(run, early)


def prepare(config: RunConfig) -> Run:
    """Checks configuration, models, inputs and output; changes nothing."""
    try:
        return _prepare(config)
    except StorageError as error:
        raise ConfigError(str(error)) from error


def _prepare(config: RunConfig) -> Run:
    check_beam_flags(config.beam_flags, config.runner)
    models = load_models(list(config.models))
    dataset = Dataset(config.output)
    dataset.check_writable()
    check_no_job(dataset)
    inputs = read_sized_inputs(list(config.inputs))
    manifest = ledger_columns(inputs.table)
    check_reach(manifest["uri"])
    num_workers = runner_of(config).num_workers(config)
    # This is the last check, because it may compile an engine.
    models = choose_engines(models, config.engine, say, config.precision)
    spec = dataset_spec(config, models, tuple(manifest.schema)[2:])
    state = dataset.state()
    previous, parts = ({}, []) if config.overwrite else state
    if previous:
        check_same_identity(previous["identity"], identity(spec))
    if config.retry_failed and not parts:
        raise ConfigError(f"nothing to retry: {dataset.shown} has no results yet")
    files = complete_states(manifest["uri"], inputs.files)
    done = find_done(manifest, files, dataset.done_blocks(parts) if parts else ())
    changed = find_changed(dataset, manifest, done, config)
    rows = manifest
    for field, column in zip(FILE_FIELDS, files.columns, strict=True):
        rows = rows.append_column(field, column)
    pending = by_file(pending_rows(rows, done, config.retry_failed, changed.clip_ids))
    audio_s = predict_audio_s(pending)
    limits = choose_limits(audio_s, num_workers, config.shard_clips)
    plan = Plan(manifest, pending, audio_s, limits)
    times = times_text(previous["config"], config) if done.any else ""
    said = (inputs.left_out_text(), inputs.excerpts, times)
    return Run(config, dataset, state, spec, plan, changed, num_workers, *said)


def _execute(run: Run, early: JobProcess | None) -> int:
    """Runs the job. The dataset is locked and holds only committed shards."""
    start = time.monotonic()
    dataset, plan, config = run.dataset, run.plan, run.config
    counters: dict[str, int] = {}
    # The totals may be missing though nothing is left to do: after a run that was
    # killed after its last shard, and after a job that nobody waited for.
    known = {} if plan.pending.num_rows else summary.finished_totals(dataset)
    if plan.pending.num_rows:
        dataset.write_run(_run_content(run))
        try:
            if config.retry_failed:
                dataset.forget_failed()
            remove_parts(dataset, run.changed.parts)
            drop_rows(dataset, run.changed.dropped)
            found = _run_job(run, early)
            if found is None:
                print(detached_text(dataset))
                return EXIT_OK
            counters = found
            dataset.remove_temporary()
            totals = summary.dataset_totals(dataset)
            _check_complete(run, totals["clips"])
            dataset.remove_unfinished([])
        except (KeyboardInterrupt, JobError, StorageError, OSError) as error:
            return _ended_early(run, error)
    else:
        # A run may have been killed after its last shard.
        dataset.remove_unfinished([])
        said = counted(plan.manifest.num_rows, "clip is", "clips are")
        print(f"nothing to do: {said} done")
        totals = known or summary.dataset_totals(dataset)
    if not known:
        summary.finish_run(dataset, counters, totals)
    JobFolder(dataset).remove()
    print(summary.summary_text(dataset, totals, time.monotonic() - start))
    return EXIT_FAILED if config.fail_on_error and totals["failed"] else EXIT_OK


def _run_job(run: Run, early: JobProcess | None) -> dict[str, int] | None:
    dataset, plan = run.dataset, run.plan
    progress = ProgressLine(plan.manifest.num_rows)

    def replan(given_up: Mapping[str, Failure]) -> bool:
        dataset.remove_uncommitted()
        ledger = dataset.read_ledger(["clip_id", "status", "duration_s"])
        progress.set_committed(
            ledger.num_rows,
            pc.sum(pc.equal(ledger["status"], "failed")).as_py() or 0,
            pc.sum(ledger["duration_s"]).as_py() or 0.0,
        )
        done = pc.is_in(plan.pending["clip_id"], value_set=ledger["clip_id"])
        left = plan.select(pc.invert(done))
        progress.set_pending(
            PendingAudio(left.pending["clip_id"], left.audio_s, run.config.long_clip)
        )
        dataset.remove_unfinished(left.pending["clip_id"])
        if not left.pending.num_rows:
            return False
        write_plan(left, dataset.plan_path, given_up)
        return True

    request = JobRequest(
        run.job,
        run.config,
        run.num_useful_workers,
        dataset,
        replan,
        progress,
        early,
    )
    try:
        return runner_of(run.config).run(request)
    finally:
        progress.close()


def _check_complete(run: Run, num_clips: int) -> None:
    """Raises JobError unless every manifest row has its ledger row."""
    expected = run.plan.manifest.num_rows
    if num_clips != expected or not run.dataset.run():
        raise JobError(
            f"{run.dataset.shown} has {num_clips:,} clips in its ledger, expected "
            f"{expected:,}: files were removed or changed during the run"
        )


def _ended_early(run: Run, error: BaseException) -> int:
    """Prints why the run ended and how to continue; returns the exit code."""
    interrupted = isinstance(error, KeyboardInterrupt)
    done = "what is done is safe"
    # The output may be unreachable, removed, or taken by another run.
    with contextlib.suppress(StorageError, UserError, OSError):
        if run.dataset.is_ours():
            if JobFolder(run.dataset).note() is None:
                run.dataset.remove_uncommitted()
            run.dataset.write_run(_run_content(run) | {"state": "stopped"})
            num_done = run.dataset.read_ledger(["clip_id"]).num_rows
            done = (
                f"{num_done:,} of {run.plan.manifest.num_rows:,} clips are done and "
                "safe"
            )
    # The message of a full disk already says to run the same command again.
    says_again = _AGAIN in str(error)
    advice = "the next run does the rest" if says_again else f"to continue, {_AGAIN}"
    print(
        f"fsdsinet: {'stopped' if interrupted else error}\n{done}; {advice}"
        + (" (without --overwrite)" if run.config.overwrite else ""),
        file=sys.stderr,
    )
    return EXIT_INTERRUPTED if interrupted else EXIT_FAILED


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handles SIGTERM like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_content(run: Run) -> dict[str, Any]:
    """The content of run.json at the start: all that is needed to repeat the run."""
    config = run.config.as_options() | {
        "inputs": [storage.shown(storage.absolute(x)) for x in run.config.inputs],
        "models": [storage.shown(name) for name in run.config.models],
        "output": storage.shown(run.config.output),
    }
    return {
        "state": "running",
        "started": summary.now(),
        "finished": None,
        "identity": identity(run.spec),
        "config": config,
        "shard_clips": run.plan.limits.num_clips,
        "manifest": {
            "num_clips": run.plan.manifest.num_rows,
            "columns": {f.name: str(f.type) for f in run.plan.manifest.schema},
            "sha256": _table_sha256(run.plan.manifest),
        },
        "models": [
            {
                "name": model.name,
                "path": storage.shown(model.graph_path),
                "sha256": model.sha256,
                "embedding_size": model.embedding_size,
                "num_classes": len(model.labels),
            }
            for model in run.spec.models
        ],
        "versions": dict(run.spec.versions),
        "num_workers": run.num_workers,
    }


def _table_sha256(table: pa.Table) -> str:
    """Hash of a table's rows, columns and types."""
    sink = _Hash()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.sha256.hexdigest()


class _Hash(io.RawIOBase):
    """A file that keeps only the hash of what is written to it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data)
