"""Recordings and dataset in a bucket: a real Flink has the dataset of a local run."""

import os
import pathlib
from collections.abc import Iterator

import pytest

from deploy.flink.local_flink import LocalFlink
from tests.cluster.flink_jobs import on_flink, running_flink
from tests.conftest import ROOT, Command
from tests.support.audio_files import make_recordings
from tests.support.datasets import MODEL, read
from tests.support.object_stores import (
    environment,
    make_s3_bucket,
    running_minio,
    s3_environment,
)
from transforms import storage

BUCKET = "s3://recordings"
pytestmark = [pytest.mark.flink, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFlink]:
    """A cluster whose workers reach a MinIO server."""
    folder = tmp_path_factory.mktemp("flink")
    with running_minio(folder) as url, environment(**s3_environment(url)):
        make_s3_bucket("recordings")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))
            with running_flink(folder / "cluster") as cluster:
                yield cluster


def test_recordings_in_a_bucket_have_the_dataset_of_local_ones(
    flink: LocalFlink,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    make_recordings(inputs, seconds=20)
    options: list[str | pathlib.Path] = ["--patch-hop", "5", "--long-clip", "6"]
    rows = ["clip_id,uri"]
    for path in sorted(inputs.iterdir()):
        with storage.publish(f"{BUCKET}/in/{path.name}") as file:
            file.write(path.read_bytes())
        rows.append(f"{path.stem},{path.name}")
    manifest = "\n".join(rows).encode()
    (inputs / "m.csv").write_bytes(manifest)
    with storage.publish(f"{BUCKET}/in/m.csv") as file:
        file.write(manifest)
    local, fetched = tmp_path / "local", tmp_path / "fetched"
    fsdsinet("extract", inputs / "m.csv", "--model", tiny_model, *options,
             "--output", local)  # fmt: skip
    fsdsinet(*on_flink(flink, f"{BUCKET}/in/m.csv", tiny_model, f"{BUCKET}/out",
                       options=options))  # fmt: skip
    assert not [*storage.list_files(f"{BUCKET}/out/unfinished", recursive=True)]
    for info in storage.list_files(f"{BUCKET}/out", recursive=True):
        path = fetched / os.path.relpath(info.uri, f"{BUCKET}/out")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(storage.read_file(info.uri))
    for table in (f"patches/model={MODEL}", f"clips/model={MODEL}"):
        assert read(fetched, table).equals(read(local, table)), table
    places = ["uri", "file_modified", "error"]
    ledger = read(fetched, "ledger")
    assert ledger["status"].to_pylist().count("ok") > 3
    assert ledger.drop(places).equals(read(local, "ledger").drop(places))
