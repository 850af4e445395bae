"""Measures planning, continuing and summing up in a bucket with 20 ms a request.

Usage: python -m benchmarks.planning_bucket [--small N] [--large N] [--files N]

The bucket is simulated: a MinIO server on this machine (`make minio`) behind a proxy
that delays each request by 20 ms. Manifest and datasets are in the bucket, made as in
`benchmarks.planning`, and so are the parts that are measured. No audio file exists: its
997 folders are listed, and are empty.

- small: a dataset that is not compacted, with 64 rows in a file.
- large: a dataset that is compacted.
- files: empty files in 200 folders, which are looked up with one and with all threads.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pyarrow as pa

from benchmarks.planning import DATASETS, measured
from benchmarks.support.machine import save
from benchmarks.support.made_ledger import (
    LARGE_ROWS,
    SHARD_ROWS,
    make_dataset,
    write_manifest,
)
from benchmarks.support.slow_store import SlowStore, running_slow_store
from tests.support.object_stores import (
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage
from transforms.storage import folder_states

DELAY_S, NUM_FOLDERS, NUM_WRITERS = 0.02, 200, 32


def put_manifest(folder: pathlib.Path, root: str, num_rows: int) -> str:
    """Writes a manifest to the bucket; returns its uri."""
    path = folder / "m.csv"
    write_manifest(path, num_rows)
    with storage.publish(f"{root}/m.csv") as file:
        file.write(path.read_bytes())
    path.unlink()
    return f"{root}/m.csv"


def measure_dataset(
    manifest: str, root: str, num_rows: int, part_rows: int, url: str, slow: SlowStore
) -> dict[str, Any]:
    results: dict[str, Any] = {"rows": num_rows, "rows_in_a_file": part_rows}
    for name, (dataset, share) in DATASETS.items():
        output = f"{root}/{dataset}"
        if share and not storage.list_names(output):
            with environment(**s3_environment(url)):
                make_dataset(manifest, output, int(num_rows * share), part_rows)
        slow.reset()
        with environment(**s3_environment(slow.url)):
            result: dict[str, Any] = {**measured(name, manifest, output)}
        result["requests"] = dict(slow.num_requests)
        result["most_requests_at_once"] = slow.most_at_once
        results[name] = result
        print(root, name, json.dumps(result), file=sys.stderr)
    return results


def measure_files(num_files: int, url: str, slow: SlowStore) -> dict[str, Any]:
    """Looks up files that exist."""
    uris = [f"s3://bucket/f/{i % NUM_FOLDERS}/{i:08d}.wav" for i in range(num_files)]
    with environment(**s3_environment(url)):

        def put(uri: str) -> None:
            with storage.publish(uri) as file:
                file.write(b"x")

        with ThreadPoolExecutor(NUM_WRITERS) as pool:
            list(pool.map(put, uris))
    results: dict[str, Any] = {"files": num_files, "folders": NUM_FOLDERS}
    with environment(**s3_environment(slow.url)):
        for threads in (1, folder_states.NUM_LISTED):
            slow.reset()
            start = time.perf_counter()
            with mock.patch.object(folder_states, "NUM_LISTED", threads):
                states = storage.states_of(pa.chunked_array([uris]))
            seconds = time.perf_counter() - start
            assert states["is_found"].to_pylist() == [True] * num_files
            requests = dict(slow.num_requests)
            results[f"threads_{threads}"] = {"seconds": seconds, "requests": requests}
    print(json.dumps(results), file=sys.stderr)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=20_000)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"delay_s": DELAY_S}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with (
            running_minio(folder) as url,
            running_slow_store(url, DELAY_S) as slow,
            environment(**s3_environment(url)),
        ):
            make_s3_bucket("bucket")
            results["files"] = measure_files(arguments.files, url, slow)
            sizes = {
                "small": (arguments.small, SHARD_ROWS),
                "large": (arguments.large, LARGE_ROWS),
            }
            for kind, (num_rows, part_rows) in sizes.items():
                root = f"s3://bucket/{kind}"
                manifest = put_manifest(folder, root, num_rows)
                results[kind] = measure_dataset(
                    manifest, root, num_rows, part_rows, url, slow
                )
    save("planning-bucket", results)


if __name__ == "__main__":
    main()
