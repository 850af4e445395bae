"""The status of a worker: a small file with its totals and the clip in hand.

Beam reports metrics only at the end of a run, and says nothing of a worker that was
killed. Each worker therefore keeps one file up to date. The launcher of a local run
reads it to show progress. The process that started a worker reads it to learn on which
clip the worker died, and whether a clip takes too long. Without the environment
variable nothing is written.
"""

import contextlib
import dataclasses
import functools
import glob
import json
import os
import pathlib
import time

STATUS_FOLDER_VARIABLE = "FSDSINET_STATUS_FOLDER"
# Shortest time between two notes of the position of a first pass.
_READ_INTERVAL_S = 0.2


@dataclasses.dataclass
class WorkerStatus:
    """Totals of one worker process, and the clip in hand (None between clips).

    Attributes:
        device_computes: Whether a device computes another shard meanwhile. If the
            worker dies, nobody knows whether the clip or that shard is to blame.
        job: Folder of the cluster job that the worker works for (see `permit.py`).
        part: The part of the clip in hand, in words; None for all of it.
        limit_s: Time that the clip in hand may take from `deadline_s - limit_s` on.
        deadline_s: When the clip in hand has taken too long, on the monotonic clock,
            which all processes of a machine share. None if there is no limit.
        read_s: Seconds of the recording in hand that its first pass has read; None
            outside a first pass.
        recording_s: Duration of the recording in hand; None before its first pass.
        started_s: When the part in hand was begun, on the clock of `deadline_s`; None
            between parts.
        parts_s: Time that the finished parts of recordings took.
        parts_audio_s: Seconds of audio in the finished parts, also in `audio_s`.
        reused_s: Seconds of audio in parts that an earlier run finished.
    """

    clip_id: str | None = None
    clips_done: int = 0
    clips_failed: int = 0
    num_patches: int = 0
    audio_s: float = 0.0
    device_computes: bool = False
    job: str | None = None
    part: str | None = None
    limit_s: float | None = None
    deadline_s: float | None = None
    read_s: float | None = None
    recording_s: float | None = None
    started_s: float | None = None
    parts_s: float = 0.0
    parts_audio_s: float = 0.0
    reused_s: float = 0.0


class _StatusFile:
    """One JSON line, which a single write overwrites in place."""

    def __init__(self, folder: str) -> None:
        self.status = WorkerStatus()
        path = pathlib.Path(folder) / f"{os.getpid()}.json"
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        self.written_s = 0.0

    def write(self) -> None:
        self.written_s = time.monotonic()
        line = json.dumps(dataclasses.asdict(self.status)) + "\n"
        os.pwrite(self._descriptor, line.encode("ascii"), 0)


@functools.cache
def _status_file() -> _StatusFile | None:
    folder = os.environ.get(STATUS_FOLDER_VARIABLE)
    return _StatusFile(folder) if folder else None


def report_clip(
    clip_id: str | None, limit_s: float | None = None, part: str | None = None
) -> None:
    """Notes the clip in hand.

    Args:
        clip_id: Id of the clip; None when there is none.
        limit_s: Time after which this worker is to be killed, unless it reports again.
        part: The part of the clip in hand, in words; None for all of it.
    """
    file = _status_file()
    if file:
        if clip_id != file.status.clip_id:
            file.status.recording_s = file.status.started_s = None
        file.status.read_s = None
        file.status.clip_id = clip_id
        file.status.part = part
        file.status.limit_s = limit_s
        file.status.deadline_s = limit_s and time.monotonic() + limit_s
        file.write()


def report_read(seconds: float) -> None:
    """Notes how much of the recording in hand its first pass has read.

    A call soon after the last write notes nothing.
    """
    file = _status_file()
    if file and time.monotonic() - file.written_s >= _READ_INTERVAL_S:
        file.status.read_s = seconds
        file.write()


def begin_part(clip_id: str, part: str, recording_s: float) -> None:
    """Notes the part of a recording in hand, which `add_part` ends.

    Args:
        clip_id: Id of the recording.
        part: The part in words.
        recording_s: Duration of the recording.
    """
    file = _status_file()
    if file:
        report_clip(clip_id, part=part)
        file.status.recording_s = recording_s
        file.status.started_s = time.monotonic()
        file.write()


def report_device(computes: bool) -> None:
    """Notes whether a device computes a shard while this worker prepares another."""
    file = _status_file()
    if file:
        file.status.device_computes = computes
        file.write()


def report_job(folder: str) -> None:
    """Notes the job whose shards come next."""
    file = _status_file()
    if file:
        file.status.job = folder


def add_done(failed: bool, num_patches: int, audio_s: float) -> None:
    """Adds a finished clip to the totals."""
    file = _status_file()
    if file:
        status = file.status
        status.clips_done += 1
        status.clips_failed += failed
        status.num_patches += num_patches
        status.audio_s += audio_s
        file.write()


def add_part(num_patches: int, audio_s: float) -> None:
    """Adds the part of a recording that `begin_part` began to the totals."""
    file = _status_file()
    if file:
        status = file.status
        status.num_patches += num_patches
        status.audio_s += audio_s
        if status.started_s is not None:
            status.parts_s += time.monotonic() - status.started_s
            status.parts_audio_s += audio_s
            status.started_s = None
        file.write()


def add_reused(audio_s: float) -> None:
    """Adds parts of a recording that an earlier run finished to the totals."""
    file = _status_file()
    if file:
        file.status.reused_s += audio_s
        file.write()


def read_statuses(folder: str) -> dict[int, WorkerStatus]:
    """The last status of every worker process that wrote one, by process id."""
    statuses = {}
    # Path.glob would fail if the folder is removed meanwhile.
    for path in map(pathlib.Path, glob.glob(f"{glob.escape(folder)}/*.json")):
        # A line may be incomplete while it is written (the next call reads it again),
        # and the pool removes the file of a worker that ended.
        with contextlib.suppress(ValueError, FileNotFoundError):
            line = path.read_bytes().partition(b"\n")[0]
            statuses[int(path.stem)] = WorkerStatus(**json.loads(line))
    return statuses
