"""Reads parts of an audio file, to the samples that decoding the whole file gives.

Parts that follow each other cost little more than decoding once. If the format allows
to find samples exactly, what lies far ahead is not decoded.
"""

from collections import deque
from typing import BinaryIO

import numpy as np

from transforms.decoding.ffmpeg import UNKNOWN_POSITION, AudioFile
from transforms.decoding.mixing import DecodedAudio, Mixer
from transforms.decoding.sample_rates import decode_error
from transforms.elements import FloatArray

# Decoding ten seconds takes about as long as finding a place in a file.
_SEEK_AHEAD_S = 10


class ExcerptReader:
    """Reads parts of one audio file.

    Args:
        clip_id: Id of a clip of the file, for messages.
        file: Seekable file. It is not closed with the reader.

    Raises:
        ClipError: not_audio, unsupported_codec, empty or unsupported_rate.
    """

    _begin: int
    _end: int

    def __init__(self, clip_id: str, file: BinaryIO) -> None:
        self._clip_id = clip_id
        self._file = file
        self._audio = AudioFile(clip_id, file)
        self._can_seek = self._audio.can_seek
        self._begin_at_start()

    def __enter__(self) -> "ExcerptReader":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the container, not the file."""
        self._audio.close()

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the file."""
        return self._audio.sample_rate_hz

    def read_seconds(
        self, clip_id: str, start_s: float | None, end_s: float | None
    ) -> DecodedAudio:
        """Reads samples round(start * rate) to round(end * rate), mixed to mono.

        Args:
            clip_id: Id of the clip, for messages.
            start_s: Start in seconds; None for the start of the file.
            end_s: End in seconds; None for the end of the file.

        Returns:
            The excerpt. It has the flag `truncated` if the file ends before it.

        Raises:
            ClipError: outside_file, if the file ends before the excerpt begins;
                format_change or not_audio, if the file cannot be decoded.
        """
        self._clip_id = clip_id
        rate = self.sample_rate_hz
        first = round((start_s or 0.0) * rate)
        stop = None if end_s is None else round(end_s * rate)
        samples, flags = self.read(first, stop)
        if not len(samples):
            raise decode_error(
                clip_id,
                "outside_file",
                f"the excerpt begins at {first / rate:g} s, and the file ends at "
                f"{self._end / rate:g} s; correct the times in the manifest",
            )
        if stop is not None and len(samples) < stop - first:
            flags.add("truncated")
        audio = self._audio
        return DecodedAudio(
            samples, rate, audio.num_channels, audio.codec, tuple(sorted(flags))
        )

    def read(self, first: int, stop: int | None) -> tuple[FloatArray, set[str]]:
        """Reads samples `first` to `stop`, or fewer if the file ends before.

        Args:
            first: Index of the first sample.
            stop: End of the samples; None for the end of the file.

        Returns:
            float32 [num_samples], mixed to mono, and those of the flags
            channels_cancel, clipped, damaged and multichannel that hold for them.

        Raises:
            ClipError: format_change or not_audio.
        """
        self._go_to(first)
        while not self._is_done and (stop is None or not self._reaches(stop)):
            self._fetch(first)
        mixer = Mixer()
        mixed = []
        for at, channels in self._kept:
            end = None if stop is None else max(0, stop - at)
            part = channels[:, max(0, first - at) : end]
            if part.shape[1]:
                mixed.append(mixer.mix(part))
        flags = mixer.flags()
        if self._audio.is_damaged():
            flags.add("damaged")
        return np.concatenate([np.empty(0, np.float32), *mixed]), flags

    def _reaches(self, stop: int) -> bool:
        return stop <= self._end < UNKNOWN_POSITION

    def _go_to(self, first: int) -> None:
        """Drops what lies before a sample, and seeks if this saves time."""
        ahead = first - self._end
        is_far = first < self._begin or ahead > _SEEK_AHEAD_S * self.sample_rate_hz
        if self._can_seek and is_far:
            self._audio.seek(first)
            self._frames = self._audio.frames()
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
        self._audio.close()
        self._file.seek(0)
        self._audio = AudioFile(self._clip_id, self._file)
        self._begin_at_start()

    def _begin_at_start(self) -> None:
        self._frames = self._audio.frames()
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
            self._audio.forget_damage()
        else:
            channels = self._audio.channels(frame)[:, max(0, -at) :]
            self._kept.append((max(0, at), channels))
