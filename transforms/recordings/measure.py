"""The first pass over a long recording: reads it once and keeps what segments need.

Results of a recording depend on all of it: its mean and its peak, the state of the
resampler, its length. The first pass finds them without keeping the samples. Segments
can then be computed alone, with the numbers of the whole.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from transforms.audio import DC_OFFSET, finite_error
from transforms.elements import AudioInfo, FloatArray
from transforms.front_end.patches import (
    PATCH_FRAMES,
    Level,
    PatchSpec,
    count_frames,
    samples_of_frames,
)
from transforms.job_control.status import report_read
from transforms.resampling.parts import Checkpoint, PartResampler

# Engines take batches of 16 or 64 patches, and may sum in another order for fewer.
# Segments of whole batches, of which none is small, give the numbers of the whole.
BATCH_PATCHES = 64
# Samples that are resampled at a time, about a second.
_PUSHED_SAMPLES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive patches of a recording, and the frames and samples that they need.

    Attributes:
        index: Number of the segment in its recording.
        patches: First patch and end of the patches.
        frames: First frame and end of the frames.
        samples: First sample at 22,050 Hz and end of the samples.
        is_last: Whether the recording ends with this segment.
    """

    index: int
    patches: tuple[int, int]
    frames: tuple[int, int]
    samples: tuple[int, int]
    is_last: bool


@dataclasses.dataclass(frozen=True)
class Recording:
    """What the first pass found out about a long clip.

    Attributes:
        info: Properties of the audio.
        flags: Flags of the clip, without `silent`.
        first: Index in the file of the first sample of the clip.
        file_size: Size of the file in bytes, to notice that it has changed.
        file_modified: When the file was modified, as text; None if unknown.
        can_seek: Whether parts of the file can be read without what is before them.
        num_source: Number of samples at the sample rate of the file.
        num_samples: Number of samples at 22,050 Hz.
        level: Mean and extremes of the samples at 22,050 Hz.
        segment_patches: Patches in a segment; the last may have up to 63 more.
        checkpoints: For each segment, a place from which the resampler can start.
    """

    info: AudioInfo
    flags: tuple[str, ...]
    first: int
    file_size: int
    can_seek: bool
    num_source: int
    num_samples: int
    level: Level
    segment_patches: int
    checkpoints: tuple[Checkpoint, ...]
    file_modified: str | None = None

    def segments(self, spec: PatchSpec) -> list[Segment]:
        """The segments of the recording; at least one."""
        num_frames = count_frames(self.num_samples)
        num_patches = spec.num_patches(num_frames)
        last = max(0, num_patches - BATCH_PATCHES) // self.segment_patches
        inner = [inner_segment(i, self.segment_patches, spec) for i in range(last)]
        first_patch = last * self.segment_patches
        frames = (first_patch * spec.patch_hop, num_frames)
        samples = (max(0, samples_of_frames(*frames)[0]), self.num_samples)
        patches = (first_patch, num_patches)
        return [*inner, Segment(last, patches, frames, samples, is_last=True)]

    def as_json(self) -> dict[str, Any]:
        """The recording as values that JSON keeps exactly."""
        level = {name: float(x) for name, x in self.level._asdict().items()}
        return {**dataclasses.asdict(self), "level": level}

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Recording":
        """The recording that `as_json` gave.

        Raises:
            TypeError, ValueError, KeyError: if the values are not those of a recording.
        """
        level = {name: np.float32(x) for name, x in values["level"].items()}
        converted = {
            "info": AudioInfo(**values["info"]),
            "flags": tuple(values["flags"]),
            "level": Level(**level),
            "checkpoints": tuple(Checkpoint(*c) for c in values["checkpoints"]),
        }
        return Recording(**{**values, **converted})


def inner_segment(index: int, segment_patches: int, spec: PatchSpec) -> Segment:
    """A segment that is not the last of its recording."""
    first, stop = index * segment_patches, (index + 1) * segment_patches
    frames = (first * spec.patch_hop, (stop - 1) * spec.patch_hop + PATCH_FRAMES)
    begin, end = samples_of_frames(*frames)
    return Segment(index, (first, stop), frames, (max(0, begin), end), is_last=False)


