"""`fsdsinet evaluate`: scores of a dataset against a ground truth."""

import csv
import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from sklearn.metrics import average_precision_score

from pipeline.cli.main import main
from pipeline.results.evaluation.evaluate import evaluate, score_all
from pipeline.results.evaluation.evaluation_files import draw_classes
from pipeline.results.evaluation.intervals import Estimate
from pipeline.results.evaluation.settings import Settings
from tests.support.made_dataset import make_dataset, scored
from transforms.elements import Prediction
from transforms.models.registry import published_labels

LABELS = ("Bark", "Male speech and man speaking", "Rain")
RESULTS = {
    "a": scored([[0.9, 0.1, 0.3], [0.5, 0.2, 0.1]], [[1, 0], [0, 1]]),
    "b": scored([0.8, 0.7, 0.2]),
    "c": scored([0.1, 0.6, 0.6]),
    "d": scored([0.3, 0.2, 0.7]),
    "broken": None,
}
TRUTH = (
    'clip_id,labels\na,Bark\nb,"Male_speech_and_man_speaking,Bark"\nc,Rain\n'
    "d,Male speech and man speaking\n"
)


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> pathlib.Path:
    return make_dataset(tmp_path / "out", RESULTS, LABELS)


def write(folder: pathlib.Path, text: str) -> str:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def files_of(dataset: pathlib.Path) -> tuple[dict, dict[str, dict[str, str]]]:
    """Returns the content of the JSON file, and the rows of the CSV file by label."""
    folder = dataset / "evaluation" / "model=made"
    with (folder / "classes.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    return json.loads((folder / "evaluation.json").read_text("utf-8")), rows


def run(dataset: pathlib.Path, truth: str, *options: str, code: int = 0) -> None:
    arguments = ["evaluate", str(dataset), "--ground-truth", truth]
    assert main([*arguments, "--resamples", "50", *options]) == code


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_scores_are_those_of_scikit_learn(
    dataset: pathlib.Path, tmp_path: pathlib.Path, aggregate: str
) -> None:
    run(dataset, write(tmp_path, TRUTH), "--aggregate", aggregate)
    found, rows = files_of(dataset)
    first = [0.7, 0.15, 0.2] if aggregate == "mean" else [0.9, 0.2, 0.3]
    given = np.array([first, [0.8, 0.7, 0.2], [0.1, 0.6, 0.6], [0.3, 0.2, 0.7]])
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]])
    precisions = [average_precision_score(truth[:, i], given[:, i]) for i in range(3)]
    for label, precision in zip(LABELS, precisions, strict=True):
        assert float(rows[label]["ap"]) == pytest.approx(precision)
    assert [int(rows[label]["num_positives"]) for label in LABELS] == [2, 2, 1]
    assert found["scores"]["mAP"]["value"] == pytest.approx(np.mean(precisions))
    assert found["clips"] == {
        "evaluated": 4,
        "without_result": {},
        "without_result_counted_as": "zero",
    }
    picture = dataset / "evaluation" / "model=made" / "classes.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_clips_without_result_are_counted(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path, TRUTH + "broken,Bark\nnobody,Bark\n")
    run(dataset, truth)
    found, rows = files_of(dataset)
    assert found["clips"]["evaluated"] == 6
    reasons = {"failed": 1, "not in the dataset": 1}
    assert found["clips"]["without_result"] == reasons
    precision = average_precision_score([1, 1, 0, 0, 1, 1], [0.7, 0.8, 0.1, 0.3, 0, 0])
    assert float(rows["Bark"]["ap"]) == pytest.approx(precision)
    text = "2 of 6 clips of the ground truth have no result (1 failed, 1 not in the "
    assert text + "dataset): counted as scored 0; --mis" in capsys.readouterr().out
    run(dataset, truth, "--missing", "skip")
    found, rows = files_of(dataset)
    assert found["clips"]["evaluated"] == 4
    assert float(rows["Bark"]["ap"]) == 1
    assert text + "dataset): left out" in capsys.readouterr().out


