"""`fsdsinet search`: the nearest clips, by embedding."""

import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.dataset.snapshot import Snapshot
from pipeline.results.search.nearest import Nearest, Neighbour
from pipeline.results.search.search import clip_embedding, search
from tests.conftest import Command
from tests.support.audio_files import make_wav
from tests.support.made_dataset import make_dataset, scored

LABELS = ("Bark", "Rain")


def slow_order(query: np.ndarray, vectors: np.ndarray) -> list[tuple[float, int]]:
    """Returns (-cosine, row) of every row that is not all zeros, the nearest first."""
    found = []
    for row, vector in enumerate(vectors.astype(np.float64)):
        if vector.any():
            cosine = np.dot(vector, query) / np.linalg.norm(vector)
            found.append((-cosine / np.linalg.norm(query.astype(np.float64)), row))
    return sorted(found)


@given(
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(1, 7),
    st.sampled_from([2, 5, 1000]),
)
@settings(deadline=None, max_examples=80)
def test_nearest_equals_a_slow_search(
    seed: int, num_rows: int, top: int, num_batches: int, num_steps: int
) -> None:
    rng = np.random.default_rng(seed)
    # Few steps make equal vectors and vectors of zeros.
    vectors = rng.integers(0, num_steps, (num_rows, 3)).astype(np.float32)
    query = rng.integers(1, 9, 3).astype(np.float32)
    nearest = Nearest(query, top)
    ids = [f"{row:03d}" for row in range(num_rows)]
    for rows in np.array_split(rng.permutation(num_rows), num_batches):
        nearest.offer([ids[row] for row in rows], vectors[rows])
    expected = slow_order(query, vectors)[:top]
    found = nearest.best()
    similarities = [row.similarity for row in found]
    np.testing.assert_allclose(similarities, [-value for value, _ in expected])
    assert similarities == sorted(similarities, reverse=True)
    of = {ids[row]: -value for value, row in slow_order(query, vectors)}
    for row in found:
        assert row.similarity == pytest.approx(of[row.clip_id])
    assert len({row.clip_id for row in found}) == len(found)


def test_equally_near_clips_are_sorted_by_clip_id() -> None:
    for ids in ("abcd", "dcba", "bdac"):
        nearest = Nearest(np.array([1.0, 1.0]), 2)
        for clip_id in ids:
            nearest.offer([clip_id], np.array([[2, 2]], np.float32))
        assert [row.clip_id for row in nearest.best()] == ["a", "b"]


def test_a_clip_counts_by_its_best_patch() -> None:
    nearest = Nearest(np.array([1.0, 0.0]), 2)
    vectors = np.array([[1, 1], [1, 0], [0, 1], [1, 2]], np.float32)
    nearest.offer(["a", "a", "b", "c"], vectors, np.array([0.0, 0.5, 0.0, 0.0]), "p")
    nearest.offer(["c"], np.array([[1, 1.5]], np.float32), np.array([7.5]), "q")
    best, second = nearest.best()
    assert best == Neighbour("a", 1.0, 0.5, "p")
    assert (second.clip_id, second.start_s, second.part) == ("c", 7.5, "q")


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> pathlib.Path:
    """Clips at different angles; one patch of c is near a, the mean of c is not."""
    results = {
        "a": scored([0.9, 0.1], [1, 0]),
        "b": scored([0.8, 0.3], [1, 0.5]),
        "c": scored([[0.1, 0.7]] * 3, [[0, 9], [1, 0.01], [0, 9]]),
        "d": scored([0.2, 0.6], [0.2, 1]),
        "zero": scored([0.2, 0.6], [0, 0]),
        "broken": None,
    }
    columns = {"split": ["train", "val", "train", "val", "val", "val"]}
    return make_dataset(tmp_path / "out", results, LABELS, columns)


