"""Datasets whose clips are parts of files: their times, and the commands that read."""

import pathlib
from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.launch.identity import check_same_identity, identity
from pipeline.results.evaluation.evaluate import evaluate
from pipeline.results.evaluation.settings import Settings
from pipeline.results.plots import read_activations
from pipeline.results.report.page_data import Limits, collect
from pipeline.results.search.search import clip_embedding, search
from tests.support.made_dataset import make_dataset, scored
from transforms.engines.contract import ModelSpec
from transforms.front_end.patches import PatchSpec
from transforms.schemas import PATCH_DURATION_S, DatasetSpec, patches_schema

LABELS = ("Bell", "Rain")
RESULTS = {
    "site-60-61.5": scored([[0.9, 0.1], [0.7, 0.3]], [[1, 0], [0, 1]]),
    "site-0-60": scored([[0.1, 0.9]], [[1.0, 0.5]]),
    "site-90-end": None,
    "other": scored([[0.2, 0.8]], [[-1.0, 0.5]]),
}
CARRIED: dict[str, Sequence[object]] = {
    "start_s": [60.0, 0.0, 90.0, None],
    "end_s": [61.5, 60.0, None, None],
    "site": ["n", "n", "n", "s"],
}
HOP_S = 50 * 220 / 22050


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("excerpts") / "out"
    uris = ["/audio/site.wav"] * 3 + ["/audio/other.wav"]
    return make_dataset(folder, RESULTS, LABELS, CARRIED, shard_clips=2, uris=uris)


def test_patches_have_times_in_the_excerpt_and_in_the_file(
    output: pathlib.Path,
) -> None:
    folder = output / "patches" / "model=made"
    patches = pd.read_parquet(folder).set_index(["clip_id", "patch"]).sort_index()
    expected = {
        ("other", 0): (0, 0),
        ("site-0-60", 0): (0, 0),
        ("site-60-61.5", 0): (0, 60),
        ("site-60-61.5", 1): (HOP_S, 60 + HOP_S),
    }
    assert [*patches.index] == [*expected]
    found = patches[["start_s", "file_start_s"]].to_numpy()
    np.testing.assert_allclose(found, [*expected.values()], rtol=0, atol=1e-12)
    for kind in ("", "file_"):
        lengths = patches[f"{kind}end_s"] - patches[f"{kind}start_s"]
        np.testing.assert_allclose(lengths, PATCH_DURATION_S)
    for table in (
        ds.dataset(folder).to_table().to_pandas(),
        pl.read_parquet(folder / "*.parquet"),
        duckdb.read_parquet(f"{folder}/*.parquet").df(),
    ):
        assert sorted(table["file_start_s"]) == sorted(patches["file_start_s"])


def test_other_datasets_have_no_times_in_files(tmp_path: pathlib.Path) -> None:
    columns = {"begin": [1.0] * len(RESULTS)}
    folder = make_dataset(tmp_path / "out", RESULTS, LABELS, columns)
    (part, *_) = sorted((folder / "patches" / "model=made").iterdir())
    names = ["clip_id", "patch", "start_s", "end_s", "activations", "embedding"]
    assert pq.read_schema(part).names == names


def test_only_a_dataset_with_excerpts_says_so_in_its_identity() -> None:
    model = ModelSpec("m", "m.pb", "0" * 64, "x", "a", "e", LABELS, 2)
    versions = {"essentia-tensorflow": "2"}
    plain, excerpts = (
        DatasetSpec(
            (model,), ("activations",), PatchSpec(), versions, (pa.field(name, kind),)
        )
        for name, kind in {"begin": pa.int64(), "start_s": pa.float64()}.items()
    )
    assert identity(excerpts) == identity(plain) | {"excerpts": True}
    check_same_identity(identity(excerpts), identity(excerpts))
    with pytest.raises(ConfigError, match="excerpts: was None, is True"):
        check_same_identity(identity(plain), identity(excerpts))
    names = ["clip_id", "patch", "start_s", "end_s", "file_start_s", "file_end_s"]
    assert patches_schema(excerpts, model).names == [*names, "activations"]


def test_excerpts_are_listed_with_columns_of_times(
    output: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", str(output), "--column", "start_s"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "other               Rain 0.80, Bell 0.20",
        "site-0-60     0.0   Rain 0.90, Bell 0.10",
        "site-60-61.5  60.0  Bell 0.80, Rain 0.20",
        "site-90-end   90.0  failed: not_audio",
    ]


def test_an_excerpt_is_drawn_with_its_own_times(output: pathlib.Path) -> None:
    snapshot = Snapshot(str(output), None)
    clip = read_activations(snapshot, "site-60-61.5")
    np.testing.assert_allclose(clip.start_s, [0, HOP_S])
    with pytest.raises(ConfigError, match="3 clips are named 'site.wav': give one"):
        snapshot.find_clip("site.wav")
    assert snapshot.find_clip("other.wav") == "other"


def test_excerpts_of_one_file_are_found(output: pathlib.Path) -> None:
    snapshot = Snapshot(str(output), None)
    own_id, query = clip_embedding(snapshot, "site-0-60")
    found = search(snapshot, query, 3, own_id, by_patch=True, where="site = 'n'")
    assert [(row.clip_id, row.start_s, row.uri) for row in found] == [
        ("site-60-61.5", 0, "/audio/site.wav")
    ]


def test_excerpts_are_scored_by_clip_id(
    output: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "truth.csv"
    lines = ["clip_id,labels", "site-60-61.5,Bell", "site-0-60,Rain", "site-90-end,"]
    truth.write_text("\n".join(lines))
    settings = Settings(num_resamples=5, missing="skip")
    found = evaluate(str(output), str(truth), None, None, settings)
    assert (found.joined_by, found.num_evaluated) == ("clip_id", 2)
    assert found.overall["mAP"].value == 1
    truth.write_text("clip_id,labels\nsite.wav,Bell\n")
    with pytest.raises(ConfigError, match="several clips in .*name clips by clip_id"):
        evaluate(str(output), str(truth), None, None, settings)


def test_the_report_has_the_times_of_excerpts(output: pathlib.Path) -> None:
    clips = collect(Dataset(str(output)), "/", Limits())["clips"]
    times = {clips["id"][row]: times for row, times in clips["times"].items()}
    assert times == {"site-60-61.5": ["60", "61.5"], "site-0-60": ["0", "60"]}


def test_columns_that_are_named_like_times_are_no_times(
    tmp_path: pathlib.Path,
) -> None:
    columns: dict[str, Sequence[object]] = {"begin": [1.0, 2.0, 3.0, 4.0]}
    folder = make_dataset(tmp_path / "out", RESULTS, LABELS, columns)
    for part in (folder / "ledger").iterdir():
        table = pq.read_table(part)
        names = ["start_s" if n == "begin" else n for n in table.column_names]
        pq.write_table(table.rename_columns(names), part)
    assert collect(Dataset(str(folder)), "/", Limits())["clips"]["times"] == {}
