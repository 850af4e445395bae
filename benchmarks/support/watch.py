"""Measures start-up, time and memory of a run of `fsdsinet extract` from outside."""

import contextlib
import os
import pathlib
import subprocess
import time

from pipeline.runners.job_process import LOCAL_JOB
from transforms.job_control.status import (
    STATUS_FOLDER_VARIABLE,
    WorkerStatus,
    read_statuses,
)

_POLL_S = 0.1


class Watch:
    """Measurements of one run.

    Attributes:
        first_patch_s: Seconds from the start of the command to its first patch.
        worker_s: Seconds from a worker's first clip to its last, summed over workers.
        peak_mb: Peak memory of the worker that needed the most memory.
    """

    def __init__(self) -> None:
        self.first_patch_s = 0.0
        self.peak_mb = 0.0
        self._start = time.perf_counter()
        self._folder: str | None = None
        self._first_seen: dict[int, float] = {}
        self._last_changed: dict[int, tuple[WorkerStatus, float]] = {}

    @property
    def worker_s(self) -> float:
        ends = {pid: moment for pid, (_, moment) in self._last_changed.items()}
        return sum(ends[pid] - begin for pid, begin in self._first_seen.items())

    def until_end(self, process: subprocess.Popen[bytes]) -> float:
        """Watches a launcher until it ends; returns its wall time in seconds."""
        while process.poll() is None:
            self._folder = self._folder or _status_folder()
            if self._folder:
                self._look()
            time.sleep(_POLL_S)
        return time.perf_counter() - self._start

    def _look(self) -> None:
        now = time.perf_counter()
        for pid, status in read_statuses(str(self._folder)).items():
            self._first_seen.setdefault(pid, now)
            if self._last_changed.get(pid, (None,))[0] != status:
                self._last_changed[pid] = status, now
            if status.num_patches and not self.first_patch_s:
                self.first_patch_s = now - self._start
            self.peak_mb = max(self.peak_mb, _peak_kb(pid) / 1e3)


def _status_folder() -> str | None:
    """Folder of the worker statuses of the current run; None before workers exist."""
    name = STATUS_FOLDER_VARIABLE.encode()
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if LOCAL_JOB.encode() in (folder / "cmdline").read_bytes():
                variables = (folder / "environ").read_bytes().split(b"\0")
                pairs = dict(v.partition(b"=")[::2] for v in variables)
                return os.fsdecode(pairs[name])
    return None


def _peak_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
