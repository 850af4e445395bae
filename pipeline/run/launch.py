"""Runs `fsdsinet extract`: checks everything, plans, starts the job, sums up."""

import contextlib
import dataclasses
import importlib.metadata
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import av
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RunConfig
from pipeline.console import ProgressLine, say
from pipeline.dataset.folder import Dataset
from pipeline.dataset.summary import dataset_totals, finish_run, now, summary_text
from pipeline.errors import ConfigError
from pipeline.extract import ExtractJob
from pipeline.inputs.bucket_access import check_reach
from pipeline.inputs.inputs import read_sized_inputs
from pipeline.run.beam_flags import check_beam_flags
from pipeline.run.forecast import predict_audio_s
from pipeline.run.jobs import check_no_job, detached_text
from pipeline.run.plan import (
    Plan,
    choose_limits,
    ledger_columns,
    pending_rows,
    table_sha256,
    write_plan,
)
from pipeline.runners.base import JobRequest, runner_of
from pipeline.runners.job_folder import JobFolder
from pipeline.runners.job_process import JobError, JobProcess
from transforms import storage
from transforms.engines.contract import ModelSpec
from transforms.errors import UserError
from transforms.front_end.patches import FRONT_END_VERSION
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_models
from transforms.schemas import SCHEMA_VERSION, DatasetSpec
from transforms.storage import StorageError

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130
_NO_LEDGER = pa.schema(
    [(name, pa.string()) for name in ("clip_id", "uri", "status")]
).empty_table()


@dataclasses.dataclass(frozen=True)
class Run:
    """A checked run, ready to start.

    Attributes:
        config: As given.
        dataset: The output folder.
        state: Of the output folder when the plan was made.
        spec: What is written.
        plan: What is to be done.
        sizes: Bytes of the pending files as far as known, see `Inputs.known_sizes`.
        num_workers: Worker processes.
    """

    config: RunConfig
    dataset: Dataset
    state: object
    spec: DatasetSpec
    plan: Plan
    sizes: Mapping[str, int | None]
    num_workers: int

    @property
    def job(self) -> ExtractJob:
        return ExtractJob(self.dataset.plan_path, self.dataset.root, self.spec)


def extract_command(config: RunConfig, early: JobProcess | None) -> int:
    """Runs the command and returns its exit code.

    Args:
        config: Of the run.
        early: A process that waits for the job, if there is one.

    Raises:
        ConfigError: before anything is started or changed.
    """
    run = prepare(config)
    with run.dataset.locked():
        if run.dataset.state() != run.state:
            # Another run was writing until the lock was had.
            run = prepare(config)
        JobFolder(run.dataset).settle()
        if config.overwrite or config.retry_failed:
            # Clips that took workers down are tried again.
            JobFolder(run.dataset).remove()
        if config.overwrite:
            run.dataset.remove()
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
    # Last, because an engine may have to be compiled first.
    models = choose_engines(models, config.engine, say)
    spec = dataset_spec(config, models, tuple(manifest.schema)[2:])
    state = dataset.state()
    previous = {} if config.overwrite else dataset.run()
    if previous:
        _check_same_identity(previous["identity"], _identity(spec))
    is_new = config.overwrite or not dataset.parts("ledger")
    if is_new and config.retry_failed:
        raise ConfigError(f"nothing to retry: {dataset.shown} has no results yet")
    ledger = _NO_LEDGER if is_new else dataset.read_done()
    pending = pending_rows(manifest, ledger, config.retry_failed)
    uris = pending["uri"].to_pylist()
    sizes = inputs.known_sizes(uris)
    audio_s = predict_audio_s(uris, sizes)
    limits = choose_limits(audio_s, num_workers, config.shard_clips)
    plan = Plan(manifest, pending, audio_s, limits)
    return Run(config, dataset, state, spec, plan, sizes, num_workers)


def _execute(run: Run, early: JobProcess | None) -> int:
    """Runs the job; the dataset is locked and holds committed shards only."""
    start = time.monotonic()
    dataset, plan, config = run.dataset, run.plan, run.config
    if plan.pending.num_rows:
        if config.retry_failed:
            dataset.forget_failed()
        dataset.write_run(_run_content(run))
        try:
            counters = _run_job(run, early)
        except (KeyboardInterrupt, JobError, StorageError, OSError) as error:
            return _ended_early(run, error)
        if counters is None:
            print(detached_text(dataset))
            return EXIT_OK
        dataset.remove_temporary()
        totals = finish_run(dataset, counters)
    else:
        print(f"nothing to do: all {plan.manifest.num_rows:,} clips are done")
        totals = dataset_totals(dataset)
        if dataset.run()["state"] != "finished":
            # That run was killed after its last shard, or nobody waited for its job.
            totals = finish_run(dataset, {})
    JobFolder(dataset).remove()
    print(summary_text(dataset, totals, time.monotonic() - start))
    assert totals["clips"] == plan.manifest.num_rows, "ledger and manifest differ"
    return EXIT_FAILED if config.fail_on_error and totals["failed"] else EXIT_OK


