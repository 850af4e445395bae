"""What the user reads on the terminal: progress lines, durations and hints."""

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

from transforms.job_control.status import WorkerStatus

_LIVE_INTERVAL_S = 0.5
_PLAIN_INTERVAL_S = 10.0
# The number of busy workers is the largest that was seen in this time.
_BUSY_S = 3.0


class Pending(Protocol):
    """Seconds of audio of the clips that are left to do; see `PendingAudio`."""

    total_s: float

    @property
    def has_recordings(self) -> bool:
        """Whether a clip is computed in segments."""

    def measure(self, clip_id: str, duration_s: float) -> None:
        """Takes the true duration of a recording."""


class ProgressLine:
    """Shows the clips and the audio done, the failures, the speed and the time left.

    A terminal shows one line that is updated; anything else gets a new line every ten
    seconds.

    Args:
        total: Number of clips in the manifest.
        stream: Stream to write to; standard error if None.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._start = self._last = time.monotonic()
        self._has_result = False
        self._committed = self._committed_failed = self._first_committed = 0
        self._committed_s = 0.0
        self._pending: Pending | None = None
        self._num_busy: list[tuple[float, int]] = []
        self._width = 0

    def set_committed(
        self, num_clips: int, num_failed: int, audio_s: float = 0.0
    ) -> None:
        """Sets the totals that earlier attempts and runs have committed.

        `update` adds the totals of the workers that run now.
        """
        if not self._has_result:
            self._first_committed = num_clips
        self._committed, self._committed_failed = num_clips, num_failed
        self._committed_s = audio_s

    def set_pending(self, pending: Pending) -> None:
        """Sets the audio of the clips that are not committed."""
        self._pending = pending

    def update(self, statuses: dict[int, WorkerStatus], note: str = "") -> None:
        """Shows the totals of the workers, and a note after them.

        A call soon after the last line shows nothing.
        """
        now = time.monotonic()
        workers = list(statuses.values())
        self._look_at(workers, now)
        interval = _LIVE_INTERVAL_S if self._live else _PLAIN_INTERVAL_S
        if now - self._last < interval:
            return
        self._last = now
        text = self._text(workers, now) + (f", {note}" if note else "")
        if self._live:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Removes the line from a terminal."""
        if self._live and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def _look_at(self, workers: list[WorkerStatus], now: float) -> None:
        """Notes what is seen only for a moment, at every call of `update`."""
        self._has_result |= any(w.clips_done for w in workers)
        busy = sum(w.clip_id is not None for w in workers)
        # A worker has no clip in hand for a moment between two parts.
        recent = [seen for seen in self._num_busy if seen[0] > now - _BUSY_S]
        self._num_busy = [*recent, (now, busy)]
        for worker in workers:
            if self._pending and worker.clip_id and worker.recording_s is not None:
                self._pending.measure(worker.clip_id, worker.recording_s)

    def _text(self, workers: list[WorkerStatus], now: float) -> str:
        done = self._committed + sum(w.clips_done for w in workers)
        failed = self._committed_failed + sum(w.clips_failed for w in workers)
        texts = [f"{done:,} of {counted(self._total)}", f"{failed:,} failed"]
        audio_s = sum(w.audio_s for w in workers)
        reused_s = sum(w.reused_s for w in workers)
        if done > self._first_committed or audio_s or reused_s:
            elapsed_s = max(now - self._start, 1e-3)
            patches = sum(w.num_patches for w in workers)
            all_s = self._committed_s + audio_s + reused_s
            texts += [
                f"{format_duration(all_s)} of audio",
                f"{patches / elapsed_s:,.0f} patches/s",
                f"{audio_s / elapsed_s:,.0f}x real time",
            ]
        return ", ".join([*texts, self._outlook(workers, done, now)])

    def _outlook(self, workers: list[WorkerStatus], done: int, now: float) -> str:
        """The time left; what the workers do if the time left is not known yet."""
        if any(w.parts_audio_s for w in workers) and self._pending:
            num_workers = max(1, *(number for _, number in self._num_busy))
            left_s = recordings_left_s(workers, self._pending.total_s, now)
            return f"{format_duration(left_s / num_workers)} left"
        reading = [w.read_s for w in workers if w.read_s is not None]
        if reading:
            what = counted(len(reading), "recording", "recordings")
            read_s = format_duration(sum(reading))
            return f"reading {what} for the first time ({read_s} so far)"
        if any(w.started_s is not None for w in workers):
            return "working on the first segments"
        if done == self._first_committed:
            begun = any(worker.clip_id is not None for worker in workers)
            return "working on the first clips" if begun else "starting workers"
        elapsed_s = max(now - self._start, 1e-3)
        audio_s = sum(w.audio_s for w in workers)
        if self._pending and self._pending.has_recordings and audio_s:
            left_s = max(0.0, self._pending.total_s - audio_s) / audio_s * elapsed_s
        else:
            num_left, num_done = self._total - done, done - self._first_committed
            left_s = num_left / num_done * elapsed_s
        return f"{format_duration(left_s)} left"


def recordings_left_s(
    workers: Iterable[WorkerStatus], pending_s: float, now: float
) -> float:
    """Time that one worker would need for the rest of a run with recordings.

    The finished parts of recordings tell how long a second of audio takes. The parts in
    hand are done in part.

    Args:
        workers: Statuses, with a finished part in at least one.
        pending_s: Seconds of audio of the clips that are not committed.
        now: Time on the monotonic clock.
    """
    workers = list(workers)
    pace = sum(w.parts_s for w in workers) / sum(w.parts_audio_s for w in workers)
    left_s = pending_s - sum(w.audio_s + w.reused_s for w in workers)
    in_hand_s = sum(now - w.started_s for w in workers if w.started_s is not None)
    return max(0.0, left_s * pace - in_hand_s)


class DownloadLine:
    """Shows the progress of a download on a terminal; writes nothing elsewhere.

    Args:
        name: Name of the file.
        stream: Stream to write to; standard error if None.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._last = time.monotonic()
        self._width = 0

    def update(self, num_bytes: int, total: int | None) -> None:
        """Shows the bytes received, and the size of the file if the server told it."""
        now = time.monotonic()
        if not self._live or now - self._last < _LIVE_INTERVAL_S:
            return
        self._last = now
        of_total = f" of {total / 1e6:,.1f}" if total is not None else ""
        text = f"{self._name}: {num_bytes / 1e6:,.1f}{of_total} MB"
        self._stream.write("\r" + text.ljust(self._width))
        self._width = len(text)
        self._stream.flush()

    def close(self) -> None:
        """Removes the line from a terminal."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()


def say(text: str) -> None:
    """Prints a line for the user on standard error."""
    print(f"fsdsinet: {text}", file=sys.stderr)


def counted(number: int, one: str = "clip", many: str = "clips") -> str:
    """Returns a number with its noun: `1 clip`, `0 clips`, `1,000 clips`."""
    return f"{number:,} {one if number == 1 else many}"


def short_list(names: Sequence[str]) -> str:
    """Returns the first names, and dots if there are more."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def format_duration(seconds: float) -> str:
    """Formats a duration for people: 5 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600:,} h {seconds % 3600 // 60} min"
