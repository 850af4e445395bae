"""The Parquet schemas of the dataset. Their metadata explains each file by itself.

Raise SCHEMA_VERSION when a column or its meaning changes.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.engines.contract import ModelSpec
from transforms.errors import unknown_value
from transforms.events.settings import EventSettings
from transforms.events.table import EVENT_FIELDS
from transforms.front_end.mel import FRAME_SAMPLES
from transforms.front_end.patches import HOP_SAMPLES, PATCH_FRAMES, PatchSpec

SCHEMA_VERSION = 3
OUTPUTS = ("activations", "embeddings", "events")
DEFAULT_OUTPUTS = ("activations", "embeddings")
# How the values of patches are stored: as computed, rounded to half precision, or not
# at all. Rounded values are still float32, in dictionaries. Half floats take 5 % less,
# but Spark cannot read them, and fastparquet and older versions of DuckDB return their
# bytes without a word. Values of clips are never rounded.
PATCH_FORMATS = ("float32", "float16", "none")
DEFAULT_PATCH_FORMAT = "float32"
# Columns of the table of patches that `patches` is about.
PATCH_VALUES = ("activations", "embedding")

# A patch's frames start every 220 samples and the last one is 660 samples long.
PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES
PATCH_DURATION_S = PATCH_SAMPLES / SAMPLE_RATE_HZ

LEDGER_FIELDS = (
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("uri", pa.string(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("stage", pa.string()),
    pa.field("error_type", pa.string()),
    pa.field("error", pa.string()),
    pa.field("duration_s", pa.float64()),
    pa.field("sample_rate_hz", pa.int32()),
    pa.field("num_channels", pa.int32()),
    pa.field("codec", pa.string()),
    pa.field("num_patches", pa.int32()),
    pa.field("flags", pa.list_(pa.string())),
    pa.field("file_size_bytes", pa.int64()),
    pa.field("file_modified", pa.timestamp("us", tz="UTC")),
    pa.field("recorded_at", pa.string()),
    pa.field("recorded_at_source", pa.string()),
)
TOP_LABELS_TYPE = pa.list_(pa.struct({"label": pa.string(), "score": pa.float32()}))


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Describes what a run writes. It is the same for all shards of the run.

    Attributes:
        models: Models, in the order given by the user.
        outputs: Members of OUTPUTS that are stored.
        patch_spec: How patches are cut, from which their times follow.
        versions: Versions of the programs that compute the numbers, by name.
        manifest_fields: Fields that are copied from the manifest to the ledger. They
            have other names than the ledger's own.
        events: What counts as an event, if `events` is one of the outputs.
        patches: One of PATCH_FORMATS.

    Raises:
        ValueError: if outputs are unknown, missing or named twice, or `events` does not
            fit them.
    """

    models: tuple[ModelSpec, ...]
    outputs: tuple[str, ...]
    patch_spec: PatchSpec
    versions: Mapping[str, str]
    manifest_fields: tuple[pa.Field, ...] = ()
    events: EventSettings | None = None
    patches: str = DEFAULT_PATCH_FORMAT

    def __post_init__(self) -> None:
        check_outputs(self.outputs, self.patches)
        if ("events" in self.outputs) != (self.events is not None):
            raise ValueError(
                f"outputs is {','.join(self.outputs)}, expected events in it if and "
                "only if there are settings of events"
            )

    @property
    def has_patches(self) -> bool:
        """Whether there is a table of patches."""
        return stores_patches(self.outputs, self.patches)

    @property
    def has_excerpts(self) -> bool:
        """Whether clips may be parts of files; then patches have times in the file."""
        return any(field.name == "start_s" for field in self.manifest_fields)


def stores_patches(outputs: Sequence[str], patches: str) -> bool:
    """Whether there is a table with values of every patch.

    Args:
        outputs: Members of OUTPUTS.
        patches: One of PATCH_FORMATS.
    """
    return patches != "none" and bool({*DEFAULT_OUTPUTS} & {*outputs})


