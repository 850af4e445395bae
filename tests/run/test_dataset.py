"""The dataset as its readers see it: schemas, metadata, and four common readers."""

import json
import os
import pathlib
import shutil

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.folder import Dataset
from pipeline.dataset.summary import finished_totals
from tests.conftest import Command
from tests.support.audio_files import make_wav
from tests.support.datasets import assert_same_dataset, read
from transforms.models.registry import published_labels
from transforms.schemas import SCHEMA_VERSION

MODEL = "random-tiny-tlpf"


@pytest.fixture
def output(corpus_dataset: pathlib.Path) -> pathlib.Path:
    return corpus_dataset


def test_four_readers_return_the_same_vectors(output: pathlib.Path) -> None:
    folder = output / "patches" / f"model={MODEL}"
    arrow = (
        ds.dataset(folder)
        .to_table()
        .sort_by([("clip_id", "ascending"), ("patch", "ascending")])
    )
    expected = np.stack(
        arrow["activations"].combine_chunks().to_numpy(zero_copy_only=False)
    )
    assert expected.shape == (arrow.num_rows, 200) and expected.dtype == np.float32

    frame = pd.read_parquet(folder).sort_values(["clip_id", "patch"])
    np.testing.assert_array_equal(np.stack(frame["activations"].tolist()), expected)

    polars = pl.read_parquet(folder / "*.parquet").sort("clip_id", "patch")
    assert polars.schema["activations"] == pl.Array(pl.Float32, 200)
    np.testing.assert_array_equal(polars["activations"].to_numpy(), expected)

    query = f"select activations from '{folder}/*.parquet' order by clip_id, patch"
    result = duckdb.sql(query)
    assert result is not None
    assert str(result.types[0]) == "FLOAT[]"
    np.testing.assert_array_equal(
        np.stack(result.fetchnumpy()["activations"]), expected
    )


def test_every_file_states_model_labels_and_settings(output: pathlib.Path) -> None:
    for table in ("patches", "clips"):
        path = Dataset(str(output)).parts(f"{table}/model={MODEL}")[0]
        metadata = {
            k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()
        }
        assert metadata["table"] == table
        assert json.loads(metadata["labels"]) == list(published_labels())
        assert len(metadata["model_sha256"]) == 64
        assert metadata["schema_version"] == str(SCHEMA_VERSION)
        assert metadata["last_patch"] == "repeat"
        versions = json.loads(metadata["versions"])
        assert versions["essentia-tensorflow"] == "2.1b6.dev1389"
        assert float(metadata["patch_hop_s"]) == 11000 / 22050


def test_patches_state_their_start_and_end(output: pathlib.Path) -> None:
    patches = ds.dataset(output / "patches" / f"model={MODEL}").to_table().to_pydict()
    assert max(patches["patch"]) > 5
    for patch, start, end in zip(
        patches["patch"], patches["start_s"], patches["end_s"], strict=True
    ):
        assert start == patch * 50 * 220 / 22050
        assert end == pytest.approx(start + 22660 / 22050)


def test_floats_are_plain_and_compressed(output: pathlib.Path) -> None:
    parts = Dataset(str(output)).parts(f"patches/model={MODEL}")
    path = max(parts, key=os.path.getsize)
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {
        group.column(i).path_in_schema: group.column(i)
        for i in range(group.num_columns)
    }
    for name in ("activations.list.element", "embedding.list.element", "start_s"):
        assert set(columns[name].encodings) == {"PLAIN", "RLE"}, name
        assert columns[name].compression == "ZSTD"


def test_clips_are_the_mean_and_maximum_of_their_patches(output: pathlib.Path) -> None:
    patches = pd.read_parquet(output / "patches" / f"model={MODEL}")
    clips = pd.read_parquet(output / "clips" / f"model={MODEL}")
    assert len(clips) == 10
    labels = published_labels()
    for clip in clips.to_dict("records"):
        rows = patches[patches["clip_id"] == clip["clip_id"]]
        activations = np.stack(rows["activations"].tolist()).astype(float)
        assert clip["num_patches"] == len(rows)
        np.testing.assert_allclose(
            clip["activations_mean"], activations.mean(0), atol=1e-7
        )
        np.testing.assert_allclose(
            clip["activations_max"], activations.max(0), atol=1e-7
        )
        embeddings = np.stack(rows["embedding"].tolist()).astype(float)
        np.testing.assert_allclose(
            clip["embedding_mean"], embeddings.mean(0), rtol=1e-5
        )
        best = np.argsort(-clip["activations_mean"], kind="stable")[:10]
        assert [top["label"] for top in clip["top_labels"]] == [labels[i] for i in best]
        scores = [top["score"] for top in clip["top_labels"]]
        np.testing.assert_array_equal(scores, clip["activations_mean"][best])


