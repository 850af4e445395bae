"""`fsdsinet report`: the data of the page, and the sample of a large dataset."""

import base64
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.cli.main import main
from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError, DatasetError
from pipeline.results.report.clips import choose_clips, heat_map, nearest_clips
from pipeline.results.report.labels import NUM_BINS
from pipeline.results.report.page_data import Limits, collect
from pipeline.results.report.projection import project, unit_rows
from pipeline.results.report.write_report import script_json, write_report
from tests.conftest import ROOT
from tests.support.synthetic_dataset import write_synthetic_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_synthetic_dataset(tmp_path_factory.mktemp("report") / "out", 120)


def unpack(text: str, kind: type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def clips_of(dataset: Dataset) -> pd.DataFrame:
    return pd.read_parquet(pathlib.Path(dataset.root, "clips", "model=synthetic"))


def test_labels_are_counted_over_all_clips(dataset: Dataset) -> None:
    data = collect(dataset, str(dataset.root), Limits(clips=50))
    model, clips = data["models"][0], clips_of(dataset)
    scores = np.stack(clips["activations_mean"].to_list())
    top = np.bincount(scores.argmax(axis=1), minlength=200)
    assert model["num_top"] == top.tolist()
    for label in (0, 7, 199):
        expected, _ = np.histogram(scores[:, label], NUM_BINS, (0, 1))
        assert model["bins"][label] == expected.tolist()
        assert sum(model["top_bins"][label]) == top[label]
        best = scores[:, label].argmax()
        row, score = model["best"][label][0]
        # The best clips of 200 labels do not fit into a sample of 50.
        if label == 0:
            assert data["clips"]["id"][row] == clips["clip_id"][best]
            assert score == pytest.approx(scores[best, label], abs=1e-4)


def test_sample_is_the_same_each_time_and_has_all_clips_if_they_fit(
    dataset: Dataset,
) -> None:
    clip_ids = set(clips_of(dataset)["clip_id"])
    data = [collect(dataset, "/", Limits(clips=n)) for n in (60, 60, 999)]
    assert data[0] == data[1]
    assert len(data[0]["clips"]["id"]) == 60
    assert set(data[2]["clips"]["id"]) == clip_ids
    assert data[2]["num_with_results"] == len(clip_ids)


def test_heat_maps_of_the_first_clips_fill_the_limit(dataset: Dataset) -> None:
    large, small = (
        collect(dataset, "/", Limits(heat_bytes=size))["models"][0]["heat"]
        for size in (10**7, 5000)
    )
    assert list(large["clips"]) == list(range(len(clips_of(dataset))))
    rows = list(small["clips"])
    assert rows == list(range(len(rows))) and 0 < len(rows) < len(large["clips"])
    values = unpack(small["values"], np.uint8)
    assert len(values) <= 5000
    np.testing.assert_array_equal(
        values, unpack(large["values"], np.uint8)[: len(values)]
    )
    with_one_more = [*small["clips"].values(), large["clips"][len(rows)]]
    assert sum(len(i) * -(-n // step) for i, step, n in with_one_more) > 5000


def test_heat_map_keeps_peaks_of_long_clips() -> None:
    activations = np.zeros((1000, 20), np.float32)
    activations[:, :9] = np.linspace(0.9, 0.5, 9)
    activations[777, 19] = 1
    found = heat_map(activations)
    assert found.labels[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert found.labels[8] == 19
    assert found.patches_per_column == 5 and found.values.shape == (12, 200)
    assert found.values[8].tolist() == [0] * 155 + [255] + [0] * 44


def test_first_clips_are_chosen_then_others_at_random() -> None:
    others = [f"{i:03}" for i in range(100)]
    column, backwards = pa.chunked_array([others]), pa.chunked_array([others[::-1]])
    chosen = choose_clips(["050", "001", "050"], backwards, 10)
    assert chosen[:2] == ["050", "001"] and len(set(chosen)) == 10
    assert chosen == choose_clips(["050", "001"], column, 10)
    assert sorted(choose_clips([], column, 1000)) == others


def test_nearest_clips_equal_those_of_a_plain_loop() -> None:
    unit = unit_rows(np.random.default_rng(1).normal(size=(700, 16)))
    rows, cosines = nearest_clips(unit)
    for query in (0, 513, 699):
        products = [float(unit[query] @ other) for other in unit]
        products[query] = -9
        order = np.argsort(products)[::-1][: rows.shape[1]]
        assert rows[query].tolist() == order.tolist()
        np.testing.assert_allclose(cosines[query], np.sort(products)[::-1][:8], 1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_few_clips_have_neighbours_and_places(count: int) -> None:
    unit = unit_rows(np.random.default_rng(2).normal(size=(count, 4)))
    rows, _ = nearest_clips(unit)
    assert rows.shape == (count, max(0, min(8, count - 1)))
    points = project(unit)
    assert points.shape == (count, 2) and np.isfinite(points).all()


def test_map_keeps_groups_together_and_is_the_same_each_time() -> None:
    rng = np.random.default_rng(3)
    group = rng.integers(0, 4, 160)
    vectors = rng.normal(size=(4, 32))[group] + rng.normal(size=(160, 32)) * 0.2
    points = project(vectors, num_placed=100)
    assert np.abs(points).max() <= 1
    np.testing.assert_array_equal(points, project(vectors, num_placed=100))
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95
    same = np.ones((20, 4), np.float32)
    assert np.isfinite(project(same)).all()


def test_states_of_a_run_are_told_apart(tmp_path: pathlib.Path) -> None:
    def state(name: str, **options: object) -> list[str]:
        made = write_synthetic_dataset(tmp_path / name, 70, **options)  # type: ignore[arg-type]
        return collect(made, "/", Limits())["state"]

    assert state("a", failing=0.0) == ["good", "finished", "all 70 clips are ok"]
    assert state("b", state="stopped", num_planned=99)[1] == "interrupted"
    assert state("c", state="running", num_planned=99)[1:] == [
        "killed",
        "70 of 99 clips are done, and no run is active; "
        "run the same extract command again to continue",
    ]
    assert state("d", failing=1.0)[:2] == ["bad", "all failed"]
    going = Dataset(str(tmp_path / "c"))
    assert not going.is_being_written()
    with going.locked():
        found = collect(going, "/", Limits())["state"]
        assert found[1:] == [
            "still running",
            "70 of 99 clips are done, and this page shows them",
        ]


def test_shards_that_are_not_committed_are_left_out(tmp_path: pathlib.Path) -> None:
    dataset = write_synthetic_dataset(tmp_path / "out", 130, failing=0.0)
    pathlib.Path(dataset.parts("ledger")[-1]).unlink()
    data = collect(dataset, "/", Limits())
    assert len(data["clips"]["id"]) == data["models"][0]["num_clips"] == 128
    for path in dataset.parts("ledger"):
        pathlib.Path(path).unlink()
    data = collect(dataset, "/", Limits())
    assert data["clips"]["id"] == [] and data["models"][0]["labels"] is None


def test_a_damaged_dataset_is_refused(tmp_path: pathlib.Path) -> None:
    dataset = write_synthetic_dataset(tmp_path / "out", 130)
    pathlib.Path(dataset.parts("clips/model=synthetic")[0]).unlink()
    with pytest.raises(DatasetError, match="1 of 3 ledger files have no file in clips"):
        write_report(dataset.root, str(tmp_path / "report.html"))


def test_failed_and_flagged_clips_share_the_table(tmp_path: pathlib.Path) -> None:
    dataset = write_synthetic_dataset(tmp_path / "out", 120, failing=0.5)
    data = collect(dataset, "/", Limits(rows=20))
    assert [row["failed"] for row in data["troubled"]] == [True] * 10 + [False] * 10
    ledger = pd.read_parquet(pathlib.Path(dataset.root, "ledger"))
    assert data["failed_by_reason"] == {"not_audio": (ledger.status == "failed").sum()}
    flags = [flag for names in ledger["flags"] for flag in names]
    assert data["flags"] == {name: flags.count(name) for name in sorted(set(flags))}


def test_json_cannot_end_its_script_element() -> None:
    value = {"</script><!--": "\u2028 🎺 <b>"}
    text = script_json(value)
    assert "<" not in text and text.isascii()
    assert json.loads(text) == value


def test_the_page_loads_nothing_from_the_network(
    dataset: Dataset, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(dataset.root), "--output", str(page)]) == 0
    assert re.search(r"report\.html \(\d\.\d MB\)\n", capsys.readouterr().out)
    head = page.read_text(encoding="utf-8").partition("<script")[0]
    assert "default-src 'none'" in head
    assert not re.search(r"(src|href)=.?(https?:)?//", head)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page", "expected a name that ends in .html"),
        ("no/page.html", "the folder .*/no does not exist"),
        ("folder.html", "it is a folder"),
    ],
)
def test_wrong_arguments_are_refused(
    dataset: Dataset, tmp_path: pathlib.Path, name: str, message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ConfigError, match=f"cannot write report .*{message}"):
        write_report(str(dataset.root), str(tmp_path / name))
    with pytest.raises(DatasetError, match="is not a dataset"):
        write_report(str(tmp_path), str(tmp_path / "a.html"))


def test_a_wrong_name_is_refused_before_slow_imports(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; from pipeline.cli.main import main; "
        "code = main(sys.argv[1:]); "
        "sys.exit(code if {'sklearn', 'plotly'}.isdisjoint(sys.modules) else 9)"
    )
    command = [sys.executable, "-c", code, "report", str(tmp_path), "--output", "a.txt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected a name that ends in .html" in done.stderr
