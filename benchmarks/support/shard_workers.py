"""Reads from a ledger which process computed each shard, and when."""

import json
import pathlib
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq


def shard_workers(output: pathlib.Path) -> list[dict[str, Any]]:
    """The `worker` of every shard of a dataset, with the seconds of its audio.

    Keys: host, pid, started_s and committed_s (Unix times), audio_s.
    """
    found = []
    for part in sorted((output / "ledger").iterdir()):
        worker = json.loads(pq.read_schema(part).metadata[b"worker"])
        durations = pq.ParquetFile(part).read(["duration_s"])["duration_s"]
        found.append(worker | {"audio_s": pc.sum(durations).as_py() or 0.0})
    return found