def test_clips_too_short_for_a_patch_have_no_result(tmp_path: pathlib.Path) -> None:
    nothing = Prediction(np.empty((0, 3), np.float32), np.empty((0, 2), np.float32))
    results = {**RESULTS, "short": nothing}
    dataset = make_dataset(tmp_path / "out", results, LABELS)
    run(dataset, write(tmp_path, TRUTH + "short,Rain\n"))
    reasons = files_of(dataset)[0]["clips"]["without_result"]
    assert reasons == {"shorter than one patch": 1}


def test_classes_without_clips_are_excluded_and_named(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, write(tmp_path, "clip_id,labels\na,Bark\nb,Bark\nc,Rain\nd,\n"))
    found, rows = files_of(dataset)
    assert found["classes"]["without_positives"] == ["Male speech and man speaking"]
    assert rows["Male speech and man speaking"]["ap"] == ""
    used = [float(rows[label]["ap"]) for label in ("Bark", "Rain")]
    assert found["scores"]["mAP"]["value"] == pytest.approx(np.mean(used))
    excluded = "1 of 3 classes have no clip in the ground truth and do not count: Male"
    assert excluded in capsys.readouterr().out


def test_a_class_that_every_clip_has_is_named(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dataset, write(tmp_path, "clip_id,labels\na,Bark\nb,Bark\n"))
    assert "1 classes are in every clip" in capsys.readouterr().out
    found, rows = files_of(dataset)
    assert (rows["Bark"]["ap"], rows["Bark"]["auc"]) == ("1.0", "")
    assert found["scores"]["d_prime"]["value"] is None


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ("a b c d", "clip_id"),
        ("one two three four", "fname"),
        ("a.wav b.wav c.wav d.wav", "file name"),
    ],
)
def test_clips_are_joined_by_name(tmp_path: pathlib.Path, names: str, key: str) -> None:
    fnames = ["one", "two", "three", "four", "five"]
    dataset = make_dataset(tmp_path / "out", RESULTS, LABELS, {"fname": fnames})
    labels = ["Bark", "Bark", "Rain", "Rain"]
    pairs = [*zip(names.split(), labels, strict=True)]
    # Not in the order of the dataset.
    lines = [f"{name},{label}" for name, label in reversed(pairs)]
    run(dataset, write(tmp_path, "\n".join(["fname,labels", *lines])))
    found, rows = files_of(dataset)
    assert found["ground_truth"]["names_are"] == key
    assert float(rows["Bark"]["ap"]) == 1 and float(rows["Rain"]["ap"]) == 1


def test_a_name_that_several_clips_have_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"fname": ["x", "x", "y", "z", "u"]}
    dataset = make_dataset(tmp_path / "out", RESULTS, LABELS, names)
    run(dataset, write(tmp_path, "fname,labels\nx,Bark\n"), code=2)
    assert "names 'x', the fname of several clips" in capsys.readouterr().err


