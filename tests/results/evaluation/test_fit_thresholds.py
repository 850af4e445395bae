"""`fsdsinet evaluate --fit-thresholds`: fitted on some clips, scored on others."""

import csv
import json
import pathlib

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from pipeline.cli.main import main
from pipeline.results.evaluation.folds import assign_folds
from pipeline.results.evaluation.settings import Objective
from pipeline.results.evaluation.thresholds import best_threshold, fit_thresholds
from tests.support.made_dataset import make_dataset, scored
from transforms.elements import Prediction
from transforms.events.thresholds import read_thresholds

LABELS = ("Bark", "Male speech and man speaking", "Meow", "Rain", "Wind")
RARE = "Meow"
NUM_CLIPS = 150


class Corpus:
    """A dataset of clips 0 to 299 and an FSD50K root: first val, then eval.

    Attributes:
        truth: bool [300, num_classes].
        given: Scores, float32 [300, num_classes].
        dataset: Folder of the dataset.
        root: FSD50K root.
        folder: Folder of both.
    """

    def __init__(self, folder: pathlib.Path, seed: int = 0, strength: float = 1.5):
        rng = np.random.default_rng(seed)
        size = (2 * NUM_CLIPS, len(LABELS))
        self.truth = rng.random(size) < [0.3, 0.2, 0.02, 0.15, 0.1]
        self.truth[:3, LABELS.index(RARE)] = True
        self.truth[3:NUM_CLIPS, LABELS.index(RARE)] = False
        noise = rng.normal(-2, 1, size) + strength * self.truth
        self.given = (1 / (1 + np.exp(-noise))).astype(np.float32)
        results = {str(i): scored(row) for i, row in enumerate(self.given)}
        self.folder = folder
        self.dataset = make_dataset(folder / "out", results, LABELS, shard_clips=64)
        self.root = folder / "FSD50K"
        self._write_ground_truth()

    def _write_ground_truth(self) -> None:
        folder = self.root / "FSD50K.ground_truth"
        folder.mkdir(parents=True)
        rows = [
            f'{i},"{",".join(self.labels_of(i))}",/m/1' for i in range(2 * NUM_CLIPS)
        ]
        # Some clips of the training split are not in the dataset.
        val = [f"{row},val" for row in rows[:NUM_CLIPS]] + ["t,Bark,/m/1,train"]
        (folder / "dev.csv").write_text("\n".join(["fname,labels,mids,split", *val]))
        (folder / "eval.csv").write_text(
            "\n".join(["fname,labels,mids", *rows[NUM_CLIPS:]])
        )
        lines = [f"{i},{x.replace(' ', '_')},/m/{i}" for i, x in enumerate(LABELS)]
        (folder / "vocabulary.csv").write_text("\n".join(lines) + "\n")

    def labels_of(self, clip: int) -> list[str]:
        return [LABELS[i].replace(" ", "_") for i in np.flatnonzero(self.truth[clip])]

    def evaluate(self, *options: str, truth: object = None, code: int = 0) -> dict:
        """Runs the command, and returns the part `thresholds` of the JSON file."""
        arguments = ["evaluate", str(self.dataset), "--resamples", "20"]
        arguments += ["--ground-truth", str(truth or self.root)]
        assert main([*arguments, *options]) == code
        if code:
            return {}
        path = self.dataset / "evaluation" / "model=made" / "evaluation.json"
        return json.loads(path.read_text())["thresholds"]

    def rows(self) -> dict[str, dict[str, str]]:
        path = self.dataset / "evaluation" / "model=made" / "classes.csv"
        with path.open(newline="") as file:
            return {row["label"]: row for row in csv.DictReader(file)}


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> Corpus:
    return Corpus(tmp_path)


def read_file(path: pathlib.Path) -> np.ndarray:
    found = read_thresholds(str(path))
    assert tuple(found) == LABELS
    return np.array([one.threshold for one in found.values()])


