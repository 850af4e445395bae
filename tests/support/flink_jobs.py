"""Jobs for the tests on a Flink: command lines, and what their datasets say."""

import json
import pathlib
import socket
from collections.abc import Callable

import pyarrow.parquet as pq

from deploy.flink.local_flink import JOB_SERVER, LocalFlink

NUM_CLIPS = 200
Arguments = list[str | pathlib.Path]
# Makes command lines of jobs on a cluster: `on_flink` but for its last arguments.
FlinkJob = Callable[..., Arguments]


def on_flink(
    flink: LocalFlink,
    manifest: pathlib.Path,
    model: pathlib.Path,
    output: pathlib.Path,
    *beam_flags: str,
    options: Arguments | None = None,
) -> Arguments:
    """A command line. Shards are small, so that some are done at any moment."""
    arguments: Arguments = ["extract", manifest, "--model", model, "--output", output]
    arguments += ["--runner", "flink", "--shard-clips", "5", *(options or []), "--"]
    master = f"--flink_master={flink.address}"
    return [*arguments, master, f"--flink_job_server_jar={JOB_SERVER}", *beam_flags]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port: int = found.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def workers(output: pathlib.Path) -> list[dict]:
    """Who committed each shard, and when."""
    parts = sorted((output / "ledger").iterdir())
    found = [json.loads(pq.read_schema(part).metadata[b"worker"]) for part in parts]
    return sorted(found, key=lambda worker: worker["started_s"])


def counters(output: pathlib.Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((output / "run.json").read_text())["counters"]
    return found