def test_only_clips_of_the_split_are_scored(
    dataset: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    text = "clip_id,labels,split\na,Bark,x\nb,Bark,y\nc,Rain,x\n"
    run(dataset, write(tmp_path, text), "--split", "x")
    assert files_of(dataset)[0]["clips"]["evaluated"] == 2


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("clip_id,labels\na,Meow\n", (), "does not know 1 of the 1 labels"),
        ("clip_id,labels\na,Bark\n", ("--split", "x"), "has no column split"),
        (
            "clip_id,labels,split\na,Bark,y\n",
            ("--split", "x"),
            "has no clip with split 'x'",
        ),
        ("clip_id,labels\n", (), "has no rows"),
        ("name,labels\na,Bark\n", (), "expected clip_id or fname, and labels"),
        ("clip_id,labels\na,Bark\na,Rain\n", (), "has clip 'a' twice"),
        ("clip_id,labels\na\n", (), "has a row without a name or labels"),
        ("clip_id,labels\nz,Bark\n", (), "none of the 1 clips"),
        ("clip_id,labels\nbroken,Bark\n", (), "no clip of the ground truth"),
        ("clip_id,labels\na,\n", (), "none of the 1 clips to score has a label"),
        ("clip_id,labels\na,Bark\n", ("--model", "b"), "expected one of: made"),
    ],
)
def test_ground_truth_that_does_not_fit_the_dataset_is_refused(
    dataset: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    run(dataset, write(tmp_path, text), *options, code=2)
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1 and not captured.out
    assert not (dataset / "evaluation").exists()


def test_wrong_arguments_are_refused(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path, TRUTH)
    run(tmp_path, truth, code=2)
    assert "is not a dataset" in capsys.readouterr().err
    run(dataset, str(tmp_path / "none.csv"), code=2)
    assert "cannot read ground truth" in capsys.readouterr().err
    run(dataset, str(tmp_path), code=2)
    assert "a folder without FSD50K.ground_truth" in capsys.readouterr().err
    run(dataset, truth, "--output", f"{truth}/x", code=2)
    assert "cannot write evaluation" in capsys.readouterr().err
    assert main(["evaluate", str(dataset), f"--ground-truth={truth}", "--", "-x"]) == 2
    run(dataset, truth, "--resamples", "0", code=2)
    assert "resamples is 0, expected 1 or more" in capsys.readouterr().err


def test_a_dataset_without_activations_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path / "o", RESULTS, LABELS, outputs=("embeddings",))
    run(dataset, write(tmp_path, TRUTH), code=2)
    assert "has no activations_mean of model made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "text"),
    [("running", "still going or was killed"), ("stopped", "the run was stopped")],
)
def test_a_run_that_has_not_finished_is_named(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    state: str,
    text: str,
) -> None:
    dataset = make_dataset(tmp_path / "out", RESULTS, LABELS, state=state)
    # The last shard has results, but is not committed.
    sorted((dataset / "ledger").iterdir())[-1].unlink()
    run(dataset, write(tmp_path, TRUTH))
    output = capsys.readouterr().out
    assert "NOT FINISHED: the run" in output and text in output
    assert " of 5 clips are done" in output and "not in the dataset" in output


def test_a_run_without_results_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path / "out", RESULTS, LABELS, state="running")
    shutil.rmtree(dataset / "ledger")
    run(dataset, write(tmp_path, TRUTH), code=2)
    assert "has no results yet: the run is still going" in capsys.readouterr().err


def test_lost_or_repeated_results_are_refused(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path, TRUTH)
    one, other = sorted((dataset / "clips" / "model=made").iterdir())
    one.rename(tmp_path / "kept")
    run(dataset, truth, code=2)
    assert "1 of 2 ledger files have no file" in capsys.readouterr().err
    shutil.copy(other, one)
    run(dataset, truth, code=2)
    assert (
        "is damaged: ledger and clips of model made differ" in capsys.readouterr().err
    )


