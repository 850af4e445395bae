"""`fsdsinet extract --dry-run`: checks everything and prints what would run."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RunConfig
from pipeline.console import counted, say
from pipeline.dataset.folder import Dataset
from pipeline.extract import ExtractJob
from pipeline.launch.identity import dataset_spec
from pipeline.launch.launch import Run, prepare
from pipeline.runners.base import runner_of
from transforms.errors import UserError
from transforms.manifest import FILE_FOUND_COLUMN, FILE_SIZE_COLUMN
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_models
from transforms.schemas import DEFAULT_PATCH_FORMAT, clips_schema, patches_schema
from transforms.storage import StorageError

EXIT_OK = 0
_NOTHING_STARTED = "dry run: no job was started, and nothing written to the output"


def dry_run_command(config: RunConfig) -> int:
    """Prints what would run.

    Raises:
        ConfigError: for the same reasons as in a run.
    """
    try:
        print(_plan_text(prepare(config)))
    except UserError as error:
        # A job for Dataflow can be built without credentials for its bucket.
        if config.runner != "dataflow" or not isinstance(error.__cause__, StorageError):
            raise
        print(f"not checked: {error}\n{_job_text(config)}\n{_NOTHING_STARTED}")
    return EXIT_OK


def _job_text(config: RunConfig) -> str:
    """Describes the job alone, without reading inputs or output."""
    models = choose_engines(
        load_models(list(config.models)), config.engine, say, config.precision
    )
    dataset = Dataset(config.output)
    spec = dataset_spec(config, models, ())
    runner = runner_of(config)
    job = ExtractJob(dataset.plan_path, dataset.root, spec)
    text = runner.dry_run(job, config, runner.num_workers(config))
    return f"runner {config.runner}: {text}"


def _plan_text(run: Run) -> str:
    """Describes the plan of a run."""
    plan, spec = run.plan, run.spec
    carried = ", ".join(f"{f.name} ({f.type})" for f in spec.manifest_fields) or "none"
    lines = [
        f"clips: {plan.manifest.num_rows:,}, to do {plan.pending.num_rows:,}",
        *run.notes,
        _audio_text(run),
        f"manifest columns carried to the ledger: {carried}",
        f"shards: {plan.num_shards:,} of up to {plan.limits.num_clips} clips, "
        f"{run.num_workers} workers",
        f"patches: every {spec.patch_spec.patch_hop} frames, "
        f"last patch: {spec.patch_spec.last_patch}, stored: {', '.join(spec.outputs)}"
        + (
            f", of patches: {spec.patches}"
            if spec.patches != DEFAULT_PATCH_FORMAT
            else ""
        ),
    ]
    for model in spec.models:
        lines.append(
            f"model {model.name}: {len(model.labels)} classes, embedding of "
            f"{model.embedding_size}, sha256 {model.sha256[:12]}, "
            f"engine {model.engine_text}"
        )
    lines += _storage_lines(run)
    lines.append(f"output: {run.dataset.shown}")
    runner = runner_of(run.config)
    job = runner.dry_run(run.job, run.config, run.num_workers)
    lines.append(f"runner {run.config.runner}: {job}")
    return "\n".join([*lines, _NOTHING_STARTED])


def _storage_lines(run: Run) -> list[str]:
    """What the rows to do take in each table, as predicted from the sizes of files.

    Only vectors are counted: activations and embeddings are hard to compress, and all
    other columns take little. Activations that are always 0 take nearly nothing.
    """
    num_clips = run.plan.pending.num_rows
    num_patches = num_clips + int(run.plan.audio_s.sum() / run.spec.patch_spec.hop_s)
    makers = {"clips": (clips_schema, num_clips)}
    if run.spec.has_patches:
        makers["patches"] = (patches_schema, num_patches)
    lines = []
    for table, (make_schema, num_rows) in sorted(makers.items()):
        # Rounded values are indexes of two bytes in a dictionary.
        is_rounded = table == "patches" and run.spec.patches == "float16"
        row_bytes = sum(
            field.type.list_size * (2 if is_rounded else 4)
            for model in run.spec.models
            for field in make_schema(run.spec, model)
            if pa.types.is_fixed_size_list(field.type)
        )
        size = f"{num_rows * row_bytes / 1e6:,.2f} MB"
        rows = counted(num_rows, "row", "rows")
        lines.append(f"{table}: about {size} for {rows} of {row_bytes:,} bytes")
    return lines


def _audio_text(run: Run) -> str:
    """Describes the size of the audio, as far as it is known without opening files."""
    rows = run.plan.pending.select(["uri", FILE_SIZE_COLUMN, FILE_FOUND_COLUMN])
    if "start_s" in run.plan.pending.column_names:
        # Excerpts of one file are read together.
        rows = rows.group_by(rows.column_names).aggregate([])
    is_found = rows[FILE_FOUND_COLUMN]
    num_found = pc.sum(is_found).as_py() or 0
    text = (
        f"audio to read: {(pc.sum(rows[FILE_SIZE_COLUMN]).as_py() or 0) / 1e6:,.1f} MB "
        f"in {num_found:,} files, "
        f"{len(is_found) - is_found.null_count - num_found:,} files not found"
    )
    unknown = is_found.null_count
    return text + (f", {unknown:,} of unknown size" if unknown else "")
