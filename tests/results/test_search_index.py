"""The search index: what it finds, when it counts, and what happens to it."""

import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.cli.main import main
from pipeline.dataset.folder import Dataset
from pipeline.dataset.index_files import index_folder, read_record
from pipeline.dataset.replace_parts import replace_parts
from pipeline.dataset.snapshot import Snapshot
from pipeline.launch.changed_files import remove_parts
from pipeline.launch.compact import compact_command
from pipeline.results.search import build_index, faiss_blocks
from tests.compaction.small_parts import copy_dataset
from tests.conftest import ROOT
from tests.support.made_dataset import make_dataset, scored
from tests.support.object_stores import (
    environment,
    make_google_bucket,
    running_google,
)
from transforms import storage

NUM_CLIPS, SIZE = 900, 24
TABLES = ("ledger", "patches/model=made", "clips/model=made")
USED = "the index is used: when it was built, it found"
# For each line that it reads, builds an index in a child, which is killed after so many
# steps: starts and ends of the files that it writes, then deletions of old blocks.
_KILLED = """
import contextlib, os, signal, sys
import faiss
from pipeline.cli.main import main
from pipeline.results.search import build_index
from transforms import storage

real_publish, real_delete = storage.publish, storage.delete_file
num_steps = 0

def step():
    global num_steps
    if num_steps == last:
        os.kill(os.getpid(), signal.SIGKILL)
    num_steps += 1

@contextlib.contextmanager
def publish(uri):
    step()
    with real_publish(uri) as file:
        yield file
        step()

def delete(uri):
    if num_steps:
        step()
    real_delete(uri)

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        last = int(line)
        storage.publish, storage.delete_file = publish, delete
        sys.stdout = sys.stderr = open(os.devnull, "w")
        os._exit(main(["search", sys.argv[1], "--build-index"]))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def clustered(num_clips: int, seed: int = 0) -> np.ndarray:
    """Vectors in 30 clusters, without negative numbers; every hundredth is zeros."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((30, SIZE))
    noise = 0.4 * rng.standard_normal((num_clips, SIZE))
    vectors = np.maximum(centres[rng.integers(0, 30, num_clips)] + noise, 0)
    vectors[::100] = 0
    return vectors.astype(np.float32)


