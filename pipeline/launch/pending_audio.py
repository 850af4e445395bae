"""PendingAudio: how much audio a run has to do, corrected as durations become known."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


class PendingAudio:
    """Seconds of audio of the clips that are left to do.

    Args:
        clip_ids: Ids of the clips.
        audio_s: float64 [number of clips], predicted seconds of audio.
        longest_s: Duration above which clips are computed in segments.
    """

    def __init__(
        self,
        clip_ids: pa.ChunkedArray,
        audio_s: npt.NDArray[np.float64],
        longest_s: float,
    ) -> None:
        self._clip_ids = clip_ids
        self._predicted_s = audio_s
        self._is_recording = audio_s > longest_s
        self._measured_s: dict[int, float] = {}
        self._rows: dict[str, int] = {}
        self.total_s = float(audio_s.sum())

    @property
    def has_recordings(self) -> bool:
        """Whether a clip is computed in segments, by its prediction or its duration."""
        return bool(self._measured_s) or bool(self._is_recording.any())

    def measure(self, clip_id: str, duration_s: float) -> None:
        """Takes the true duration of a recording."""
        if clip_id not in self._rows:
            self._rows[clip_id] = pc.index(self._clip_ids, clip_id).as_py()
            if self._rows[clip_id] >= 0:
                self._measured_s[self._rows[clip_id]] = duration_s
                self.total_s = self._corrected_s()

    def _corrected_s(self) -> float:
        """Total in which recordings are as much longer than predicted as the known."""
        rows, durations_s = list(self._measured_s), list(self._measured_s.values())
        ratio = sum(durations_s) / self._predicted_s[rows].sum()
        seconds = np.where(self._is_recording, ratio, 1.0) * self._predicted_s
        seconds[rows] = durations_s
        return float(seconds.sum())
