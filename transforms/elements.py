"""What travels through the main job: a Shard of Clips, filled in step by step."""

import dataclasses
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class PlannedShard(NamedTuple):
    """A consecutive slice of the manifest: all that ever crosses a shuffle.

    Attributes:
        shard_id: Deterministic name, the same whenever the same rows are planned.
        manifest: The slice as an Arrow IPC stream of one record batch (see
            `transforms.manifest`), so that every column keeps its type.
    """

    shard_id: str
    manifest: bytes


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a clip has no result. Ends as a ledger row.

    Attributes:
        stage: What gave up: read, decode or worker.
        error_type: One word to group by; the README lists them.
        message: What failed, for which clip, what was found, what to do.
    """

    stage: str
    error_type: str
    message: str


class ClipError(Exception):
    """A clip cannot be processed. Caught a clip at a time and kept as a Failure."""

    def __init__(self, stage: str, error_type: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.error_type = error_type

    def failure(self) -> Failure:
        return Failure(self.stage, self.error_type, str(self))


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the file is, before downmix and resampling.

    Attributes:
        duration_s: Decoded samples over sample rate, not what a header claims.
        sample_rate_hz: As stored in the file.
        num_channels: As stored in the file.
        codec: FFmpeg's name of the codec.
    """

    duration_s: float
    sample_rate_hz: int
    num_channels: int
    codec: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One model's answer for one clip.

    Attributes:
        activations: float32 [num_patches, num_classes], each 0 to 1.
        embeddings: float32 [num_patches, embedding_size].
    """

    activations: FloatArray
    embeddings: FloatArray


@dataclasses.dataclass(frozen=True)
class Clip:
    """One manifest row on its way to the dataset; each step fills in its field.

    Attributes:
        clip_id: Unique in the run.
        uri: Where the audio is.
        info: Set by DecodeAudio.
        flags: What a reader of the results should know, for instance `short`.
        waveform: float32 [num_samples], mono, 22,050 Hz; set by DecodeAudio, dropped
            by ComputePatches.
        patches: float32 [num_patches, 101, 96]; set by ComputePatches, dropped by
            RunModels. A view with overlapping rows: copy before handing it to C.
        predictions: By model name; set by RunModels.
        failure: Set by the step that failed; later steps leave such a clip alone.
    """

    clip_id: str
    uri: str
    info: AudioInfo | None = None
    flags: tuple[str, ...] = ()
    waveform: FloatArray | None = None
    patches: FloatArray | None = None
    predictions: dict[str, Prediction] | None = None
    failure: Failure | None = None

    def failed(self, error: ClipError) -> "Clip":
        """This clip as a failure, without the data of earlier steps."""
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
        manifest: See PlannedShard.
        clips: One Clip a manifest row, in the manifest's order.
        started_s: When a worker began with it, Unix time.
    """

    shard_id: str
    manifest: bytes
    clips: tuple[Clip, ...]
    started_s: float = 0.0


class ShardSummary(NamedTuple):
    """What CommitShard emits: a committed shard in numbers."""

    shard_id: str
    num_ok: int
    num_failed: int
    num_patches: int
