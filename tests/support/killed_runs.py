"""Observes the workers of a run; suspends or kills one that works on a given clip."""

import contextlib
import glob
import json
import os
import pathlib
import signal
from collections.abc import Collection, Iterator

from tests.support.datasets import assert_tidy, read
from tests.support.processes import (
    DEADLINE_S,
    alive,
    resume,
    running,
    suspend,
    wait_for,
)

LONG_CLIP = "long"


def num_committed(output: pathlib.Path) -> int:
    """The number of committed shards of a dataset."""
    return len(list(output.glob("ledger/part-*.parquet")))


def workers_on(tmp: pathlib.Path, clip_id: str | None = LONG_CLIP) -> list[int]:
    """Process ids of the workers that are working on a clip.

    Args:
        tmp: Folder for the temporary files of the workers.
        clip_id: Id of the clip; None for any clip.
    """
    found = []
    # Not Path.glob, which fails if a folder is removed while it searches.
    for path in map(pathlib.Path, glob.glob(f"{tmp}/fsdsinet-*/*.json")):
        with contextlib.suppress(ValueError, FileNotFoundError):
            line = path.read_bytes().partition(b"\n")[0]
            clip = json.loads(line)["clip_id"]
            if clip is not None and clip_id in (clip, None) and alive(int(path.stem)):
                found.append(int(path.stem))
    return found


@contextlib.contextmanager
def worker_held(
    tmp: pathlib.Path, clip_id: str | None = LONG_CLIP, killed: Collection[int] = ()
) -> Iterator[int]:
    """Suspends a worker that is working on a clip, and yields its process id.

    The shard of the clip cannot be committed meanwhile, so the run cannot end,
    however fast or slow the machine is.

    Args:
        tmp: Folder for the temporary files of the workers.
        clip_id: Id of the clip; None for any clip.
        killed: Process ids of workers that were killed before.
    """
    pid = wait_for(lambda: _suspend_worker(tmp, clip_id, killed))
    assert pid is not None
    try:
        yield pid
    finally:
        resume(pid)


def _suspend_worker(
    tmp: pathlib.Path, clip_id: str | None, killed: Collection[int]
) -> int | None:
    for pid in set(workers_on(tmp, clip_id)) - {*killed}:
        suspend(pid)
        # The worker may have gone on to another clip before it stopped.
        if pid in workers_on(tmp, clip_id):
            return pid
        resume(pid)
    return None


def kill_worker(
    tmp: pathlib.Path, clip_id: str | None = LONG_CLIP, killed: Collection[int] = ()
) -> int:
    """Kills a worker that is working on a clip, and returns its process id."""
    with worker_held(tmp, clip_id, killed) as pid:
        os.kill(pid, signal.SIGKILL)
    return pid


def run_killing_twice(
    arguments: list[str | pathlib.Path], tmp: pathlib.Path, workers_tmp: pathlib.Path
) -> str:
    """Runs a job, and kills the first two workers that take the long clip.

    Args:
        arguments: Arguments of `fsdsinet`.
        tmp: Folder for the temporary files of the launcher.
        workers_tmp: Folder for the temporary files of the workers.

    Returns:
        The standard output of the job.
    """
    with running(arguments, tmp) as process:
        first = kill_worker(workers_tmp)
        kill_worker(workers_tmp, killed=[first])
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    return str(stdout)


def assert_long_clip_is_given_up(output: pathlib.Path) -> None:
    (row,) = [r for r in read(output, "ledger").to_pylist() if r["status"] == "failed"]
    found = row["clip_id"], row["stage"], row["error_type"]
    assert found == (LONG_CLIP, "worker", "worker_died")
    assert "died 2 times while working on clip long" in row["error"]
    assert_tidy(output)
