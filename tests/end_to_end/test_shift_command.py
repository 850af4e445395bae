"""`fsdsinet shift-test` writes the same results however its run goes."""

import csv
import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import DATA, Command
from tests.support.audio_files import make_readable, make_wav, signal
from tests.support.killed_runs import num_committed, worker_held
from tests.support.processes import processes_naming, running, wait_for
from training.synthesis.encode import encode

MODELS = ("random-tiny-tlpf", "random-tiny-aps")
TABLES = ("offsets.csv", "classes.csv", "differences.csv", "clips.csv")
PICTURES = ("changes.png", "most_changed.png")
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sounds")
    for name in ("pcm16_44k.wav", "flac.flac", "mp3_44k.mp3"):
        make_readable(folder, name)
    for index in range(3):
        make_wav(folder / f"{index}.wav", 22050 * 4, seed=index)
    make_wav(folder / "short.wav", 9000)
    encode(folder / "silent.wav", np.zeros((1, 33075)), 22050, "pcm_s16le")
    # Only the version with the largest offset has the last sample.
    samples = signal(33075, 22050)
    samples[:, -1] = float("nan")
    encode(folder / "nan.wav", samples, 22050, "pcm_f32le")
    (folder / "text.wav").write_text("this is no audio")
    return folder


def shift_test(
    sounds: pathlib.Path, output: pathlib.Path, *options: str
) -> list[str | pathlib.Path]:
    models = [word for x in MODELS for word in ("--model", str(DATA / f"{x}.pb"))]
    command: list[str | pathlib.Path] = ["shift-test", sounds, *models]
    command += ["--output", output, "--offsets", "0.02,1,10,80", "--class-clips", "2"]
    return [*command, *options]


@pytest.fixture(scope="module")
def output(
    tmp_path_factory: pytest.TempPathFactory, sounds: pathlib.Path, fsdsinet: Command
) -> pathlib.Path:
    """The results with one worker."""
    output = tmp_path_factory.mktemp("one") / "out"
    result = fsdsinet(*shift_test(sounds, output, "--workers", "1"))
    assert "8 clips to shift, each in 5 versions" in result.stderr
    assert "6 clips, 4 offsets of 0.02 to 80 ms" in result.stdout
    assert f"{MODELS[0]} minus {MODELS[1]}" in result.stdout
    return output


def assert_same_results(one: pathlib.Path, other: pathlib.Path) -> None:
    for name in (*TABLES, "shift_test.json"):
        assert (one / name).read_text() == (other / name).read_text(), name


def test_tables_and_pictures(output: pathlib.Path) -> None:
    content = json.loads((output / "shift_test.json").read_text())
    assert [model["name"] for model in content["models"]] == [*MODELS]
    assert content["clips"]["compared"] == 6
    left_out = content["clips"]["left_out"]
    assert [*left_out] == ["failed", "length not known", "silent"]
    stems = [name.rpartition("-")[0] for (name,) in left_out.values()]
    assert stems == ["nan", "text", "silent"]
    with (output / "offsets.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["model"], row["offset_ms"]) for row in rows] == [
        (model, offset) for model in MODELS for offset in ("0.02", "1", "10", "80")
    ]
    for row in rows:
        for name in ("mean_change", "embedding_change"):
            value, low, high = (float(row[name + x]) for x in ("", "_low", "_high"))
            assert 0 < low <= value <= high
    assert content["by_offset"][MODELS[0]][1]["mean_change"]["value"] == float(
        rows[1]["mean_change"]
    )
    for name in PICTURES:
        with Image.open(output / name) as picture:
            assert picture.width > 1000


def test_two_workers_give_the_same_results(
    output: pathlib.Path,
    sounds: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    other = tmp_path / "out"
    fsdsinet(*shift_test(sounds, other, "--workers", "2"))
    assert_same_results(other, output)


@pytest.mark.slow
def test_killed_run_continues(
    output: pathlib.Path,
    sounds: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    other, tmp = tmp_path / "out", tmp_path / "tmp"
    arguments = shift_test(sounds, other, "--workers", "2")
    with running(arguments, tmp) as process, worker_held(tmp, None):
        wait_for(lambda: num_committed(other / "dataset") >= 1)
        process.kill()
        wait_for(lambda: not processes_naming(str(tmp)))
    assert not (other / "shift_test.json").exists()
    result = fsdsinet(*arguments)
    assert "nothing to do" not in result.stdout
    assert_same_results(other, output)
    assert "nothing to do" in fsdsinet(*arguments).stdout
    assert_same_results(other, output)


@pytest.mark.slow
def test_shifts_in_mel_bins(
    sounds: pathlib.Path, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    made = tmp_path / "made"
    options = ("--clips", "2", "--offsets", "1", "--bins", "1")
    result = fsdsinet(*shift_test(sounds, made, *options))
    assert (made / "bin_differences.csv").read_text().count("\n") > 1
    assert "2 offsets of -1 to 1 bins" in result.stdout
    content = json.loads((made / "shift_test.json").read_text())
    assert content["bins"]["offsets"] == [-1, 1]
    with (made / "bins.csv").open() as file:
        rows = [*csv.DictReader(file)]
    keys = [(row["model"], row["bins"]) for row in rows]
    assert keys == [(model, bins) for model in MODELS for bins in ("-1", "1")]
    for row in rows:
        before, after = (
            activations(made / folder, row["model"])
            for folder in ("dataset", f"bins/{int(row['bins']):+d}")
        )
        changes = [np.abs(after[name] - before[name]).mean() for name in after]
        assert float(row["mean_change"]) == pytest.approx(np.mean(changes), rel=1e-5)
    with Image.open(made / "bins.png") as picture:
        assert picture.width > 1000


def activations(dataset: pathlib.Path, model: str) -> dict[str, np.ndarray]:
    """clip_id -> means of the activations over the patches."""
    table = pq.read_table(dataset / "clips" / f"model={model}")
    rows = table.select(["clip_id", "activations_mean"]).to_pylist()
    return {row["clip_id"]: np.array(row["activations_mean"]) for row in rows}


def test_other_clips_or_offsets_are_refused(
    output: pathlib.Path, sounds: pathlib.Path, fsdsinet: Command
) -> None:
    for options in (["--offsets", "1,2"], ["--clips", "2"]):
        result = fsdsinet(*shift_test(sounds, output, *options), code=2)
        assert "has other clips or offsets than this test" in result.stderr
