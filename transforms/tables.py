"""Builds the tables of the models' results, and publishes tables as Parquet files.

Nothing here needs Beam, which takes long to load, so that commands that read a dataset
start quickly.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import (
    Clip,
    FloatArray,
    Prediction,
    Shard,
    mean_over_patches,
    top_labels,
)
from transforms.engines.contract import ModelSpec
from transforms.events.detect import PatchTimes, find_events
from transforms.events.settings import EventSettings, LabelThresholds
from transforms.events.table import events_table
from transforms.front_end.patches import HOP_SAMPLES, PatchSpec
from transforms.schemas import (
    PATCH_DURATION_S,
    PATCH_SAMPLES,
    PATCH_VALUES,
    DatasetSpec,
    clips_schema,
    events_schema,
    patches_schema,
)
from transforms.storage import publish

NUM_TOP_LABELS = 10


def write_table(uri: str, table: pa.Table) -> None:
    """Publishes a table as Parquet."""
    write_tables(uri, table.schema, [table])


def write_tables(uri: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Publishes tables as one Parquet file; each table is at least one row group."""
    with publish(uri) as file, parquet_writer(file, schema) as writer:
        for table in tables:
            writer.write_table(table)


def parquet_writer(file: BinaryIO, schema: pa.Schema) -> pq.ParquetWriter:
    """Returns a writer of Parquet with zstd and with plain floats.

    BYTE_STREAM_SPLIT saves nothing on the models' results, and Spark and fastparquet
    refuse to read it. Dictionaries would make floats larger, unless the floats are
    rounded: then there are few different ones.
    """
    coded = [field.name for field in schema if field.type == pa.string()]
    if (schema.metadata or {}).get(b"patches") == b"float16":
        coded += [f"{name}.list.element" for name in PATCH_VALUES]
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=coded)


def model_tables(
    shard: Shard, spec: DatasetSpec, model: ModelSpec
) -> Iterator[tuple[str, pa.Table]]:
    """Yields name and rows of each table of a model."""
    if spec.has_patches:
        yield "patches", patches_table(shard, spec, model)
    yield "clips", clips_table(shard, spec, model)
    if spec.events:
        thresholds = spec.events.of_labels(model.labels)
        tables = [
            clip_events(
                clip,
                [p.activations],
                len(p.activations),
                spec.patch_spec,
                thresholds,
                spec.events,
            )
            for clip, p in _predictions(shard, model)
        ]
        yield (
            "events",
            pa.concat_tables([events_schema(spec, model).empty_table(), *tables]),
        )


def patches_table(
    shard: Shard, spec: DatasetSpec, model: ModelSpec, first_patch: int = 0
) -> pa.Table:
    """One row for every patch of the shard's clips, in order.

    Args:
        shard: Shard with predictions.
        spec: What is written.
        model: Model of the table.
        first_patch: Index of the first patch of every clip.
    """
    schema = patches_schema(spec, model)
    clips = _predictions(shard, model)
    counts = [len(prediction.activations) for _, prediction in clips]
    patch = first_patch + np.concatenate([np.arange(n) for n in [0, *counts]])
    start_s = spec.patch_spec.start_s(patch)
    file_start_s = start_s + np.repeat([c.start_s or 0.0 for c, _ in clips], counts)
    columns = {
        "clip_id": np.repeat(np.array([c.clip_id for c, _ in clips], object), counts),
        "patch": patch.astype(np.int32),
        "start_s": start_s,
        "end_s": start_s + PATCH_DURATION_S,
        "file_start_s": file_start_s,
        "file_end_s": file_start_s + PATCH_DURATION_S,
        "activations": _stack([p.activations for _, p in clips], len(model.labels)),
        "embedding": _stack([p.embeddings for _, p in clips], model.embedding_size),
    }
    if spec.patches == "float16":
        columns |= {name: rounded(columns[name]) for name in PATCH_VALUES}
    return _to_table(columns, schema)


