"""Reads parts of an audio file, to the samples that decoding the whole file gives.

Parts that follow each other cost little more than decoding once. If the format allows
to find samples exactly, what lies far ahead is not decoded.
"""

from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from transforms.decoding.ffmpeg import (
    UNKNOWN_POSITION,
    AudioFile,
    LongRecordingError,
)
from transforms.decoding.mixing import DecodedAudio, Mixer
from transforms.decoding.sample_rates import decode_error
from transforms.elements import FloatArray

# Decoding ten seconds takes about as long as finding a place in a file.
_SEEK_AHEAD_S = 10
# Number of samples that are read at a time.
_PIECE_SAMPLES = 1 << 18


class ExcerptReader:
    """Reads parts of one audio file.

    Args:
        clip_id: Id of a clip of the file, for messages.
        file: Seekable file. It is not closed with the reader.
        can_seek: Whether seeking is allowed. In a damaged file it finds other samples
            than decoding from the start, which leaves out damaged parts.

    Attributes:
        audio: The file; another object after a part that lies before the last one.

    Raises:
        ClipError: not_audio, unsupported_codec, empty or unsupported_rate.
    """

    _begin: int
    _end: int

    def __init__(self, clip_id: str, file: BinaryIO, can_seek: bool = True) -> None:
        self._clip_id = clip_id
        self._file = file
        self.audio = AudioFile(clip_id, file)
        self._can_seek = can_seek and self.audio.can_seek
        self._begin_at_start()

    def __enter__(self) -> "ExcerptReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the container, not the file."""
        self.audio.close()

    def samples_of(
        self, start_s: float | None, end_s: float | None
    ) -> tuple[int, int | None]:
        """First sample and end of the samples of an excerpt; None for the file's end.

        Args:
            start_s: Start in seconds; None for the start of the file.
            end_s: End in seconds; None for the end of the file.
        """
        rate = self.audio.sample_rate_hz
        first = round((start_s or 0.0) * rate)
        return first, None if end_s is None else round(end_s * rate)

    def read_seconds(
        self,
        clip_id: str,
        start_s: float | None,
        end_s: float | None,
        longest_s: float | None = None,
    ) -> DecodedAudio:
        """Reads samples round(start * rate) to round(end * rate), mixed to mono.

        Args:
            clip_id: Id of the clip, for messages.
            start_s: Start in seconds; None for the start of the file.
            end_s: End in seconds; None for the end of the file.
            longest_s: Duration above which nothing is returned; None for no limit.

        Returns:
            The excerpt. It has the flag `truncated` if the file ends before it.

        Raises:
            ClipError: outside_file, if the file ends before the excerpt begins;
                format_change or not_audio, if the file cannot be decoded.
            LongRecordingError: if the excerpt is longer than `longest_s`.
        """
        self._clip_id = clip_id
        rate = self.audio.sample_rate_hz
        first, stop = self.samples_of(start_s, end_s)
        end = stop
        if longest_s is not None:
            limit = first + int(longest_s * rate) + 1
            end = limit if stop is None else min(stop, limit)
        mixer = Mixer()
        samples = self.read(first, end, mixer)
        if longest_s is not None and len(samples) > longest_s * rate:
            raise LongRecordingError
        flags = mixer.flags() | self.damage()
        if not len(samples):
            raise decode_error(
                clip_id,
                "outside_file",
                f"the excerpt begins at {first / rate:g} s, and the file ends at "
                f"{self._end / rate:g} s; correct the times in the manifest",
            )
        if stop is not None and len(samples) < stop - first:
            flags.add("truncated")
        return DecodedAudio(
            samples,
            rate,
            self.audio.num_channels,
            self.audio.codec,
            tuple(sorted(flags)),
        )

    def damage(self) -> set[str]:
        """The flag `damaged` if it holds for what was last read."""
        return {"damaged"} if self.audio.is_damaged() else set()

    def pieces(
        self, first: int, stop: int | None, mixer: Mixer
    ) -> Iterator[FloatArray]:
        """Yields what `read` returns in pieces, so that memory is bounded."""
        while stop is None or first < stop:
            end = first + _PIECE_SAMPLES
            samples = self.read(first, end if stop is None else min(end, stop), mixer)
            yield samples
            first += len(samples)
            if first < end:
                return

    def read(self, first: int, stop: int | None, mixer: Mixer) -> FloatArray:
        """Reads samples `first` to `stop`, or fewer if the file ends before.

        Args:
            first: Index of the first sample.
            stop: End of the samples; None for the end of the file.
            mixer: Mixes the channels, and notes flags.

        Returns:
            float32 [num_samples], mixed to mono.

        Raises:
            ClipError: format_change or not_audio.
        """
        self._go_to(first)
        while not self._is_done and (stop is None or not self._reaches(stop)):
            self._fetch(first)
        mixed = []
        for at, channels in self._kept:
            end = None if stop is None else max(0, stop - at)
            part = channels[:, max(0, first - at) : end]
            if part.shape[1]:
                mixed.append(mixer.mix(part))
        return np.concatenate([np.empty(0, np.float32), *mixed])

    def _reaches(self, stop: int) -> bool:
        return stop <= self._end < UNKNOWN_POSITION

    def _go_to(self, first: int) -> None:
        """Drops what lies before a sample, and seeks if this saves time."""
        ahead = first - self._end
        is_far = (
            first < self._begin or ahead > _SEEK_AHEAD_S * self.audio.sample_rate_hz
        )
        if self._can_seek and is_far:
            self.audio.seek(first)
            self._frames = self.audio.frames()
            self._kept.clear()
            self._end = UNKNOWN_POSITION
            self._is_done = False
        elif first < self._begin:
            self._start_over()
        while self._kept and self._kept[0][0] + self._kept[0][1].shape[1] <= first:
            self._kept.popleft()
        self._begin = first

    def _start_over(self) -> None:
        """Opens the file again: some decoders carry a state from its start."""
        self.audio.close()
        self._file.seek(0)
        self.audio = AudioFile(self._clip_id, self._file)
        self._begin_at_start()

    def _begin_at_start(self) -> None:
        self._frames = self.audio.frames()
        # Frames that later parts may need: index of the first sample, and channels.
        self._kept: deque[tuple[int, FloatArray]] = deque()
        # Samples from `begin` to `end` are kept, as far as they were asked for. The end
        # is unknown after a seek.
        self._begin = self._end = 0
        self._is_done = False

    def _fetch(self, first: int) -> None:
        """Reads a frame, and keeps it unless it lies before a sample."""
        at, frame = next(self._frames, (UNKNOWN_POSITION, None))
        if self._end == UNKNOWN_POSITION and at > first:
            # The seek did not find the place.
            self._can_seek = False
            self._start_over()
            return
        if frame is None:
            self._is_done = True
            return
        self._end = at + frame.samples
        if self._end <= first:
            self.audio.forget_damage()
        else:
            channels = self.audio.channels([frame])[:, max(0, -at) :]
            self._kept.append((max(0, at), channels))