def assert_scores(
    corpus: Corpus, found: dict, truth: np.ndarray, predicted: np.ndarray
) -> None:
    """The scores in the files are those of scikit-learn."""
    every = precision_recall_fscore_support(truth, predicted, zero_division=0)
    rows = corpus.rows()
    for i, label in enumerate(LABELS):
        for key, values in zip(("precision", "recall", "f1"), every[:3], strict=True):
            assert float(rows[label][key]) == pytest.approx(values[i]), label
            low, high = (float(rows[label][f"{key}{end}"]) for end in ("_low", "_high"))
            assert 0 <= low <= high <= 1
    for name in ("macro", "micro"):
        expected = precision_recall_fscore_support(
            truth, predicted, average=name, zero_division=0
        )
        values = [
            found["scores"][name][key]["value"] for key in ("precision", "recall")
        ]
        assert values == pytest.approx(expected[:2])
        assert found["scores"][name]["f1"]["value"] == pytest.approx(expected[2])


@pytest.mark.parametrize("objective", [Objective(), Objective(0.6)])
def test_thresholds_are_fitted_on_val_and_scored_on_eval(
    corpus: Corpus, capsys: pytest.CaptureFixture[str], objective: Objective
) -> None:
    path = corpus.folder / "thresholds.csv"
    options = ("--fit-thresholds", str(path), "--objective", str(objective))
    found = corpus.evaluate(*options)
    fitted = fit_thresholds(
        corpus.truth[:NUM_CLIPS], corpus.given[:NUM_CLIPS], objective
    )
    thresholds = read_file(path)
    assert thresholds.tolist() == fitted.thresholds.tolist()
    predicted = corpus.given[NUM_CLIPS:] >= thresholds
    assert_scores(corpus, found, corpus.truth[NUM_CLIPS:], predicted)
    rows = corpus.rows()
    assert [float(rows[label]["threshold"]) for label in LABELS] == thresholds.tolist()
    positives = [int(rows[label]["fit_positives"]) for label in LABELS]
    assert positives == corpus.truth[:NUM_CLIPS].sum(axis=0).tolist()
    assert found["fit"]["objective"] == str(objective)
    assert (found["fit"]["split"], found["fit"]["num_clips"]) == ("val", NUM_CLIPS)
    assert found["fit"]["too_few_positives"] == [RARE]
    assert float(rows[RARE]["threshold"]) == found["fit"]["common_threshold"]
    output = capsys.readouterr().out
    assert "of each class, fitted on 150 clips of split val:" in output
    few = "1 of 5 classes have fewer than 5 clips to fit on and keep the threshold of"
    assert few in output and f": {RARE}\n" in output
    macro = found["scores"]["macro"]["precision"]
    text = f"macro     {macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]"
    assert text in output
    assert f"written to {path}: the thresholds" in output


