"""What the user reads on the terminal: progress lines, durations and hints."""

import sys
import time
from collections.abc import Iterable
from typing import TextIO

from transforms.job_control.status import WorkerStatus

_LIVE_INTERVAL_S = 0.5
_PLAIN_INTERVAL_S = 10.0


class ProgressLine:
    """Shows the clips done, the failures, the speed and the time left.

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
        self._first_result: float | None = None
        self._committed = self._committed_failed = self._first_committed = 0
        self._width = 0

    def set_committed(self, num_clips: int, num_failed: int) -> None:
        """Sets the totals that earlier attempts and runs have committed.

        `update` adds the totals of the workers that run now.
        """
        if self._first_result is None:
            self._first_committed = num_clips
        self._committed, self._committed_failed = num_clips, num_failed

    def update(self, statuses: dict[int, WorkerStatus], note: str = "") -> None:
        """Shows the totals of the workers, and a note after them.

        A call soon after the last line shows nothing.
        """
        now = time.monotonic()
        interval = _LIVE_INTERVAL_S if self._live else _PLAIN_INTERVAL_S
        if now - self._last < interval:
            return
        self._last = now
        workers = list(statuses.values())
        if self._first_result is None and any(w.clips_done for w in workers):
            self._first_result = now
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

    def _text(self, workers: Iterable[WorkerStatus], now: float) -> str:
        workers = list(workers)
        done = self._committed + sum(w.clips_done for w in workers)
        failed = self._committed_failed + sum(w.clips_failed for w in workers)
        if done == self._first_committed:
            begun = any(worker.clip_id is not None for worker in workers)
            doing = "working on the first clips" if begun else "starting workers"
            return f"{done:,} of {counted(self._total)}, {failed:,} failed, {doing}"
        elapsed_s = max(now - self._start, 1e-3)
        patches = sum(w.num_patches for w in workers) / elapsed_s
        audio = sum(w.audio_s for w in workers) / elapsed_s
        clips_per_s = (done - self._first_committed) / elapsed_s
        left_s = (self._total - done) / clips_per_s
        return (
            f"{done:,} of {counted(self._total)}, {failed:,} failed, "
            f"{patches:,.0f} patches/s, {audio:,.0f}x real time, "
            f"{format_duration(left_s)} left"
        )


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


def format_duration(seconds: float) -> str:
    """Formats a duration for people: 5 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600:,} h {seconds % 3600 // 60} min"