def test_intervals_contain_the_score_of_a_very_large_corpus() -> None:
    """Most intervals contain it, although classes have few clips here.

    Intervals of plain quantiles of the resamples contain it for mAP in 3 of 10 cases.
    """

    def draw(num_clips: int) -> tuple[np.ndarray, np.ndarray]:
        truth = rng.random((num_clips, 15)) < np.geomspace(0.004, 0.1, 15)
        given = rng.standard_normal(truth.shape) + truth * np.linspace(1, 3.5, 15)
        return truth, given

    rng = np.random.default_rng(0)
    truth, given = draw(60_000)
    labels = [str(i) for i in range(15)]
    _, large = score_all(truth, given, labels, Settings(num_resamples=1))
    held = dict.fromkeys(("mAP", "mean_auc", "d_prime", "lwlrap"), 0)
    for seed in range(30):
        truth, given = draw(1000)
        settings = Settings(num_resamples=80, seed=seed)
        _, overall = score_all(truth, given, labels, settings)
        for key, estimate in overall.items():
            held[key] += estimate.low <= large[key].value <= estimate.high
    assert held["mAP"] >= 25 and min(held.values()) >= 20, held


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_picture_shows_the_best_on_top(
    dataset: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    truth = write(tmp_path, TRUTH)
    evaluation = evaluate(str(dataset), truth, None, None, Settings(num_resamples=9))
    figure = draw_classes(evaluation)
    left, right = figure.axes
    values = widths(left)
    assert values == sorted(values, reverse=True) and len(values) == 3
    precision = {c.label: c.average_precision.value for c in evaluation.classes}
    names = [text.get_text() for text in left.get_yticklabels()]
    assert [precision[name] for name in names] == values
    positives = {c.label: c.num_positives for c in evaluation.classes}
    assert widths(right) == [positives[name] for name in names]
    bottom, top = left.get_ylim()
    assert top < bottom, "the first row must be on top"


def published_dataset(
    folder: pathlib.Path, graph: bytes | None, name: str = "fsd-sinet-vgg41-tlpf-1"
) -> tuple[pathlib.Path, str]:
    """A dataset under the name of a published model, and an FSD50K root for it."""
    labels = published_labels()
    rng = np.random.default_rng(0)
    results = {str(i): scored(rng.random(200)) for i in range(6)}
    dataset = make_dataset(folder / "out", results, labels, model=name)
    truth = folder / "FSD50K" / "FSD50K.ground_truth"
    truth.mkdir(parents=True)
    rows = [f'{i},"{labels[i].replace(" ", "_")},Animal",/m/1' for i in range(6)]
    (truth / "eval.csv").write_text("\n".join(["fname,labels,mids", *rows]))
    vocabulary = sorted(label.replace(" ", "_") for label in labels)
    lines = [f"{i},{label},/m/{i}" for i, label in enumerate(vocabulary)]
    (truth / "vocabulary.csv").write_text("\n".join(lines) + "\n")
    if graph is not None:
        path = folder / "graph.pb"
        path.write_bytes(graph)
        text = (dataset / "run.json").read_text().replace("gone.pb", str(path))
        sha256 = hashlib.sha256(graph).hexdigest()
        (dataset / "run.json").write_text(text.replace("0" * 64, sha256))
    return dataset, str(truth.parent)


def test_the_published_score_is_shown_beside_the_measured_score(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, root = published_dataset(tmp_path, None)
    evaluation = evaluate(str(dataset), root, None, None, Settings(num_resamples=9))
    assert evaluation.truth.split == "eval"
    assert evaluation.published is not None
    assert evaluation.published.mean_average_precision == 0.484
    run(dataset, root)
    output = capsys.readouterr().out
    difference = evaluation.overall["mAP"].value - 0.484
    assert "published mAP 0.484 ± 0.002; the measured mAP differs by " in output
    assert f"differs by {difference:+.3f}\n" in output
    assert "compared by name only" in output


def test_another_graph_under_a_published_name_is_not_compared(
    tmp_path: pathlib.Path,
) -> None:
    dataset, root = published_dataset(tmp_path, b"some other graph")
    evaluation = evaluate(str(dataset), root, None, None, Settings(num_resamples=9))
    assert evaluation.published is None


def test_the_model_must_know_the_vocabulary_of_fsd50k(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, root = published_dataset(tmp_path, None)
    dataset = make_dataset(tmp_path / "small", RESULTS, LABELS)
    run(dataset, root, code=2)
    error = capsys.readouterr().err
    assert "does not know 197 of the 200 labels of the vocabulary" in error
    run(dataset, root, "--split", "test", code=2)
    assert "expected one of train, val, dev, eval" in capsys.readouterr().err
    run(dataset, root, "--split", "dev", code=2)
    assert "cannot read FSD50K ground truth" in capsys.readouterr().err
    vocabulary = pathlib.Path(root) / "FSD50K.ground_truth" / "vocabulary.csv"
    vocabulary.write_text("Bark\n")
    run(dataset, root, code=2)
    assert "cannot read FSD50K vocabulary" in capsys.readouterr().err


def test_intervals_are_within_0_and_1(
    dataset: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    truth = write(tmp_path, TRUTH)
    evaluation = evaluate(str(dataset), truth, None, None, Settings(num_resamples=99))
    mean_auc = evaluation.overall["mean_auc"]
    assert isinstance(mean_auc, Estimate)
    for estimate in (mean_auc, *(c.average_precision for c in evaluation.classes)):
        assert 0 <= estimate.low <= estimate.high <= 1