def test_classes_that_do_not_reach_the_precision_are_named(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = Corpus(tmp_path, strength=0.0)
    path = tmp_path / "thresholds.csv"
    found = corpus.evaluate("--fit-thresholds", str(path), "--objective=precision:1")
    val = slice(NUM_CLIPS)
    unreached = [
        label
        for i, label in enumerate(LABELS)
        if label != RARE
        and np.isnan(
            best_threshold(corpus.truth[val, i], corpus.given[val, i], Objective(1))
        )
    ]
    assert unreached and found["fit"]["precision_not_reached"] == unreached
    output = capsys.readouterr().out
    assert "5 classes do not reach the precision and keep the threshold of" in output


def test_scores_of_random_numbers_do_not_look_good(tmp_path: pathlib.Path) -> None:
    """Fitted on the clips that are scored, they would."""
    better = 0
    for seed in range(4):
        corpus = Corpus(tmp_path / str(seed), seed, strength=0.0)
        path = corpus.folder / "thresholds.csv"
        for options in ((), ("--cross-validate", "5")):
            found = corpus.evaluate("--fit-thresholds", str(path), *options)
            fit = found["fit"]["scores_on_fitted_clips"]
            held_out = {name: s["f1"]["value"] for name, s in found["scores"].items()}
            assert held_out["macro"] < fit["macro"]["f1"]
            better += held_out["micro"] >= fit["micro"]["f1"]
    assert better <= 2


def test_cross_validation_scores_each_fold_with_thresholds_of_the_others(
    corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus.folder / "thresholds.csv"
    options = ("--fit-thresholds", str(path), "--cross-validate", "4", "--seed", "3")
    found = corpus.evaluate(*options, "--fit-split", "val")
    truth, given = corpus.truth[:NUM_CLIPS], corpus.given[:NUM_CLIPS]
    files = [f"/audio/{i}.wav" for i in range(NUM_CLIPS)]
    folds = assign_folds(truth, files, 4, 3)
    predicted = np.zeros(truth.shape, bool)
    for clip, fold in enumerate(folds):
        others = folds != fold
        fitted = fit_thresholds(truth[others], given[others], Objective())
        predicted[clip] = given[clip] >= fitted.thresholds
    assert_scores(corpus, found, truth, predicted)
    every = fit_thresholds(truth, given, Objective())
    assert read_file(path).tolist() == every.thresholds.tolist()
    assert found["fit"]["cross_validation_folds"] == 4
    output = capsys.readouterr().out
    assert "in 4 folds: each clip is predicted with thresholds that were" in output
    assert "gets thresholds that are fitted on all 150 clips)" in output


def test_clips_without_a_result_are_not_fitted_on_and_never_predicted(
    tmp_path: pathlib.Path,
) -> None:
    rng = np.random.default_rng(0)
    results: dict[str, Prediction | None] = {
        f"{split}{i}": scored(rng.random(5)) for split in "ab" for i in range(12)
    }
    results |= {"a-broken": None, "b-broken": None}
    dataset = make_dataset(tmp_path / "out", results, LABELS)
    truth = tmp_path / "labels.csv"
    # All positive: the best threshold is below all scores.
    rows = [f"{name},Bark,{name[0]}" for name in results]
    truth.write_text("\n".join(["clip_id,labels,split", *rows]))
    arguments = ["evaluate", str(dataset), f"--ground-truth={truth}", "--resamples=9"]
    arguments += [f"--fit-thresholds={tmp_path / 't.csv'}"]
    for options in (
        ["--fit-split=a", "--split=b"],
        ["--split=b", "--cross-validate=3"],
    ):
        assert main([*arguments, *options]) == 0
        path = dataset / "evaluation" / "model=made" / "evaluation.json"
        found = json.loads(path.read_text())
        assert found["clips"]["evaluated"] == 13
        assert found["thresholds"]["fit"]["num_clips"] == 12
        # The model has four more classes, which no clip has.
        assert found["thresholds"]["scores"]["macro"]["recall"]["value"] == 12 / 13
    assert read_thresholds(str(tmp_path / "t.csv"))["Bark"].threshold < 0.5


def test_given_thresholds_are_scored(
    corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus.folder / "thresholds.csv"
    fitted = corpus.evaluate("--fit-thresholds", str(path))
    before = corpus.rows()
    found = corpus.evaluate("--thresholds", str(path))
    assert found["scores"] == fitted["scores"] and found["fit"] is None
    assert {row["fit_positives"] for row in corpus.rows().values()} == {""}
    assert [r["f1"] for r in corpus.rows().values()] == [
        r["f1"] for r in before.values()
    ]
    capsys.readouterr()
    path.write_text("label,threshold\nMale_speech_and_man_speaking,0.5\nRain,0.25\n")
    found = corpus.evaluate("--thresholds", str(path))
    assert found["without_threshold"] == ["Bark", "Meow", "Wind"]
    output = capsys.readouterr().out
    assert "3 of 5 classes have no threshold in" in output
    truth, given = corpus.truth[NUM_CLIPS:], corpus.given[NUM_CLIPS:]
    used = [LABELS.index("Male speech and man speaking"), LABELS.index("Rain")]
    expected = precision_recall_fscore_support(
        truth[:, used], given[:, used] >= [0.5, 0.25], average="micro"
    )
    assert found["scores"]["micro"]["f1"]["value"] == pytest.approx(expected[2])
    assert corpus.rows()["Wind"]["threshold"] == corpus.rows()["Wind"]["f1"] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,threshold\nBarc,0.5\n", "no label 'Barc'; did you mean Bark?"),
        ("label,threshold\nBark,2\n", "threshold is 2, expected 0 to 1"),
        ("label\nBark\n", "expected label, threshold"),
        (None, "cannot read thresholds"),
    ],
)
def test_wrong_files_of_thresholds_are_refused(
    corpus: Corpus,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    message: str,
) -> None:
    path = corpus.folder / "thresholds.csv"
    if text is not None:
        path.write_text(text)
    corpus.evaluate("--thresholds", str(path), code=2)
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split=val",), "thresholds would be scored on split val, on which they"),
        (("--split=val",), "give another --split or --fit-split, or --cross-validate"),
        (("--fit-split=eval",), "would be scored on split eval"),
        (("--split=dev",), "splits dev and val of "),
        (("--fit-split=train",), "none of the 1 clips of the ground truth"),
        (
            ("--fit-split=val", "--split=eval", "--cross-validate=2"),
            "fits and scores one split: got --split eval and --fit-split val",
        ),
        (("--cross-validate=1",), "number of folds is 1, expected 2 to 150"),
        (("--fit-split=test",), "FSD50K has no split 'test'"),
    ],
)
def test_splits_that_do_not_give_honest_scores_are_refused(
    corpus: Corpus,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    path = corpus.folder / "thresholds.csv"
    corpus.evaluate("--fit-thresholds", str(path), *options, code=2)
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not path.exists() and not (corpus.dataset / "evaluation").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fit-split=val",), "--fit-split is given without --fit-thresholds"),
        (("--objective=f1",), "--objective is given without --fit-thresholds"),
        (
            ("--cross-validate=3", "--thresholds=t.csv"),
            "--cross-validate is given without --fit-thresholds",
        ),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    corpus: Corpus,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    corpus.evaluate(*options, code=2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--thresholds=t.csv",), "not allowed with argument --fit-thresholds"),
        (("--objective=f2",), "objective is 'f2', expected f1 or precision:P"),
        (
            ("--objective=precision:2",),
            "precision is 2, expected above 0 and at most 1",
        ),
    ],
)
def test_wrong_values_are_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    arguments = ["evaluate", "out", "--ground-truth=x", "--fit-thresholds=t.csv"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_splits_of_a_csv_file_must_be_given(
    corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = corpus.folder / "labels.csv"
    rows = [f"{i},Bark,{'ab'[i % 2]}" for i in range(40)]
    truth.write_text("\n".join(["clip_id,labels,split", *rows]))
    fit = f"--fit-thresholds={corpus.folder / 't.csv'}"
    corpus.evaluate(fit, truth=truth, code=2)
    assert "--fit-split is not given: thresholds are fitted" in capsys.readouterr().err
    corpus.evaluate(fit, "--fit-split=a", truth=truth, code=2)
    assert "--split is not given: thresholds are fitted" in capsys.readouterr().err
    corpus.evaluate(fit, "--fit-split=a", "--split=b", truth=truth)
    corpus.evaluate(
        f"--fit-thresholds={truth}", "--cross-validate=2", truth=truth, code=2
    )
    assert "would replace the ground truth" in capsys.readouterr().err


def test_parts_of_one_file_may_not_overlap_between_splits(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    results = {f"c{i}": scored(rng.random(5)) for i in range(20)}
    columns = {
        "start_s": [10.0 * i for i in range(20)],
        "end_s": [10.0 * i + 10 for i in range(20)],
    }
    uris = ["/audio/long.wav"] * 20
    truth = tmp_path / "labels.csv"
    rows = [f"c{i},Bark,{'ab'[i // 10]}" for i in range(20)]
    truth.write_text("\n".join(["clip_id,labels,split", *rows]))
    for name, code in (("apart", 0), ("overlap", 2)):
        if code:
            columns["end_s"][9] += 1
        dataset = make_dataset(tmp_path / name, results, LABELS, columns, uris=uris)
        arguments = ["evaluate", str(dataset), f"--ground-truth={truth}"]
        arguments += [f"--fit-thresholds={tmp_path / 't.csv'}", "--resamples=9"]
        assert main([*arguments, "--split=a", "--fit-split=b"]) == code
    assert "the audio of clip 'c10' is in both" in capsys.readouterr().err
    # All clips are of one file, and a file is in one fold.
    assert main([*arguments, "--cross-validate=2"]) == 2
    assert "number of folds is 2, expected 2 to 1" in capsys.readouterr().err
