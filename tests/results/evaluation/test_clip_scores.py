"""Scores of clips that are made from patches: the mean of logits."""

import csv
import json
import pathlib
import tempfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.cli.main import main
from pipeline.dataset.snapshot import Snapshot
from pipeline.results.evaluation.clip_scores import read_scored_clips
from pipeline.results.evaluation.ground_truth import GroundTruth
from pipeline.results.events import clip_blocks
from tests.support.made_dataset import make_dataset
from transforms.elements import Prediction
from transforms.events.settings import EventSettings

LABELS = ("Bark", "Rain", "Wind")
ACTIVATIONS = st.floats(0, 1, width=32)


def of_patches(activations: object) -> Prediction:
    values = np.atleast_2d(np.array(activations, np.float32))
    return Prediction(values, np.zeros((len(values), 2), np.float32))


def slow_logit_mean(patches: np.ndarray) -> list[float]:
    means = []
    for column in patches.astype(np.float64).T:
        logits = []
        for value in column:
            clipped = min(max(value, 1e-7), 1 - 1e-7)
            logits.append(np.log(clipped / (1 - clipped)))
        means.append(1 / (1 + np.exp(-sum(logits) / len(logits))))
    return means


def read_logit_means(folder: pathlib.Path, clip_ids: list[str]) -> np.ndarray:
    truth = GroundTruth("t", None, {clip_id: ("Wind", "Bark") for clip_id in clip_ids})
    snapshot = Snapshot(str(folder), None)
    clips = read_scored_clips(truth, snapshot, ["Bark", "Wind"], "logit-mean", "zero")
    return clips.given


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.integers(1, 9).flatmap(
            lambda n: arrays(np.float32, (n, 3), elements=ACTIVATIONS)
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 5),
)
def test_logit_means_are_those_of_a_plain_loop(
    clips: list[np.ndarray], batch_rows: int
) -> None:
    results = {f"c{i}": of_patches(patches) for i, patches in enumerate(clips)}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_blocks, "_BATCH_ROWS", batch_rows)
        dataset = make_dataset(pathlib.Path(folder) / "out", results, LABELS)
        found = read_logit_means(dataset, [*reversed(results)])
    expected = [slow_logit_mean(patches[:, [0, 2]]) for patches in reversed(clips)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_logit_means_tell_scores_apart_that_are_equal_in_float32(
    tmp_path: pathlib.Path,
) -> None:
    near_1 = [1 - 1e-6, 1 - 1e-6, 1 - 1.2e-6]
    results = {
        "a": of_patches([[near_1[0]] * 3, [near_1[1]] * 3]),
        "b": of_patches([[near_1[0]] * 3, [1 - 1.06e-6] * 3]),
    }
    dataset = make_dataset(tmp_path / "out", results, LABELS)
    found = read_logit_means(dataset, ["a", "b"])
    assert found[0, 0] > found[1, 0]
    assert np.float32(found[0, 0]) == np.float32(found[1, 0])


def test_the_aggregation_is_named_with_every_score(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results: dict[str, Prediction | None] = {
        # The means of both clips are equal; their means of logits are not.
        "a": of_patches([[0.999, 0.1, 0.3], [0.001, 0.2, 0.1]]),
        "b": of_patches([[0.01, 0.1, 0.3], [0.99, 0.2, 0.1], [0.6, 0.1, 0.2]]),
        "broken": None,
    }
    dataset = make_dataset(tmp_path / "out", results, LABELS)
    truth = tmp_path / "labels.csv"
    truth.write_text("clip_id,labels\na,Bark\nb,Wind\nbroken,Wind\n")
    arguments = ["evaluate", str(dataset), "--ground-truth", str(truth)]
    assert main([*arguments, "--resamples=9", "--aggregate", "logit-mean"]) == 0
    assert "model made, logit-mean over patches, 3 clips" in capsys.readouterr().out
    folder = dataset / "evaluation" / "model=made"
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["aggregate"] == "logit-mean"
    with (folder / "classes.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert {row["aggregate"] for row in rows} == {"logit-mean"}
    # 0.5 of clip a is below the score of clip b, 0 of the broken clip is below both.
    assert float(rows[0]["ap"]) == 0.5


def test_patches_that_the_ledger_does_not_state_are_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {
        "a": of_patches([[0.9, 0.1, 0.3], [0.5, 0.2, 0.1]]),
        "b": of_patches([0, 0, 0]),
    }
    dataset = make_dataset(tmp_path / "out", results, LABELS)
    (path,) = (dataset / "patches" / "model=made").iterdir()
    table = pq.read_table(path, partitioning=None)
    truth = tmp_path / "labels.csv"
    truth.write_text("clip_id,labels\na,Bark\n")
    arguments = ["evaluate", str(dataset), "--ground-truth", str(truth)]
    arguments += ["--aggregate", "logit-mean"]
    pq.write_table(table.slice(1), path)
    assert main(arguments) == 2
    assert "clip 'a' has 1 patches, the ledger states 2" in capsys.readouterr().err
    pq.write_table(table.slice(0, 2), path)
    assert main(arguments) == 2
    assert "clip 'b' has no results; extract again" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["embeddings", "events"])
def test_logit_means_need_activations_of_patches(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    results = {"a": of_patches([0.9, 0.1, 0.3])}
    events = EventSettings() if output == "events" else None
    dataset = make_dataset(
        tmp_path / "o", results, LABELS, outputs=(output,), events=events
    )
    truth = tmp_path / "labels.csv"
    truth.write_text("clip_id,labels\na,Bark\n")
    arguments = ["evaluate", str(dataset), "--ground-truth", str(truth)]
    assert main([*arguments, "--aggregate=logit-mean"]) == 2
    assert "has no activations of model made: it was" in capsys.readouterr().err
