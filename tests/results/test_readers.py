"""Common readers of Parquet return the values that were written, from every table."""

import datetime
import math
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from tests.support.made_dataset import make_dataset, scored
from transforms.storage import FileInfo

LABELS = ("Bell", "Cat", "Rain")
RESULTS = {
    "a": scored([[0.1, 0.9, 0.2], [0.3, 0.1, 1e-9]], [[1.0, -2.5], [0.0, 3.25]]),
    "b": None,
    "c": scored([0.7, 0.1, 0.5], [4.0, math.pi]),
    "d": scored([[0.0, 1.0, 0.25]] * 3, [[-0.0, 1e-30]] * 3),
}
CARRIED: dict[str, Sequence[object]] = {
    "take": [1, 2, None, 4],
    "gain": [0.5, None, 2.0, -1.25],
    "where": ["Wien", "Kyiv", None, "Göteborg"],
    "day": [datetime.date(2024, 1, day) for day in (1, 2, 3, 4)],
}
SIZES = [123456, None, 2**40, 0]
TIMES = [
    datetime.datetime(2024, 2, 29, 23, 59, 59, 123456, datetime.UTC),
    None,
    datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC),
]

Rows = list[dict[Any, Any]]


def read_with_pandas(folder: pathlib.Path) -> Rows:
    return pd.read_parquet(folder).to_dict("records")


def read_with_pyarrow(folder: pathlib.Path) -> Rows:
    return ds.dataset(folder).to_table().to_pylist()


def read_with_polars(folder: pathlib.Path) -> Rows:
    return pl.read_parquet(folder / "*.parquet").to_dicts()


def read_with_duckdb(folder: pathlib.Path) -> Rows:
    found = duckdb.read_parquet(f"{folder}/*.parquet")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def read_with_fastparquet(folder: pathlib.Path) -> Rows:
    fastparquet = pytest.importorskip("fastparquet")
    return fastparquet.ParquetFile(str(folder)).to_pandas().to_dict("records")


@pytest.fixture(
    params=[
        read_with_pandas,
        read_with_pyarrow,
        read_with_polars,
        read_with_duckdb,
        read_with_fastparquet,
    ]
)
def read_table(request: pytest.FixtureRequest) -> Callable[[pathlib.Path], Rows]:
    return request.param


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A dataset of two shards."""
    folder = tmp_path_factory.mktemp("readers") / "out"
    uris = [f"/audio/{clip_id}.wav" for clip_id in RESULTS]
    files = dict(zip(uris, map(FileInfo, uris, SIZES, TIMES), strict=True))
    return make_dataset(folder, RESULTS, LABELS, CARRIED, shard_clips=2, files=files)


def assert_vectors(found: Sequence[object], expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.array(found, np.float32), expected)


def plain(value: object) -> object:
    """Missing values as None, and days as dates, from what a reader returns."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    return value.date() if isinstance(value, datetime.datetime) else value


def test_patches_have_the_vectors_of_every_patch(
    output: pathlib.Path, read_table: Callable[[pathlib.Path], Rows]
) -> None:
    rows = read_table(output / "patches" / "model=made")
    rows.sort(key=lambda row: (row["clip_id"], row["patch"]))
    done = {clip_id: result for clip_id, result in RESULTS.items() if result}
    assert [(row["clip_id"], row["patch"]) for row in rows] == [
        (clip_id, patch)
        for clip_id, result in done.items()
        for patch in range(len(result.activations))
    ]
    assert_vectors(
        [row["activations"] for row in rows],
        np.vstack([result.activations for result in done.values()]),
    )
    assert_vectors(
        [row["embedding"] for row in rows],
        np.vstack([result.embeddings for result in done.values()]),
    )
    for row in rows:
        assert row["start_s"] == row["patch"] * 50 * 220 / 22050
        assert row["end_s"] == row["start_s"] + 22660 / 22050


def test_clips_have_means_maxima_and_labels(
    output: pathlib.Path, read_table: Callable[[pathlib.Path], Rows]
) -> None:
    rows = read_table(output / "clips" / "model=made")
    found: Mapping[str, dict[str, Any]] = {row["clip_id"]: row for row in rows}
    assert sorted(found) == ["a", "c", "d"] and len(rows) == 3
    for clip_id, row in found.items():
        result = RESULTS[clip_id]
        assert result is not None
        assert row["num_patches"] == len(result.activations)
        assert_vectors(row["activations_max"], result.activations.max(0))
        for column, values in (
            ("activations_mean", result.activations),
            ("embedding_mean", result.embeddings),
        ):
            np.testing.assert_allclose(row[column], values.mean(0), rtol=1e-6)
    if read_table is read_with_fastparquet:
        return  # It returns None for lists of structs.
    assert [top["label"] for top in found["c"]["top_labels"]] == ["Bell", "Rain", "Cat"]
    assert_vectors(
        [top["score"] for top in found["c"]["top_labels"]],
        np.array([0.7, 0.5, 0.1], np.float32),
    )


def test_the_ledger_has_outcomes_and_columns_of_the_manifest(
    output: pathlib.Path, read_table: Callable[[pathlib.Path], Rows]
) -> None:
    rows = sorted(read_table(output / "ledger"), key=lambda row: row["clip_id"])
    assert [row["clip_id"] for row in rows] == [*RESULTS]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert [plain(row["error_type"]) for row in rows] == [None, "not_audio", None, None]
    assert [plain(row["duration_s"]) for row in rows] == [1.5, None, 1.0, 2.0]
    for name, values in CARRIED.items():
        assert [plain(row[name]) for row in rows] == values, name
    assert [plain(row["file_size_bytes"]) for row in rows] == SIZES
    times = pd.to_datetime([row["file_modified"] for row in rows], utc=True)
    assert [None if pd.isna(time) else time for time in times] == TIMES


def test_models_of_different_sizes_are_two_tables(
    output: pathlib.Path,
    read_table: Callable[[pathlib.Path], Rows],
    tmp_path: pathlib.Path,
) -> None:
    both = tmp_path / "both"
    shutil.copytree(output, both)
    wide = {"a": scored([0.5, 0.5], [1.0, 2.0, 3.0])}
    other = make_dataset(tmp_path / "wide", wide, ("x", "y"), model="wide")
    for table in ("patches", "clips"):
        folder = f"{table}/model=wide"
        shutil.copytree(other / folder, both / folder)
    (row,) = read_table(both / "patches" / "model=wide")
    assert_vectors(row["embedding"], np.array([1, 2, 3], np.float32))
    rows = read_table(both / "patches" / "model=made")
    assert {len(row["embedding"]) for row in rows} == {2} and len(rows) == 6