def found(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[list[str]]:
    """Runs a search and returns the words of each line of output."""
    assert main(["search", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    assert not captured.err
    return [line.split() for line in captured.out.splitlines()]


def test_nearest_clips_are_listed(
    dataset: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = found(capsys, dataset, "--clip", "a")
    assert head == ["similarity", "clip", "top", "label", "audio"]
    assert [row[1:] for row in rows] == [
        ["b", "Bark", "/audio/b.wav"],
        ["d", "Rain", "/audio/d.wav"],
        ["c", "Rain", "/audio/c.wav"],
    ]
    assert rows[0][0] == f"{1 / 1.25**0.5:.4f}"
    assert found(capsys, dataset, "--clip", "a.wav", "--top", 1) == [head, rows[0]]


def test_patches_state_where_the_nearest_patch_starts(
    dataset: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *rows = found(capsys, dataset, "--clip", "a", "--patches")
    assert [row[1] for row in rows] == ["c", "b", "d"]
    assert rows[0][2:4] == ["0.50", "s"], "the second patch"
    assert rows[0][0] == "0.9999" or rows[0][0] == "1.0000"


def test_a_condition_on_the_ledger_limits_the_clips(
    dataset: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "split = 'val' -- and not c"
    _, *rows = found(capsys, dataset, "--clip", "a", "--where", where)
    assert [row[1] for row in rows] == ["b", "d"]
    _, *rows = found(capsys, dataset, "--clip", "a", "--where", "num_patches > 1")
    assert [row[1] for row in rows] == ["c"]
    only = found(capsys, dataset, "--clip", "a", "--where", "clip_id = 'a'")
    assert only == ["no other clip with an embedding was found".split()]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_has_the_format_of_its_extension(
    dataset: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    suffix: str,
) -> None:
    path = tmp_path / f"found.{suffix}"
    found(capsys, dataset, "--clip", "a", "--patches", "--output", path)
    if suffix == "json":
        table = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    else:
        table = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    names = ["clip_id", "similarity", "start_s", "top_label", "uri"]
    assert [*table.columns] == names
    assert [*table["clip_id"]] == ["c", "b", "d"]
    assert table["start_s"][0] == pytest.approx(50 * 220 / 22050)
    assert table["similarity"][1] == pytest.approx(1 / 1.25**0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--clip", "nobody"), "no clip 'nobody'"),
        (("--clip", "broken"), "clip broken has failed"),
        (("--clip", "zero"), "all zeros"),
        (("--clip", "a", "--top", "0"), "top is 0, expected 1 or more"),
        (("--clip", "a", "--where", "colour = 1"), "cannot use --where 'colour = 1'"),
        (("--clip", "a", "--where", "split ="), "cannot use --where"),
        (("--clip", "a", "--where", "split = 'x'"), "no clip of"),
        (("--clip", "a", "--output", "a.xyz"), "expected an extension among"),
        (
            ("--clip", "a", "--output", "/dev/null/a.csv"),
            "cannot write /dev/null/a.csv: ",
        ),
        (("--clip", "a", "--model", "b"), "expected one of: made"),
        (("--audio", "none.wav"), "is no longer at gone.pb"),
        (("--clip", "a", "--", "-x"), "only extract takes flags for Beam"),
    ],
)
def test_wrong_arguments_are_refused(
    dataset: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(dataset)
    assert main(["search", str(dataset), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert captured.err.count("/dev/null/a.csv") <= 1


def test_damaged_datasets_are_refused_and_unfinished_ones_are_named(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", str(tmp_path), "--clip", "a"]) == 2
    assert "is not a dataset" in capsys.readouterr().err
    run = (dataset / "run.json").read_text()
    (dataset / "run.json").write_text(run.replace("finished", "stopped"))
    head = found(capsys, dataset, "--clip", "a")[0]
    assert head[:5] == ["NOT", "FINISHED:", "the", "run", "was"]
    parts = sorted((dataset / "clips" / "model=made").iterdir())
    kept = {path: path.read_bytes() for path in parts}
    parts[0].unlink()
    assert main(["search", str(dataset), "--clip", "a"]) == 2
    assert "1 of 2 ledger files have no file" in capsys.readouterr().err
    for path, other in zip(parts, reversed(parts), strict=True):
        path.write_bytes(kept[other])
    assert main(["search", str(dataset), "--clip", "a"]) == 2
    assert "is damaged: ledger and clips" in capsys.readouterr().err


def test_a_dataset_without_embeddings_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {"a": scored([0.9, 0.1]), "b": scored([0.9, 0.1])}
    dataset = make_dataset(tmp_path / "o", results, LABELS, outputs=("activations",))
    assert main(["search", str(dataset), "--clip", "a"]) == 2
    assert "has no embedding_mean of model made" in capsys.readouterr().err


def test_the_result_does_not_depend_on_the_number_of_files(
    tmp_path: pathlib.Path,
) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.random((60, 8)).astype(np.float32)
    results = {
        f"{i:02d}": scored([0.5, 0.5], vector) for i, vector in enumerate(vectors)
    }
    answers = []
    for shard_clips in (1, 7, 60):
        folder = tmp_path / str(shard_clips)
        make_dataset(folder, results, LABELS, shard_clips=shard_clips)
        snapshot = Snapshot(str(folder), None)
        clip_id, query = clip_embedding(snapshot, "17")
        np.testing.assert_array_equal(query, vectors[17])
        answers.append(search(snapshot, query, 9, own_id=clip_id))
    assert answers[0] == answers[1] == answers[2]
    expected = [row for _, row in slow_order(vectors[17], vectors) if row != 17][:9]
    assert [row.clip_id for row in answers[0]] == [f"{row:02d}" for row in expected]


def test_audio_gets_the_embedding_that_the_run_computes(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refusal(*options: object) -> str:
        assert main(["search", str(tmp_path / "out"), *map(str, options)]) == 2
        return capfd.readouterr().err

    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for seed, seconds in enumerate((0.4, 2.1, 3.3)):
        make_wav(sounds / f"{seed}.wav", round(seconds * 22050), seed=seed)
    for name in ("here", "new"):
        (tmp_path / name).mkdir()
        for path in (tiny_model, tiny_model.with_suffix(".json")):
            shutil.copy(path, tmp_path / name)
    model, new = (tmp_path / name / tiny_model.name for name in ("here", "new"))
    options = ("--patch-hop", "37", "--last-patch", "discard", "--engine", "essentia")
    output = tmp_path / "out"
    fsdsinet("extract", sounds, "--model", model, *options, "--output", output)
    result = tmp_path / "found.parquet"
    query = ("--audio", sounds / "2.wav")
    assert main(["search", str(output), *map(str, query), f"--output={result}"]) == 0
    row = pq.read_table(result).to_pylist()[0]
    assert row["uri"] == f"{sounds}/2.wav"
    assert row["similarity"] == pytest.approx(1, abs=1e-9)
    assert "0.wav is shorter than one patch" in refusal("--audio", sounds / "0.wav")
    (tmp_path / "text.wav").write_text("no audio")
    assert "cannot decode" in refusal("--audio", tmp_path / "text.wav")
    model.unlink()
    assert "is no longer at" in refusal(*query)
    assert main(["search", str(output), *map(str, query), f"--model={new}"]) == 0
    new.write_bytes(tiny_model.with_name("random-tiny-aps.pb").read_bytes())
    assert "is not the model of" in refusal(*query, "--model", new)