def check_outputs(outputs: Sequence[str], patches: str) -> None:
    """Checks what is stored.

    Raises:
        ValueError: unless `outputs` names members of OUTPUTS, each once, and `patches`
            is one of PATCH_FORMATS that suits them.
    """
    if not outputs or len(set(outputs)) < len(outputs) or set(outputs) - set(OUTPUTS):
        raise ValueError(
            f"outputs is {','.join(outputs) or 'empty'}, expected one or more of: "
            f"{', '.join(OUTPUTS)} (each once)"
        )
    if patches not in PATCH_FORMATS:
        raise ValueError(unknown_value("patches", patches, PATCH_FORMATS))
    if patches != DEFAULT_PATCH_FORMAT and not {*DEFAULT_OUTPUTS} & {*outputs}:
        raise ValueError(
            f"patches is {patches}, and outputs is {','.join(outputs)}, which stores "
            "no patches; leave out --patches"
        )


def part_name(shard_id: str) -> str:
    """File name of a shard's part in every table."""
    return f"part-{shard_id}.parquet"


def ledger_schema(spec: DatasetSpec) -> pa.Schema:
    """Schema of the ledger, which has one row for every manifest row."""
    metadata = {"table": "ledger", **_run_metadata(spec)}
    return pa.schema([*LEDGER_FIELDS, *spec.manifest_fields], metadata)


def patches_schema(spec: DatasetSpec, model: ModelSpec) -> pa.Schema:
    """Schema of the patches: one row for every patch of a clip that is ok."""
    fields = [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("patch", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
    ]
    if spec.has_excerpts:
        fields += [
            pa.field("file_start_s", pa.float64(), nullable=False),
            pa.field("file_end_s", pa.float64(), nullable=False),
        ]
    if "activations" in spec.outputs:
        fields.append(pa.field("activations", _vector(len(model.labels))))
    if "embeddings" in spec.outputs:
        fields.append(pa.field("embedding", _vector(model.embedding_size)))
    metadata = _model_metadata("patches", spec, model)
    if spec.patches != DEFAULT_PATCH_FORMAT:
        metadata["patches"] = spec.patches
    return pa.schema(fields, metadata)


def clips_schema(spec: DatasetSpec, model: ModelSpec) -> pa.Schema:
    """Schema of the clips: one row for every clip that is ok and has patches."""
    fields = [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("num_patches", pa.int32(), nullable=False),
    ]
    if "activations" in spec.outputs or "events" in spec.outputs:
        fields += [
            pa.field("activations_mean", _vector(len(model.labels))),
            pa.field("activations_max", _vector(len(model.labels))),
            pa.field("top_labels", TOP_LABELS_TYPE),
        ]
    if "embeddings" in spec.outputs:
        fields.append(pa.field("embedding_mean", _vector(model.embedding_size)))
    return pa.schema(fields, _model_metadata("clips", spec, model))


def events_schema(spec: DatasetSpec, model: ModelSpec) -> pa.Schema:
    """Schema of the events: one row for every event of a clip that is ok."""
    return pa.schema(EVENT_FIELDS, _model_metadata("events", spec, model))


def _vector(size: int) -> pa.DataType:
    return pa.list_(pa.float32(), size)


def _run_metadata(spec: DatasetSpec) -> dict[str, str]:
    return {
        "schema_version": str(SCHEMA_VERSION),
        "sample_rate_hz": str(SAMPLE_RATE_HZ),
        "patch_hop_s": repr(spec.patch_spec.hop_s),
        "patch_duration_s": repr(PATCH_DURATION_S),
        "last_patch": spec.patch_spec.last_patch,
        "versions": json.dumps(dict(spec.versions)),
    }


def _model_metadata(table: str, spec: DatasetSpec, model: ModelSpec) -> dict[str, str]:
    return {
        "table": table,
        "model": model.name,
        "model_sha256": model.sha256,
        "labels": json.dumps(model.labels),
        "engine": model.engine_text,
        "engine_tolerance": repr(model.tolerance),
        **_run_metadata(spec),
    }
