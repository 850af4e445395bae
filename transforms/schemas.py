"""The Parquet schemas of the dataset, with metadata by which one file explains itself.

Raise SCHEMA_VERSION when a column or the meaning of one changes.
"""

import dataclasses
import json
from collections.abc import Mapping

import pyarrow as pa

from transforms.decoding.ffmpeg import SAMPLE_RATE_HZ
from transforms.engines.contract import ModelSpec
from transforms.front_end.mel import FRAME_SAMPLES
from transforms.front_end.patches import HOP_SAMPLES, PATCH_FRAMES, PatchSpec

SCHEMA_VERSION = 1
OUTPUTS = ("activations", "embeddings")

# A patch's frames start every 220 samples and the last one is 660 samples long.
PATCH_DURATION_S = ((PATCH_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES) / SAMPLE_RATE_HZ

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
)
TOP_LABELS_TYPE = pa.list_(pa.struct({"label": pa.string(), "score": pa.float32()}))


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What a run writes, the same for all its shards.

    Attributes:
        models: In the order given by the user.
        outputs: Which of OUTPUTS are stored.
        patch_spec: How patches were cut; patch times follow from it.
        versions: Of the programs that computed the numbers, by name.
        manifest_fields: Carried from the manifest to the ledger, under these names.
    """

    models: tuple[ModelSpec, ...]
    outputs: tuple[str, ...]
    patch_spec: PatchSpec
    versions: Mapping[str, str]
    manifest_fields: tuple[pa.Field, ...] = ()


def part_name(shard_id: str) -> str:
    """File name of a shard's part in every table."""
    return f"part-{shard_id}.parquet"


def patch_start_s(patch: int, patch_hop_frames: int) -> float:
    """Start of a patch in its clip: patch * hop * 220 / 22050 seconds."""
    return patch * patch_hop_frames * HOP_SAMPLES / SAMPLE_RATE_HZ


def ledger_schema(spec: DatasetSpec) -> pa.Schema:
    """One row a manifest row."""
    metadata = {"table": "ledger", **_run_metadata(spec)}
    return pa.schema([*LEDGER_FIELDS, *spec.manifest_fields], metadata)


def patches_schema(spec: DatasetSpec, model: ModelSpec) -> pa.Schema:
    """One row a patch of a clip that is ok."""
    fields = [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("patch", pa.int32(), nullable=False),
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("end_s", pa.float64(), nullable=False),
    ]
    if "activations" in spec.outputs:
        fields.append(pa.field("activations", _vector(len(model.labels))))
    if "embeddings" in spec.outputs:
        fields.append(pa.field("embedding", _vector(model.embedding_size)))
    return pa.schema(fields, _model_metadata("patches", spec, model))


def clips_schema(spec: DatasetSpec, model: ModelSpec) -> pa.Schema:
    """One row a clip that is ok and has patches."""
    fields = [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("num_patches", pa.int32(), nullable=False),
    ]
    if "activations" in spec.outputs:
        fields += [
            pa.field("activations_mean", _vector(len(model.labels))),
            pa.field("activations_max", _vector(len(model.labels))),
            pa.field("top_labels", TOP_LABELS_TYPE),
        ]
    if "embeddings" in spec.outputs:
        fields.append(pa.field("embedding_mean", _vector(model.embedding_size)))
    return pa.schema(fields, _model_metadata("clips", spec, model))


def _vector(size: int) -> pa.DataType:
    return pa.list_(pa.float32(), size)


def _run_metadata(spec: DatasetSpec) -> dict[str, str]:
    return {
        "schema_version": str(SCHEMA_VERSION),
        "sample_rate_hz": str(SAMPLE_RATE_HZ),
        "patch_hop_s": repr(patch_start_s(1, spec.patch_spec.patch_hop_frames)),
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
        **_run_metadata(spec),
    }
