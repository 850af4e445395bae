"""The elements of the pipeline: a Shard of Clips, which each step fills in."""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float32]


class PlannedShard(NamedTuple):
    """A consecutive slice of the manifest. No other element crosses a shuffle.

    Attributes:
        shard_id: Deterministic name, the same whenever the same rows are planned.
        manifest: The slice as an Arrow IPC stream of one record batch (see
            `transforms.manifest`), so that every column keeps its type.
    """

    shard_id: str
    manifest: bytes


@dataclasses.dataclass(frozen=True)
class Failure:
    """The reason why a clip has no result. Becomes a ledger row.

    Attributes:
        stage: The step that failed: read, decode or worker.
        error_type: One word to group by; docs/dataset.md lists all of them.
        message: What failed, for which clip, what was found and what to do.
    """

    stage: str
    error_type: str
    message: str


class ClipError(Exception):
    """A clip cannot be processed. Each step catches it and stores a Failure."""

    def __init__(self, stage: str, error_type: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.error_type = error_type

    def failure(self) -> Failure:
        return Failure(self.stage, self.error_type, str(self))


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """Properties of an audio file, before downmix and resampling.

    Attributes:
        duration_s: Number of decoded samples divided by the sample rate; not the
            duration that a header claims.
        sample_rate_hz: Sample rate of the file.
        num_channels: Number of channels of the file.
        codec: FFmpeg's name of the codec; empty for samples in memory.
    """

    duration_s: float
    sample_rate_hz: int
    num_channels: int
    codec: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The output of one model for one clip.

    Attributes:
        activations: float32 [num_patches, num_classes], each 0 to 1.
        embeddings: float32 [num_patches, embedding_size].
    """

    activations: FloatArray
    embeddings: FloatArray


@dataclasses.dataclass(frozen=True, repr=False)
class LabelledPrediction(Prediction):
    """A Prediction that can be read without its model.

    Attributes:
        labels: Class names, in the order of the activations.
        start_s: float64 [num_patches], start of every patch in the clip in seconds.
        flags: What a reader of the numbers should know, for instance `short`.
    """

    labels: tuple[str, ...]
    start_s: npt.NDArray[np.float64]
    flags: tuple[str, ...] = ()

    def top(self, count: int = 10) -> list[tuple[str, float]]:
        """The labels with the highest mean activation, and these means."""
        if not len(self.activations):
            return []
        return top_labels(mean_over_patches(self.activations), self.labels, count)

    def __repr__(self) -> str:
        best = ", ".join(f"{label} {score:.2f}" for label, score in self.top(3))
        return f"<{len(self.start_s)} patches: {best}>"


@dataclasses.dataclass(frozen=True)
class EmbedResult:
    """The output of EmbedAudio for one uri: predictions, or the reason for none.

    Attributes:
        uri: The uri as given.
        info: Properties of the file; None if it could not be decoded.
        predictions: One prediction for every model, by model name; empty on failure.
        failure: The reason why there are no predictions; None if there are.
    """

    uri: str
    info: AudioInfo | None
    predictions: dict[str, LabelledPrediction]
    failure: Failure | None = None


def mean_over_patches(values: FloatArray) -> FloatArray:
    """Mean of [num_patches, size] over patches, summed in float64: float32 [size]."""
    return values.mean(axis=0, dtype=np.float64).astype(np.float32)


def top_labels(
    scores: FloatArray, labels: tuple[str, ...], count: int
) -> list[tuple[str, float]]:
    """The labels with the highest scores, best first; equal scores keep their order."""
    best = np.argsort(-scores, kind="stable")[:count]
    return [(labels[index], float(scores[index])) for index in best]


@dataclasses.dataclass(frozen=True)
class Clip:
    """One manifest row on its way to the dataset; each step fills in its field.

    Attributes:
        clip_id: Name of the clip, unique in the run.
        uri: Path or uri of the audio.
        info: Set by DecodeAudio.
        flags: What a reader of the results should know, for instance `short`.
        waveform: float32 [num_samples], mono, 22,050 Hz; set by DecodeAudio, dropped
            by ComputePatches.
        patches: float32 [num_patches, 101, 96]; set by ComputePatches, dropped by
            RunModels. A view with overlapping rows: copy before handing it to C.
        predictions: By model name; set by RunModels.
        failure: Set by the step that failed; later steps leave such a clip alone.
        start_s: If the clip is an excerpt of the file, its start in seconds; None for
            the start of the file.
        end_s: End of the excerpt; None for the end of the file.
        is_long: Set by DecodeAudio instead of a waveform if the clip is a long
            recording, which RunRecordings computes in segments.
        recorded_at: When the recording of the file started, as ISO 8601 text; from the
            manifest, until DecodeAudio chooses among all sources.
        recorded_at_source: What stated `recorded_at`, see `transforms.recorded_at`.
    """

    clip_id: str
    uri: str
    info: AudioInfo | None = None
    flags: tuple[str, ...] = ()
    waveform: FloatArray | None = None
    patches: FloatArray | None = None
    predictions: dict[str, Prediction] | None = None
    failure: Failure | None = None
    start_s: float | None = None
    end_s: float | None = None
    is_long: bool = False
    recorded_at: str | None = None
    recorded_at_source: str | None = None

    def failed(self, error: ClipError) -> "Clip":
        """This clip with a failure and without the data of earlier steps."""
        return dataclasses.replace(
            self,
            waveform=None,
            patches=None,
            predictions=None,
            failure=error.failure(),
        )


@dataclasses.dataclass(frozen=True)
class Shard:
    """The unit of work, of batching and of commit.

    Attributes:
        shard_id: See PlannedShard.
        clips: One Clip for every manifest row, in the manifest's order.
        rows: The manifest rows, from which CommitShard copies columns to the ledger;
            None where nothing is committed.
        started_s: When a worker began with the shard, Unix time.
    """

    shard_id: str
    clips: tuple[Clip, ...]
    rows: pa.RecordBatch | None = None
    started_s: float = 0.0

    def alone(self, index: int) -> "Shard":
        """The shard that has only one of the clips."""
        clip = self.clips[index]
        rows = None if self.rows is None else self.rows.slice(index, 1)
        return Shard(shard_name([clip.clip_id]), (clip,), rows, self.started_s)

    def without(self, indices: Collection[int]) -> "Shard":
        """The shard without some of the clips, under the same name."""
        kept = [i for i in range(len(self.clips)) if i not in indices]
        rows = None if self.rows is None else self.rows.take(pa.array(kept))
        clips = tuple(self.clips[i] for i in kept)
        return dataclasses.replace(self, clips=clips, rows=rows)


def shard_name(clip_ids: Sequence[str]) -> str:
    """Name of the shard that has these clips: a hash of their ids."""
    text = json.dumps(list(clip_ids)).encode("utf-8")
    return hashlib.blake2b(text, digest_size=10).hexdigest()


class ShardSummary(NamedTuple):
    """The output of CommitShard: counts of a committed shard."""

    shard_id: str
    num_ok: int
    num_failed: int
    num_patches: int
