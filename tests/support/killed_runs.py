"""Observes the workers of a run, and kills those that work on one long clip."""

import contextlib
import glob
import json
import os
import pathlib
import signal

from tests.support.datasets import assert_tidy, read
from tests.support.processes import DEADLINE_S, alive, running, wait_for

LONG_CLIP = "long"


def num_committed(output: pathlib.Path) -> int:
    """The number of committed shards of a dataset."""
    return len(list(output.glob("ledger/part-*.parquet")))


def workers_on(tmp: pathlib.Path, clip_id: str) -> list[int]:
    """Process ids of the workers that are working on a clip.

    Args:
        tmp: Folder for the temporary files of the workers.
        clip_id: Id of the clip.
    """
    found = []
    # Not Path.glob, which fails if a folder is removed while it searches.
    for path in map(pathlib.Path, glob.glob(f"{tmp}/fsdsinet-*/*.json")):
        with contextlib.suppress(ValueError, FileNotFoundError):
            line = path.read_bytes().partition(b"\n")[0]
            if json.loads(line)["clip_id"] == clip_id and alive(int(path.stem)):
                found.append(int(path.stem))
    return found


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
    killed: set[int] = set()
    with running(arguments, tmp) as process:
        for _ in range(2):
            wait_for(lambda: set(workers_on(workers_tmp, LONG_CLIP)) - killed)
            (pid,) = set(workers_on(workers_tmp, LONG_CLIP)) - killed
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, stderr
    return str(stdout)


def assert_long_clip_is_given_up(output: pathlib.Path) -> None:
    (row,) = [r for r in read(output, "ledger").to_pylist() if r["status"] == "failed"]
    found = row["clip_id"], row["stage"], row["error_type"]
    assert found == (LONG_CLIP, "worker", "worker_died")
    assert "died 2 times while working on clip long" in row["error"]
    assert_tidy(output)