def write_clips(
    folder: pathlib.Path, vectors: np.ndarray, prefix: str = "clip", shard: int = 300
) -> pathlib.Path:
    """A dataset of clips with these vectors; the first of every shard has failed."""
    results = {
        f"{prefix}-{i:04d}": scored([0.9, 0.1], vector) if i % shard else None
        for i, vector in enumerate(vectors)
    }
    columns = {"split": ["train" if i % 9 else "val" for i in range(len(vectors))]}
    return make_dataset(folder, results, ("Bark", "Rain"), columns, shard_clips=shard)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An indexed dataset of three parts; a search looks into 1 of 44 clusters."""
    root = write_clips(tmp_path_factory.mktemp("indexed") / "out", clustered(NUM_CLIPS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_blocks, "_CLUSTER_VECTORS", 20)
        patch.setattr(build_index, "_PROBES", (1,))
        patch.setattr(build_index, "_BATCH_ROWS", 100)
        patch.setattr(build_index, "_BLOCK_VECTORS", 350)
        assert main(["search", str(root), "--build-index"]) == 0
    return root


@pytest.fixture
def dataset(indexed: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(indexed, tmp_path / "out"))


class Searches:
    """Searches one dataset, through the command line."""

    def __init__(
        self, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._output = folder / "found.csv"
        self._capsys = capsys
        self.said = ""

    def find(self, root: object, clip: int, *options: object) -> dict[str, float]:
        """Returns clip_id -> similarity of the clips that were found."""
        query = ["search", str(root), "--clip", f"clip-{clip:04d}"]
        assert main([*query, f"--output={self._output}", *map(str, options)]) == 0
        self.said = self._capsys.readouterr().err
        table = pd.read_csv(self._output)
        return dict(zip(table["clip_id"], table["similarity"], strict=True))

    def refusal(self, root: pathlib.Path, *options: str) -> str:
        """Returns the message with which a command is refused."""
        self._capsys.readouterr()
        assert main(["search", str(root), *(options or ("--clip", "clip-0017"))]) == 2
        return self._capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def searches(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Searches:
    return Searches(tmp_path, capsys)


def files_of_index(root: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (root / "search-index/model=made").iterdir())


def test_the_index_finds_most_of_what_a_scan_finds(
    indexed: pathlib.Path, searches: Searches
) -> None:
    shares = []
    for clip in range(3, NUM_CLIPS, 75):
        true = searches.find(indexed, clip, "--exact")
        assert not searches.said
        found = searches.find(indexed, clip)
        assert USED in searches.said and "% of the 10 nearest clips" in searches.said
        assert f"clip-{clip:04d}" not in found and len(found) == 10
        both = true.keys() & found.keys()
        assert all(true[name] == found[name] for name in both)
        assert [*found.values()] == sorted(found.values(), reverse=True)
        shares.append(len(both) / 10)
    record = read_record(index_folder(str(indexed), "made"))
    assert record and len(record.blocks) > 1 and record.num_probes == 1
    assert 0.7 < record.recall[10] < 1, "the index is not exact"
    assert np.mean(shares) > record.recall[10] - 0.1


def test_more_clusters_are_looked_into_if_too_few_clips_are_found(
    dataset: pathlib.Path, searches: Searches
) -> None:
    assert len(searches.find(dataset, 17, "--top", 100)) == 100


def test_recall_of_random_queries_is_that_of_a_slow_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_index, "_PROBES", (1, 4))
    rng = np.random.default_rng(5)
    rows, vectors = faiss_blocks.unit_rows(clustered(700))
    assert not {*range(0, 700, 100)} & {*rows.tolist()}
    block = faiss_blocks.train(vectors, 20, 0)
    queries = rng.choice(len(rows), 40, replace=False)
    trial = build_index._Trial(rows[queries], vectors[queries])
    for part in np.array_split(np.arange(len(rows)), 7):
        block.add_with_ids(vectors[part], rows[part])
        trial.compare(rows[part], vectors[part])
    trial.search(block)
    num_probes, recall = trial.measure()
    _, found = faiss_blocks.search_block(block, vectors[queries], 152, num_probes)
    shares = []
    for query, candidates in list(zip(queries, found, strict=True))[1::2]:
        order = rows[np.argsort(-(vectors @ vectors[query]), kind="stable")]
        others = [row for row in candidates if row != rows[query]][:16]
        shares.append(len({*order[1:11]} & {*others}) / 10)
    assert num_probes == 4
    assert recall[10] == pytest.approx(np.mean(shares))


def test_an_index_in_a_bucket_is_copied_to_this_machine(
    dataset: pathlib.Path, searches: Searches, tmp_path: pathlib.Path
) -> None:
    expected = searches.find(dataset, 17)
    with (
        running_google() as url,
        environment(
            STORAGE_EMULATOR_HOST=url, FSDSINET_COPIES=str(tmp_path / "copies")
        ),
    ):
        make_google_bucket(url, "bucket")
        root = copy_dataset(str(dataset), "gs://bucket/out")
        assert searches.find(root, 17) == expected and USED in searches.said
        assert len([*tmp_path.glob("copies/*/*.faiss")]) == 3
        assert main(["search", root, "--build-index"]) == 0
        assert searches.find(root, 17) == searches.find(root, 17, "--exact")
        names = storage.list_names(index_folder(root, "made"))
        assert len(names) == 2, "the old blocks are gone"


def test_an_index_of_other_rows_is_refused(
    dataset: pathlib.Path, searches: Searches, tmp_path: pathlib.Path
) -> None:
    write_clips(tmp_path / "more", clustered(40, 1), "more")
    shutil.copytree(
        tmp_path / "more",
        dataset,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("run.json"),
    )
    for options in ((), ("--clip", "more-0007")):
        message = searches.refusal(dataset, *options)
        assert "is out of date" in message
        assert "build it again with --build-index, or use --exact" in message
    # A large part with the indexed rows and others.
    copy = pathlib.Path(shutil.copytree(dataset, tmp_path / "copy"))
    assert compact_command(str(copy), 1) == 0
    assert len(Dataset(str(copy)).committed()) == 1
    assert "is out of date" in searches.refusal(copy)
    true = searches.find(dataset, 17, "--exact")
    assert main(["search", str(dataset), "--build-index"]) == 0
    assert searches.find(dataset, 17) == true
    (part,) = {p.name for p in (tmp_path / "more/ledger").iterdir()}
    for table in TABLES:
        (dataset / table / part).unlink()
    assert "is out of date" in searches.refusal(dataset)


def test_an_index_of_another_graph_is_refused(
    dataset: pathlib.Path, searches: Searches
) -> None:
    run = json.loads((dataset / "run.json").read_text())
    run["models"][0]["sha256"] = "1" * 64
    (dataset / "run.json").write_text(json.dumps(run))
    assert "is out of date" in searches.refusal(dataset)


def test_each_model_has_an_index_of_its_own(
    dataset: pathlib.Path, searches: Searches
) -> None:
    run = json.loads((dataset / "run.json").read_text())
    run["models"].append(run["models"][0] | {"name": "other"})
    (dataset / "run.json").write_text(json.dumps(run))
    for table in ("patches", "clips"):
        shutil.copytree(dataset / table / "model=made", dataset / table / "model=other")
    other = searches.find(dataset, 17, "--model", "other")
    assert not searches.said
    assert other == searches.find(dataset, 17, "--model", "made", "--exact")
    assert main(["search", str(dataset), "--model", "other", "--build-index"]) == 0
    assert searches.find(dataset, 17, "--model", "other") == other
    assert searches.find(dataset, 17, "--model", "made") and USED in searches.said


def test_an_index_counts_after_compactions_but_not_without_rows(
    dataset: pathlib.Path, searches: Searches, tmp_path: pathlib.Path
) -> None:
    before = searches.find(dataset, 17)
    assert compact_command(str(dataset), 1) == 0
    assert searches.find(dataset, 17) == before and USED in searches.said
    (part,) = Dataset(str(dataset)).committed()
    copy = pathlib.Path(shutil.copytree(dataset, tmp_path / "copy"))
    # A compacted part that is put together once more.
    for root, dropped in ((dataset, None), (copy, ["clip-0044"])):
        held = Dataset(str(root))
        with held.locked():
            ids = None if dropped is None else held.read_ledger()["clip_id"][44:45]
            replace_parts(
                held, [part], TABLES, None if ids is None else ids.combine_chunks()
            )
    assert searches.find(dataset, 17) == before and USED in searches.said
    assert "is out of date" in searches.refusal(copy)
    assert main(["search", str(dataset), "--build-index"]) == 0
    assert [*searches.find(dataset, 17)][:3] == [*before][:3]


@pytest.mark.parametrize(
    ("options", "number"),
    [(("--where", "split = 'val'"), 10), (("--patches",), 10), (("--top", "101"), 101)],
)
def test_what_the_index_cannot_do_is_scanned(
    indexed: pathlib.Path, searches: Searches, options: tuple[str, ...], number: int
) -> None:
    found = searches.find(indexed, 17, *options)
    assert "every clip is compared: the index is not used" in searches.said
    assert options[0] in searches.said
    assert found == searches.find(indexed, 17, *options, "--exact")
    assert len(found) == number and not searches.said


def test_a_killed_build_leaves_the_old_index(
    dataset: pathlib.Path, searches: Searches
) -> None:
    def build(steps: int) -> int:
        assert process.stdin and process.stdout
        process.stdin.write(f"{steps}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    record = dataset / "search-index/model=made/index.json"
    old, before = record.read_text(), searches.find(dataset, 17)
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(dataset)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Threads that wait for each other are slow on a busy machine.
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        for steps in (1, 3, 4):
            assert build(steps) == -9
            found = searches.find(dataset, 17)
            assert USED in searches.said and len(found) == 10
            # Step 4 is the deletion of a block of the old index.
            assert (record.read_text() == old) == (steps < 4)
            assert steps == 4 or found == before
        assert any(name.startswith(".") for name in files_of_index(dataset))
        Dataset(str(dataset)).remove_uncommitted()
        assert not any(name.startswith(".") for name in files_of_index(dataset))
        assert build(99) == 0
    names = [block["name"] for block in json.loads(record.read_text())["blocks"]]
    assert files_of_index(dataset) == [*names, "index.json"]


def test_a_dataset_takes_its_index_along(
    dataset: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Dataset(str(dataset)).remove_uncommitted()
    assert len(files_of_index(dataset)) == 4

    def replace_rows(root: Dataset) -> None:
        remove_parts(root, root.committed()[:1])

    for change in (Dataset.forget_failed, replace_rows):
        change(Dataset(str(dataset)))
        assert not (dataset / "search-index").exists()
        assert "the search index is removed" in capsys.readouterr().err
        assert main(["search", str(dataset), "--build-index"]) == 0
    (dataset / "search-index" / "mine.txt").write_text("kept")
    Dataset(str(dataset)).remove_rows()
    left = {p.name for p in dataset.rglob("*") if p.is_file() and p.name != "run.lock"}
    assert left == {"run.json", "mine.txt"}


def test_without_faiss_the_message_says_what_to_install(
    indexed: pathlib.Path, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "faiss" else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    for options in ((), ("--build-index",)):
        message = searches.refusal(indexed, *options)
        assert "pip install 'fsd-sinet-beam[index]'" in message
    assert searches.find(indexed, 17, "--exact")


def test_damaged_indexes_are_refused(dataset: pathlib.Path, searches: Searches) -> None:
    folder = dataset / "search-index/model=made"
    block = sorted(folder.glob("*.faiss"))[0]
    content = block.read_bytes()
    for damaged in (content[:1000], b"nothing"):
        block.write_bytes(damaged)
        assert "build the index again with" in searches.refusal(dataset)
    block.unlink()
    assert str(block) in searches.refusal(dataset)
    for text in ("{", "{}", '{"format": "other"}', "[]"):
        (folder / "index.json").write_text(text)
        message = searches.refusal(dataset)
        assert "cannot read" in message and "or use --exact" in message
        assert searches.find(dataset, 17, "--exact")


@pytest.mark.parametrize(
    "options",
    [("--top", "5"), ("--patches",), ("--where", "1"), ("--exact",), ("--output", "a")],
)
def test_options_of_a_search_are_refused_in_a_build(
    indexed: pathlib.Path, searches: Searches, options: tuple[str, ...]
) -> None:
    message = searches.refusal(indexed, "--build-index", *options)
    assert f"{options[0]} has no effect with --build-index" in message


def test_clips_without_a_direction_cannot_be_indexed(
    tmp_path: pathlib.Path, searches: Searches
) -> None:
    vectors = np.zeros((4, SIZE), np.float32)
    vectors[2, 0] = 1
    root = write_clips(tmp_path / "few", vectors)
    message = searches.refusal(root, "--build-index")
    assert "got 1 clip with an embedding that is not all zeros" in message
    vectors[3, 1] = 1
    root = write_clips(tmp_path / "enough", vectors)
    assert main(["search", str(root), "--build-index"]) == 0
    assert searches.find(root, 2) == {"clip-0003": 0.0}


def test_a_build_is_refused_while_a_run_writes(
    dataset: pathlib.Path, searches: Searches
) -> None:
    with Dataset(str(dataset)).locked():
        message = searches.refusal(dataset, "--build-index")
    assert "another run is writing" in message
    assert Snapshot(str(dataset), None).parts
