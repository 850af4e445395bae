"""What `compact` writes, leaves and refuses."""

import collections
import json
import pathlib
import shutil

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from pipeline.dataset import replace_parts
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from pipeline.runners.job_folder import JobFolder, JobNote
from tests.compaction.small_parts import (
    FOLDERS,
    assert_same_tables,
    copy_dataset,
    in_order,
    make_small_parts,
    read_plainly,
    read_snapshot,
)
from tests.support.object_stores import (
    environment,
    make_google_bucket,
    running_google,
)
from transforms import storage
from transforms.tables import write_table

NUM_CLIPS = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_small_parts(tmp_path_factory.mktemp("made") / "out", NUM_CLIPS)


@pytest.fixture
def root(made: Dataset, tmp_path: pathlib.Path) -> str:
    return str(shutil.copytree(made.root, tmp_path / "out"))


@pytest.fixture(scope="module")
def compacted(made: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = str(shutil.copytree(made.root, tmp_path_factory.mktemp("one") / "out"))
    with pytest.MonkeyPatch.context() as patch:
        # Row groups of a few rows.
        patch.setattr(replace_parts, "_GROUP_BYTES", 1000)
        patch.setattr(replace_parts, "_BATCH_ROWS", 4)
        assert main(["compact", root]) == 0
    return Dataset(root)


def the_file(dataset: Dataset, folder: str) -> pq.ParquetFile:
    (path,) = dataset.parts(folder)
    return pq.ParquetFile(path)


@pytest.mark.parametrize("folder", FOLDERS)
def test_four_readers_read_the_same_rows(
    made: Dataset, compacted: Dataset, folder: str
) -> None:
    before, after = f"{made.root}/{folder}", f"{compacted.root}/{folder}"
    rows = in_order(ds.dataset(before).to_table())
    assert rows.num_rows
    assert in_order(ds.dataset(after).to_table()).equals(rows)
    # The schema has the same metadata, too, but for the worker of a shard.
    schemas = [ds.dataset(path).schema for path in (before, after)]
    without = {k: v for k, v in schemas[0].metadata.items() if k != b"worker"}
    assert schemas[1].metadata == without and schemas[0].equals(schemas[1])

    keys = ["clip_id", *(["patch"] if "patch" in schemas[0].names else [])]
    frames = [
        pd.read_parquet(path).sort_values(keys).reset_index(drop=True)
        for path in (before, after)
    ]
    pd.testing.assert_frame_equal(frames[0], frames[1])
    tables = [pl.read_parquet(f"{p}/*.parquet").sort(keys) for p in (before, after)]
    assert tables[0].equals(tables[1]) and tables[0].schema == tables[1].schema
    found = [
        duckdb.read_parquet(f"{path}/*.parquet").order(",".join(keys))
        for path in (before, after)
    ]
    assert found[0].types == found[1].types
    assert found[0].fetchall() == found[1].fetchall()


@pytest.mark.parametrize("folder", FOLDERS)
def test_large_files_are_made_for_readers(compacted: Dataset, folder: str) -> None:
    file = the_file(compacted, folder)
    metadata = file.metadata
    assert metadata.num_row_groups > 2
    last = ""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        ids = group.column(0).statistics
        assert last <= ids.min <= ids.max
        last = ids.max
        for column in map(group.column, range(group.num_columns)):
            assert column.compression == "ZSTD"
            assert "BYTE_STREAM_SPLIT" not in column.encodings
            if column.physical_type in ("FLOAT", "DOUBLE"):
                assert set(column.encodings) <= {"PLAIN", "RLE"}
    table = file.read()
    ids = table["clip_id"].to_pylist()
    assert ids == sorted(ids)
    if "patch" in table.column_names:
        starts = [i for i, patch in enumerate(table["patch"].to_pylist()) if not patch]
        assert len(starts) == len({*ids})


def test_a_large_file_says_which_rows_came_from_which_shard(
    made: Dataset, compacted: Dataset
) -> None:
    for folder in FOLDERS:
        file = the_file(compacted, folder)
        table = file.read()
        entries = json.loads(file.metadata.metadata[b"parts"])
        assert {entry["part"] for entry in entries} == {*made.committed()}
        for entry in entries:
            shard = pq.ParquetFile(made.file(folder, entry["part"])).read()
            assert table.slice(entry["start"], entry["rows"]).equals(shard)
            assert ("worker" in entry) == (folder == "ledger")


def test_commands_print_the_same_for_a_compacted_dataset(
    made: Dataset,
    compacted: Dataset,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("clip_id,labels\nclip-0001,Bell\nclip-0002,Bark\nclip-0003,\n")
    commands = [
        ("top",),
        ("search", "--clip", "clip-0003", "--where", "split = 'val'"),
        ("search", "--clip", "clip-0003", "--patches"),
        ("events", "--output", str(tmp_path / "events.csv")),
        ("plot", "--clip", "clip-0004", "--output", str(tmp_path / "plot.png")),
        ("report", "--output", str(tmp_path / "report.html")),
        (
            *("evaluate", "--ground-truth", str(truth), "--aggregate", "logit-mean"),
            *("--all-classes", "--output", str(tmp_path / "scores")),
        ),
    ]
    for name, *options in commands:
        printed = []
        for dataset in (made, compacted):
            assert main([name, dataset.root, *options]) == 0, name
            events = tmp_path / "events.csv"
            text = capfd.readouterr().out.replace(dataset.root, "OUT")
            printed.append((text, events.read_text() if events.exists() else ""))
        assert printed[0] == printed[1] and printed[0][0], name


def test_a_bucket_of_google_is_compacted(made: Dataset) -> None:
    """Other buckets are those of the tests of compactions that are killed."""
    expected = read_snapshot(Snapshot(made.root, None))
    with running_google() as url, environment(STORAGE_EMULATOR_HOST=url):
        make_google_bucket(url, "bucket")
        root = copy_dataset(made.root, "gs://bucket/out")
        earlier = Snapshot(root, None)
        assert main(["compact", root]) == 0
        later = Snapshot(root, None)
        assert [len(earlier.parts), len(later.parts)] == [14, 1]
        for snapshot in (earlier, later):
            assert_same_tables(read_snapshot(snapshot), expected)
        files = storage.list_files(root, recursive=True, hidden=True)
        assert len(files) == len(FOLDERS) + 2


def test_another_compaction_changes_nothing(
    compacted: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    before = compacted.committed()
    assert main(["compact", compacted.root]) == 0
    assert "nothing to compact: " in capfd.readouterr().out
    assert compacted.committed() == before


def test_shards_with_other_metadata_are_not_put_together(root: str) -> None:
    dataset = Dataset(root)
    others = dataset.committed()[:2]
    for part in others:
        for folder in FOLDERS:
            table = pq.ParquetFile(dataset.file(folder, part)).read()
            metadata = {**table.schema.metadata, b"versions": b'{"numpy": "9"}'}
            table = table.replace_schema_metadata(metadata)
            write_table(dataset.file(folder, part), table)
    expected = read_snapshot(Snapshot(root, None))
    assert main(["compact", root]) == 0
    versions = [
        pq.read_schema(path).metadata[b"versions"] for path in dataset.parts("ledger")
    ]
    assert sorted(versions) == [b'{"numpy": "9"}', b"{}"]
    assert_same_tables(read_plainly(root), expected)


def test_large_parts_stay(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset(root)
    part = dataset.committed()[0]
    path = pathlib.Path(dataset.file(FOLDERS[1], part))
    rows = pq.ParquetFile(path).read()
    # Half the target or more.
    times = np.random.default_rng(0).random(20_000)
    many = rows.take(np.zeros(len(times), int))
    write_table(str(path), many.set_column(2, many.schema.field(2), [times]))
    assert path.stat().st_size > 100_000
    monkeypatch.setattr("pipeline.launch.compact._MB", 200_000)
    assert main(["compact", root, "--target-mb", "1"]) == 0
    assert len(dataset.committed()) == 2 and part in dataset.committed()


def test_a_missing_file_is_named_and_nothing_is_changed(
    root: str, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(root)
    parts = dataset.committed()
    pathlib.Path(dataset.file(FOLDERS[2], parts[1])).unlink()
    assert main(["compact", root]) == 2
    assert f"the ledger has {parts[1]}, but" in capfd.readouterr().err
    assert dataset.committed() == parts


def test_compaction_is_refused_beside_a_run(
    root: str, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(root)
    with dataset.locked():
        assert main(["compact", root]) == 2
    assert "another run is writing to" in capfd.readouterr().err
    note = JobNote("job-1", "flink", "http://127.0.0.1:1")
    JobFolder(dataset).begin(note, collections.defaultdict(str))
    assert main(["compact", root]) == 2
    assert "job job-1 may be writing to" in capfd.readouterr().err
    assert len(dataset.committed()) == 14


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "is not a dataset: it has no run.json"),
        (("--target-mb", "0"), "target is 0 MB, expected 1 to 4096"),
        (("--target-mb", "5000"), "target is 5000 MB, expected 1 to 4096"),
    ],
)
def test_wrong_usage_is_refused(
    tmp_path: pathlib.Path,
    options: tuple[str, ...],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["compact", str(tmp_path), *options]) == 2
    assert message in capfd.readouterr().err
    assert not [*tmp_path.iterdir()]