def segment_patches_for(spec: PatchSpec, duration_s: float) -> int:
    """Number of patches in segments of about this duration: whole batches."""
    (hop_s,) = spec.start_s(np.array([1])).tolist()
    return BATCH_PATCHES * max(1, round(duration_s / (BATCH_PATCHES * hop_s)))


class FirstPass:
    """Takes the samples of a recording in order.

    Attributes:
        num_source: Number of samples taken.
    """

    def __init__(
        self, sample_rate_hz: int, spec: PatchSpec, segment_patches: int
    ) -> None:
        self.num_source = 0
        self._num_bad = 0
        self._total = 0.0
        self._sample_rate_hz = sample_rate_hz
        self._spec = spec
        self._segment_patches = segment_patches
        self._resampler = PartResampler(sample_rate_hz)
        self._checkpoints: list[Checkpoint] = []
        self._sum = np.float32(0)
        self._lowest, self._highest = np.float32(np.inf), np.float32(-np.inf)
        self._num_samples = 0

    def take(self, chunks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Takes all samples; yields the samples at 22,050 Hz as they are computed."""
        for samples in _read_ahead(_grouped(chunks)):
            self.num_source += len(samples)
            report_read(self.num_source / self._sample_rate_hz)
            self._num_bad += len(samples) - int(np.count_nonzero(np.isfinite(samples)))
            self._total += float(samples.sum(dtype=np.float64))
            before = self._resampler.checkpoint
            with np.errstate(invalid="ignore", over="ignore"):
                yield self._measured(self._resampler.push(samples), before)
        before = self._resampler.checkpoint
        yield self._measured(self._resampler.finish(), before)

    def _measured(self, samples: FloatArray, before: Checkpoint) -> FloatArray:
        self._num_samples += len(samples)
        if len(samples):
            # In the order of the samples, as Essentia's Mean sums.
            sums = np.add.accumulate(np.concatenate([[self._sum], samples]), dtype="f4")
            self._sum = sums[-1]
            self._lowest = min(self._lowest, samples.min())
            self._highest = max(self._highest, samples.max())
        while self._num_samples > self._next_start():
            self._checkpoints.append(before)
        return samples

    def _next_start(self) -> int:
        """Index of the first sample of the next segment without a checkpoint."""
        index = len(self._checkpoints)
        return inner_segment(index, self._segment_patches, self._spec).samples[0]

    def recording(
        self,
        clip_id: str,
        info: AudioInfo,
        flags: tuple[str, ...],
        first: int,
        file_size: int,
        can_seek: bool,
    ) -> Recording:
        """The recording, after all samples were taken.

        Raises:
            ClipError: non_finite.
        """
        if self._num_bad:
            raise finite_error(clip_id, self._num_bad, self.num_source)
        if abs(self._total / self.num_source) >= DC_OFFSET:
            flags = (*flags, "dc_offset")
        mean = np.float32(self._sum / np.float32(self._num_samples))
        return Recording(
            info=info,
            flags=flags,
            first=first,
            file_size=file_size,
            # Decoding leaves out damaged parts, and seeking does not know of them.
            can_seek=can_seek and "damaged" not in flags,
            num_source=self.num_source,
            num_samples=self._num_samples,
            level=Level(mean, self._lowest, self._highest),
            segment_patches=self._segment_patches,
            checkpoints=tuple(self._checkpoints),
        )


def _read_ahead(chunks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """Yields chunks, each read by a thread while the one before it is in use."""
    with ThreadPoolExecutor(1, "first-pass") as reader:
        following = reader.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = reader.submit(next, chunks, None)
            yield chunk


def _grouped(chunks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """Joins short chunks, because each call of the resampler takes its time."""
    group: list[FloatArray] = []
    size = 0
    for chunk in chunks:
        group.append(chunk)
        size += len(chunk)
        if size >= _PUSHED_SAMPLES:
            yield np.concatenate(group)
            group, size = [], 0
    if group:
        yield np.concatenate(group)