def test_a_run_that_was_killed_while_it_replaces_a_dataset_can_be_repeated(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    dataset = Dataset(str(shutil.copytree(output, tmp_path / "out")))
    (tmp_path / "out" / "mine.csv").touch()
    dataset.remove_rows()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"run.json", "mine.csv"}
    dataset.check_writable()
    assert not dataset.committed()


def test_run_json_is_enough_to_repeat_the_run(output: pathlib.Path) -> None:
    run = json.loads((output / "run.json").read_text())
    assert run["state"] == "finished"
    assert run["totals"]["clips"] == run["manifest"]["num_clips"] == 12
    assert run["totals"]["failed_by_error_type"] == {"not_audio": 2}
    assert run["config"]["patch_hop"] == 50
    assert run["models"][0]["name"] == MODEL
    assert run["versions"]["apache-beam"] == "2.77.0"
    assert set(run["counters"]) >= {
        "decode_us",
        "resample_us",
        "log_mel_us",
        "inference_us",
        "commit_us",
    }


def test_a_dataset_with_floats_split_by_byte_is_continued(
    output: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    tmp_path: pathlib.Path,
) -> None:
    older = tmp_path / "older"
    shutil.copytree(output, older)
    for path in older.rglob("*.parquet"):
        _split_by_byte(path)
    failed = set(pd.read_parquet(older / "ledger").query("status == 'failed'").clip_id)
    whole = (
        path
        for path in sorted((older / "ledger").iterdir())
        if not failed & set(pd.read_parquet(path).clip_id)
    )
    next(whole).unlink()
    fsdsinet(
        *("extract", corpus, "--model", tiny_model, "--output", older),
        "--retry-failed",
    )
    tables = ("ledger", f"patches/model={MODEL}", f"clips/model={MODEL}")
    for table in tables[1:]:
        splits = [
            "BYTE_STREAM_SPLIT" in _encodings(pathlib.Path(path))
            for path in Dataset(str(older)).parts(table)
        ]
        assert {*splits} == {False, True}
    assert_same_dataset(older, output)
    assert len(pd.read_parquet(older / tables[1])) == read(output, tables[1]).num_rows


def _split_by_byte(path: pathlib.Path) -> None:
    """Writes a part again as version 0.1.0 wrote it."""
    table = pq.ParquetFile(path).read()
    floats = {
        f"{field.name}.list.element"
        if pa.types.is_fixed_size_list(field.type)
        else field.name
        for field in table.schema
        if pa.types.is_fixed_size_list(field.type) or pa.types.is_floating(field.type)
    }
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=["clip_id"],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    )
    assert "BYTE_STREAM_SPLIT" in _encodings(path)


def _encodings(path: pathlib.Path) -> set[str]:
    """Encodings of all columns of a part that has rows."""
    metadata = pq.ParquetFile(path).metadata
    return {
        encoding
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
        for encoding in metadata.row_group(group).column(column).encodings
    }


def test_a_damaged_ledger_is_refused_with_what_to_do(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    clips = [make_wav(tmp_path / name, 22050) for name in ("a.wav", "b.wav")]
    extract = ("extract", *clips, "--model", tiny_model, "--shard-clips", "1",
               "--output", tmp_path / "out")  # fmt: skip
    fsdsinet(*extract)
    _, part = sorted((tmp_path / "out" / "ledger").iterdir())
    part.write_bytes(b"z")
    for command in (extract, ("top", tmp_path / "out")):
        refused = fsdsinet(*command, code=2).stderr
        assert "a file of the dataset is damaged" in refused and part.name in refused
        assert "--overwrite" in refused


@pytest.mark.parametrize("state", ["finished", "running", "stopped"])
def test_only_the_totals_of_a_finished_run_count(
    tmp_path: pathlib.Path, state: str
) -> None:
    dataset = Dataset(str(tmp_path))
    dataset.write_run({"state": state, "totals": {"clips": 3}})
    assert finished_totals(dataset) == ({"clips": 3} if state == "finished" else {})
    dataset.write_run({"state": state})
    assert not finished_totals(dataset)
