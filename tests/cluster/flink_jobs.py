"""A Flink cluster, command lines of jobs on it, and facts that datasets record."""

import contextlib
import json
import pathlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq
import pytest

from deploy.flink.local_flink import JOB_SERVER, LocalFlink, why_missing

NUM_CLIPS = 200
Arguments = list[str | pathlib.Path]
# `on_flink` without its first arguments: returns command lines of jobs on a cluster.
FlinkJob = Callable[..., Arguments]


def require_flink() -> None:
    if reason := why_missing():
        pytest.skip(reason)


@contextlib.contextmanager
def running_flink(
    folder: pathlib.Path,
    num_task_managers: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[LocalFlink]:
    """A cluster whose slots are all free; `settings` replace settings of LocalFlink."""
    require_flink()
    with LocalFlink(folder, num_task_managers, settings=settings) as flink:
        yield flink


def on_flink(
    flink: LocalFlink,
    manifest: pathlib.Path | str,
    model: pathlib.Path,
    output: pathlib.Path | str,
    *beam_flags: str,
    options: Arguments | None = None,
) -> Arguments:
    """The command line of a job, with small shards so that some are committed soon."""
    arguments: Arguments = ["extract", manifest, "--model", model, "--output", output]
    arguments += ["--runner", "flink", "--shard-clips", "5", *(options or []), "--"]
    master = f"--flink_master={flink.address}"
    return [*arguments, master, f"--flink_job_server_jar={JOB_SERVER}", *beam_flags]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def workers(output: pathlib.Path) -> list[dict]:
    """The worker and times of each shard, in the order in which they were started."""
    parts = sorted((output / "ledger").iterdir())
    found = [json.loads(pq.read_schema(part).metadata[b"worker"]) for part in parts]
    return sorted(found, key=lambda worker: worker["started_s"])


def counters(output: pathlib.Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((output / "run.json").read_text())["counters"]
    return found
