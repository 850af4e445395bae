"""Keeps the samples of segments during the first pass over a recording."""

import numpy as np

from transforms.elements import FloatArray
from transforms.front_end.patches import HOP_SAMPLES, PATCH_FRAMES, PatchSpec
from transforms.recordings.measure import (
    BATCH_PATCHES,
    Recording,
    Segment,
    inner_segment,
)
from transforms.recordings.unfinished import MAX_KEPT_BYTES, UnfinishedRecording


class KeptSamples:
    """Writes the samples of each segment to the folder of the recording.

    Args:
        folder: Folder of the recording.
        spec: How patches are cut.
        segment_patches: Number of patches in a segment.

    Attributes:
        is_full: Whether the space for samples of all recordings is used up. Then
            nothing is kept of this recording.
    """

    def __init__(
        self, folder: UnfinishedRecording, spec: PatchSpec, segment_patches: int
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._segment_patches = segment_patches
        self._index = 0
        self._num_bytes = folder.num_kept_bytes()
        self.is_full = False
        # The samples from the start of the next segment on.
        self._parts: list[FloatArray] = []
        self._first = 0
        self._end = 0

    def take(self, samples: FloatArray) -> None:
        """Takes the next samples of the recording."""
        if self.is_full:
            return
        self._parts.append(samples)
        self._end += len(samples)
        segment = inner_segment(self._index, self._segment_patches, self._spec)
        while not self.is_full and self._end > self._enough_after(segment):
            self._write(segment)
            segment = inner_segment(self._index, self._segment_patches, self._spec)

    def finish(self, recording: Recording) -> None:
        """Writes the samples of the last segments, if samples were taken."""
        if not self._parts:
            return
        for segment in recording.segments(self._spec)[self._index :]:
            if not self.is_full:
                self._write(segment)

    def _enough_after(self, segment: Segment) -> int:
        """Number of samples above which a segment is not the last of its recording."""
        last_patch = segment.patches[1] + BATCH_PATCHES - 1
        num_frames = last_patch * self._spec.patch_hop + PATCH_FRAMES
        return (num_frames - 2) * HOP_SAMPLES

    def _write(self, segment: Segment) -> None:
        first, stop = segment.samples
        samples = np.concatenate(self._parts)
        part = samples[first - self._first : stop - self._first]
        self._num_bytes += part.nbytes
        if self._num_bytes > MAX_KEPT_BYTES:
            self.is_full = True
            self._parts.clear()
            self._folder.forget_samples()
            return
        self._folder.write_samples(segment.index, part)
        self._index = segment.index + 1
        # The next segment begins before this one ends.
        following = inner_segment(self._index, self._segment_patches, self._spec)
        self._parts = [samples[following.samples[0] - self._first :]]
        self._first = following.samples[0]
