"""Computes the segments of a long recording, and joins their results."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from transforms.elements import Clip, FloatArray, Prediction, Shard, ShardSummary
from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.device_thread import run_in_turn
from transforms.front_end.patches import (
    PatchSpec,
    cut_frames,
    cut_patches,
    log_mel_of_frames,
)
from transforms.job_control.counters import timed
from transforms.job_control.permit import Permit
from transforms.parquet import count_outcomes, ledger_table
from transforms.recordings.measure import Recording, Segment
from transforms.recordings.unfinished import UnfinishedRecording
from transforms.schemas import DatasetSpec, events_schema, part_name, patches_schema
from transforms.storage import join
from transforms.tables import (
    Pooled,
    clip_events,
    patches_table,
    pooled_table,
    write_table,
    write_tables,
)


def compute_segment(
    recording: Recording,
    segment: Segment,
    samples: FloatArray,
    spec: PatchSpec,
    engines: Mapping[str, Engine],
) -> tuple[dict[str, Prediction], bool]:
    """Computes the patches of a segment and runs the models on them.

    Args:
        recording: The recording.
        segment: The segment.
        samples: float32 [segment.samples], at 22,050 Hz.
        spec: How patches are cut.
        engines: Engines by name of the model.

    Returns:
        Predictions by name of the model, and whether all frames are silent.
    """
    with timed("log_mel"):
        normalised = recording.level.normalise(samples)
        frames = cut_frames(normalised, segment.samples[0], *segment.frames)
        mel, num_silent = log_mel_of_frames(
            frames, segment.frames[0], recording.num_samples
        )
        if not segment.is_last:
            # The frames after the last whole patch belong to the next segment.
            spec = dataclasses.replace(spec, last_patch="discard")
        patches = cut_patches(mel, spec)
    with timed("inference"):
        predictions = run_in_turn(engines, patches)
    return predictions, bool(num_silent == len(mel))


def finish(
    shard: Shard,
    recording: Recording,
    folder: UnfinishedRecording,
    output: str,
    spec: DatasetSpec,
    permit: Permit | None,
) -> ShardSummary:
    """Joins the results of all segments and commits the recording, the ledger last.

    Two workers may do this at once. Both write the same rows to the same files.

    Args:
        shard: Shard with the recording alone, without results.
        recording: The recording.
        folder: Folder with the results of all segments.
        output: Folder of the dataset.
        spec: What is written.
        permit: Permit of the job.

    Raises:
        PermitError: if the job may no longer write; nothing is committed.
    """
    clip = dataclasses.replace(shard.clips[0], info=recording.info)
    segments = recording.segments(spec.patch_spec)
    num_patches = segments[-1].patches[1]
    part = part_name(shard.shard_id)
    with timed("commit"):
        for number in range(len(spec.models)):
            _write_model(clip, segments, folder, spec, number, output, part)
        is_silent = all(folder.is_silent(segment.index) for segment in segments)
        silent = ["silent"] if is_silent else []
        clip = dataclasses.replace(clip, flags=(*clip.flags, *recording.flags, *silent))
        shard = dataclasses.replace(shard, clips=(clip,))
        if permit:
            permit.check()
        ledger = ledger_table(shard, spec, num_patches)
        write_table(join(output, "ledger", part), ledger)
    folder.remove()
    return count_outcomes(shard, num_patches)


def _write_model(
    clip: Clip,
    segments: Sequence[Segment],
    folder: UnfinishedRecording,
    spec: DatasetSpec,
    number: int,
    output: str,
    part: str,
) -> None:
    """Writes the tables of one model."""
    model, name = spec.models[number], f"model={spec.models[number].name}"
    pooling = _Pooling(clip.clip_id)
    tables = _tables(clip, segments, folder, spec, number, pooling)
    if spec.has_patches:
        schema = patches_schema(spec, model)
        write_tables(join(output, "patches", name, part), schema, tables)
    else:
        # Only pools.
        collections.deque(tables, maxlen=0)
    pooled = pooled_table(pooling.result(), spec, model)
    write_table(join(output, "clips", name, part), pooled)
    if spec.events:
        blocks = (
            folder.read_prediction(segment.index, number).activations
            for segment in segments
        )
        thresholds = spec.events.of_labels(model.labels)
        num_patches = segments[-1].patches[1]
        events = clip_events(
            clip, blocks, num_patches, spec.patch_spec, thresholds, spec.events
        )
        schema = events_schema(spec, model)
        write_tables(join(output, "events", name, part), schema, [events])


def _tables(
    clip: Clip,
    segments: Sequence[Segment],
    folder: UnfinishedRecording,
    spec: DatasetSpec,
    number: int,
    pooling: "_Pooling",
) -> Iterator[pa.Table]:
    """Yields the patches of each segment, and pools them."""
    model: ModelSpec = spec.models[number]
    for segment in segments:
        prediction = folder.read_prediction(segment.index, number)
        pooling.add(prediction)
        part = dataclasses.replace(clip, predictions={model.name: prediction})
        yield patches_table(Shard("", (part,)), spec, model, segment.patches[0])


class _Pooling:
    """Pools predictions over patches, to the bits of `mean_over_patches` on all."""

    def __init__(self, clip_id: str) -> None:
        self._clip_id = clip_id
        self._num_patches = 0
        self._sums: list[np.ndarray] = []
        self._highest: FloatArray | None = None

    def add(self, prediction: Prediction) -> None:
        matrices = (prediction.activations, prediction.embeddings)
        if not len(matrices[0]):
            return
        # Sums run over the patches in order.
        before = self._sums or [np.zeros((0, m.shape[1])) for m in matrices]
        self._sums = [
            np.add.reduce(np.concatenate([sums.reshape(-1, m.shape[1]), m]), axis=0)
            for sums, m in zip(before, matrices, strict=True)
        ]
        self._num_patches += len(matrices[0])
        highest = matrices[0].max(axis=0)
        if self._highest is not None:
            highest = np.maximum(self._highest, highest)
        self._highest = highest

    def result(self) -> list[Pooled]:
        """The pooled clip; nothing if it has no patches."""
        if self._highest is None:
            return []
        activations, embeddings = (
            (sums / self._num_patches).astype(np.float32) for sums in self._sums
        )
        return [
            Pooled(
                self._clip_id,
                self._num_patches,
                activations,
                self._highest,
                embeddings,
            )
        ]
