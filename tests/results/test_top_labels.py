"""`fsdsinet top`: the top labels of every clip, from Parquet."""

import csv
import pathlib
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from tests.conftest import DATA, Command
from tests.support.audio_files import make_wav
from tests.support.made_dataset import make_dataset, scored
from tests.support.synthetic_dataset import write_synthetic_dataset

MODEL = "random-tiny-tlpf"
WHAT = {
    "long": "a sweep that lasts",
    "other": "another one, with a description that is too long for a line",
    "short": "",
    "broken": "no sound at all",
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, fsdsinet: Command) -> pathlib.Path:
    """A dataset of two models and four clips: one is too short, one is not audio."""
    folder = tmp_path_factory.mktemp("top")
    for seed, (name, seconds) in enumerate((("long", 3), ("other", 2), ("short", 0.5))):
        make_wav(folder / f"{name}.wav", round(seconds * 22050), seed=seed)
    (folder / "broken.wav").write_text("this is no audio")
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["clip_id", "uri", "what"])
        rows.writerows([name, f"{name}.wav", what] for name, what in WHAT.items())
    models = [f"--model={DATA / f'{name}.pb'}" for name in (MODEL, "random-tiny-aps")]
    options = ("--last-patch", "discard", "--output", folder / "out")
    fsdsinet("extract", folder / "manifest.csv", *models, *options)
    return folder / "out"


def top(
    capsys: pytest.CaptureFixture[str], output: pathlib.Path, *options: str
) -> list[str]:
    assert main(["top", str(output), *options]) == 0
    captured = capsys.readouterr()
    assert not captured.err
    return captured.out.splitlines()


def stored(output: pathlib.Path, clip_id: str, num: int, model: str = MODEL) -> str:
    """The top labels of a clip in the dataset, as the command prints them."""
    clips = pd.read_parquet(output / "clips" / f"model={model}")
    entries = clips["top_labels"][clips["clip_id"] == clip_id].iloc[0][:num]
    return ", ".join(f"{entry['label']} {entry['score']:.2f}" for entry in entries)


def test_every_clip_has_a_line(
    output: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert top(capsys, output, "--model", MODEL) == [
        "broken  failed: not_audio",
        f"long    {stored(output, 'long', 3)}",
        f"other   {stored(output, 'other', 3)}",
        "short   shorter than one patch",
    ]
    assert len(stored(output, "long", 3).split(", ")) >= 3


def test_model_is_chosen(
    output: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = top(capsys, output, "--model", "random-tiny-aps", "--labels", "2")
    expected = stored(output, "long", 2, "random-tiny-aps")
    assert lines[1] == f"long    {expected}"
    assert expected != stored(output, "long", 2)


@pytest.mark.parametrize("num", [1, 10])
def test_number_of_labels_is_chosen(
    output: pathlib.Path, capsys: pytest.CaptureFixture[str], num: int
) -> None:
    lines = top(capsys, output, "--model", MODEL, "--labels", str(num))
    assert lines[1] == f"long    {stored(output, 'long', num)}"


def test_a_column_of_the_manifest_is_shown(
    output: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", MODEL, "--labels", "1", "--column", "what")
    assert top(capsys, output, *options) == [
        f"broken  {'no sound at all':36}  failed: not_audio",
        f"long    {'a sweep that lasts':36}  {stored(output, 'long', 1)}",
        f"other   another one, with a description tha…  {stored(output, 'other', 1)}",
        f"short   {'':36}  shorter than one patch",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), f"no model was given, expected one of: {MODEL}, random-tiny-aps"),
        (("--model", "vgg99"), f"expected one of: {MODEL}, random-tiny-aps"),
        (("--model", MODEL, "--column", "colour"), "has no column 'colour', expected"),
        (("--model", MODEL, "--labels", "0"), "labels is 0, expected 1 to 10"),
        (("--model", MODEL, "--labels", "11"), "labels is 11, expected 1 to 10"),
        (("--model", MODEL, "--labels", "few"), "got 'few', expected a whole number"),
        (("--model", MODEL, "--", "--beam"), "only extract takes flags for Beam"),
    ],
)
def test_wrong_options_are_refused(
    output: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(main(["top", str(output), *options]))
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_a_folder_without_a_dataset_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        assert main(["top", str(folder)]) == 2
        assert "is not a dataset: it has no run.json" in capsys.readouterr().err


def test_a_dataset_without_committed_clips_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_synthetic_dataset(tmp_path / "out", 3, state="stopped")
    for path in dataset.parts("ledger"):
        pathlib.Path(path).unlink()
    assert main(["top", dataset.root]) == 2
    assert "has no results yet: the run was stopped" in capsys.readouterr().err


def test_a_dataset_without_activations_is_refused(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    clip = make_wav(tmp_path / "a.wav", 40000)
    options = ("--outputs", "embeddings", "--output", tmp_path / "out")
    fsdsinet("extract", clip, "--model", tiny_model, *options)
    completed = fsdsinet("top", tmp_path / "out", code=2)
    assert f"has no activations_mean of model {MODEL}" in completed.stderr


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("ledger", "is in the ledger twice"),
        ("clips/model=made", "has results twice, or results that are not expected"),
        ("no clips", "has no results"),
    ],
)
def test_clips_that_do_not_fit_the_ledger_are_refused(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    message: str,
) -> None:
    results = {name: scored([0.5]) for name in "abcd"}
    output = make_dataset(tmp_path / "out", results, ["Bell"], shard_clips=2)
    if damage == "ledger":
        # A part of the same clips, under another name.
        for table in ("ledger", "clips/model=made"):
            (path, _) = sorted((output / table).iterdir())
            shutil.copy(path, path.with_name("part-zzz.parquet"))
    else:
        first, _ = sorted((output / "clips/model=made").iterdir())
        rows = pq.ParquetFile(first).read()
        rows = rows.slice(1) if damage == "no clips" else pa.concat_tables([rows, rows])
        pq.write_table(rows, first)
    assert main(["top", str(output)]) == 2
    assert message in capsys.readouterr().err