class Pooled(NamedTuple):
    """The prediction of a clip, pooled over its patches.

    Attributes:
        clip_id: Id of the clip.
        num_patches: Number of patches, at least 1.
        activations_mean: float32 [num_classes].
        activations_max: float32 [num_classes].
        embedding_mean: float32 [embedding_size].
    """

    clip_id: str
    num_patches: int
    activations_mean: FloatArray
    activations_max: FloatArray
    embedding_mean: FloatArray


def clips_table(shard: Shard, spec: DatasetSpec, model: ModelSpec) -> pa.Table:
    """One row for every clip of the shard that has patches."""
    clips = [
        Pooled(
            clip.clip_id,
            len(prediction.activations),
            mean_over_patches(prediction.activations),
            prediction.activations.max(axis=0),
            mean_over_patches(prediction.embeddings),
        )
        for clip, prediction in _predictions(shard, model)
        if len(prediction.activations)
    ]
    return pooled_table(clips, spec, model)


def pooled_table(
    clips: Sequence[Pooled], spec: DatasetSpec, model: ModelSpec
) -> pa.Table:
    """One row for every clip."""
    mean = [clip.activations_mean for clip in clips]
    columns = {
        "clip_id": np.array([clip.clip_id for clip in clips], object),
        "num_patches": np.array([clip.num_patches for clip in clips], np.int32),
        "activations_mean": _stack(mean, len(model.labels)),
        "activations_max": _stack(
            [clip.activations_max for clip in clips], len(model.labels)
        ),
        "top_labels": [_top_labels(scores, model.labels) for scores in mean],
        "embedding_mean": _stack(
            [clip.embedding_mean for clip in clips], model.embedding_size
        ),
    }
    return _to_table(columns, clips_schema(spec, model))


def clip_events(
    clip: Clip,
    blocks: Iterable[FloatArray],
    num_patches: int,
    patch_spec: PatchSpec,
    thresholds: LabelThresholds,
    settings: EventSettings,
) -> pa.Table:
    """One row for every event of a clip.

    Args:
        clip: Clip with `info`.
        blocks: Activations of consecutive patches, float32 [any number, num_classes].
        num_patches: Number of patches.
        patch_spec: How patches were cut.
        thresholds: Thresholds of the model's labels.
        settings: What counts as an event.
    """
    assert clip.info
    times = PatchTimes(
        num_patches,
        patch_spec.patch_hop * HOP_SAMPLES,
        PATCH_SAMPLES,
        SAMPLE_RATE_HZ,
        clip.start_s or 0.0,
        clip.info.duration_s,
    )
    events = find_events(blocks, times, thresholds, settings)
    return events_table(
        events, times, thresholds.labels, clip.clip_id, clip.uri, clip.recorded_at
    )


def _predictions(shard: Shard, model: ModelSpec) -> list[tuple[Clip, Prediction]]:
    return [(c, c.predictions[model.name]) for c in shard.clips if c.predictions]


def _stack(vectors: list[FloatArray], size: int) -> FloatArray:
    """float32 [num_rows, size] of vectors [size] or matrices [n, size]."""
    return np.vstack([np.empty((0, size), np.float32), *vectors])


def _top_labels(scores: FloatArray, labels: tuple[str, ...]) -> list[dict[str, object]]:
    best = top_labels(scores, labels, NUM_TOP_LABELS)
    return [{"label": label, "score": score} for label, score in best]


def rounded(values: FloatArray) -> FloatArray:
    """Rounds float32 to half precision, IEEE 754 binary16: 11 bits, up to 65,504.

    Larger values become the largest one.
    """
    largest = np.finfo(np.float16).max
    return np.clip(values, -largest, largest).astype(np.float16).astype(np.float32)


def _to_table(columns: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(
        [_to_array(columns[field.name], field.type) for field in schema], schema=schema
    )


def _to_array(values: object, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        assert isinstance(values, np.ndarray)
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=kind)
    return pa.array(values, kind)