def dataset_spec(
    config: RunConfig, models: tuple[ModelSpec, ...], fields: tuple[pa.Field, ...]
) -> DatasetSpec:
    """What a run of a configuration writes.

    Args:
        config: Of the run.
        models: Checked, with their engines.
        fields: Of the manifest, carried to the ledger.
    """
    return DatasetSpec(
        models=models,
        outputs=config.outputs,
        patch_spec=config.patches,
        versions=_versions(),
        manifest_fields=fields,
    )


def _run_job(run: Run, early: JobProcess | None) -> dict[str, int] | None:
    dataset, plan = run.dataset, run.plan
    progress = ProgressLine(plan.manifest.num_rows)

    def replan(given_up: Mapping[str, str]) -> bool:
        dataset.remove_uncommitted()
        ledger = dataset.read_ledger(["clip_id", "status"])
        progress.set_committed(
            ledger.num_rows, pc.sum(pc.equal(ledger["status"], "failed")).as_py() or 0
        )
        done = pc.is_in(plan.pending["clip_id"], value_set=ledger["clip_id"])
        left = plan.select(pc.invert(done))
        if not left.pending.num_rows:
            return False
        write_plan(left, dataset.plan_path, given_up)
        return True

    num_workers = min(run.num_workers, plan.num_shards)
    request = JobRequest(
        run.job, run.config, num_workers, dataset, replan, progress, early
    )
    try:
        return runner_of(run.config).run(request)
    finally:
        progress.close()


def _ended_early(run: Run, error: BaseException) -> int:
    interrupted = isinstance(error, KeyboardInterrupt)
    done = "what is done is safe"
    # The place may be out of reach, or another run's by now.
    with contextlib.suppress(StorageError, UserError, OSError):
        if run.dataset.is_ours():
            if JobFolder(run.dataset).note() is None:
                run.dataset.remove_uncommitted()
            run.dataset.write_run(run.dataset.run() | {"state": "stopped"})
            num_done = run.dataset.read_ledger(["clip_id"]).num_rows
            done = (
                f"{num_done:,} of {run.plan.manifest.num_rows:,} clips are done and "
                "safe"
            )
    print(
        f"fsdsinet: {'stopped' if interrupted else error}\n"
        f"{done}; to continue, run the same command again"
        + (" (without --overwrite)" if run.config.overwrite else ""),
        file=sys.stderr,
    )
    return EXIT_INTERRUPTED if interrupted else EXIT_FAILED


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A polite kill is handled like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _versions() -> dict[str, str]:
    names = ("fsd-sinet-beam", "apache-beam", "essentia-tensorflow", "av", "numpy")
    versions = {name: importlib.metadata.version(name) for name in (*names, "pyarrow")}
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {**versions, "libavcodec": libavcodec, "python": platform.python_version()}


def _identity(spec: DatasetSpec) -> dict[str, Any]:
    """What decides the numbers of a dataset; the same for all runs that add to it."""
    return {
        "models": sorted(
            f"{model.name} sha256:{model.sha256} metadata:{model.metadata_digest()}"
            for model in spec.models
        ),
        "engines": {model.name: model.engine for model in spec.models},
        "last_patch": spec.patch_spec.last_patch,
        "patch_hop": spec.patch_spec.patch_hop,
        "outputs": sorted(spec.outputs),
        "front_end_version": FRONT_END_VERSION,
        "schema_version": SCHEMA_VERSION,
        "essentia_version": spec.versions["essentia-tensorflow"],
    }


def _check_same_identity(before: dict[str, Any], now: dict[str, Any]) -> None:
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        lines = [f"  {key}: was {before.get(key)}, is {now[key]}" for key in changed]
        raise ConfigError(
            "the output holds a dataset made with other settings:\n"
            + "\n".join(lines)
            + "\ngive a new --output, the old settings, or --overwrite"
        )


def _run_content(run: Run) -> dict[str, Any]:
    """run.json at the start: enough to repeat the run and to know what it ran."""
    config = run.config.as_options() | {
        "inputs": [storage.shown(storage.absolute(x)) for x in run.config.inputs],
        "models": [storage.shown(name) for name in run.config.models],
        "output": storage.shown(run.config.output),
    }
    return {
        "state": "running",
        "started": now(),
        "finished": None,
        "identity": _identity(run.spec),
        "config": config,
        "shard_clips": run.plan.limits.num_clips,
        "manifest": {
            "num_clips": run.plan.manifest.num_rows,
            "columns": {f.name: str(f.type) for f in run.plan.manifest.schema},
            "sha256": table_sha256(run.plan.manifest),
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
