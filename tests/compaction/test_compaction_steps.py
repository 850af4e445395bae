"""At every step of a compaction, every reader reads every row exactly once."""

import pathlib
import shutil

import pytest

from pipeline.cli.main import main
from pipeline.dataset.commit_record import read_record
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from tests.compaction.small_parts import (
    TABLES,
    Tables,
    assert_same_tables,
    make_small_parts,
    read_plainly,
    read_snapshot,
)
from tests.compaction.watched_steps import Killed, WatchSteps


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_small_parts(tmp_path_factory.mktemp("made") / "out", 30)


@pytest.fixture(scope="module")
def expected(made: Dataset) -> Tables:
    tables = read_snapshot(Snapshot(made.root, None))
    assert [tables[table].num_rows for table in TABLES] == [30, 62, 25]
    return tables


@pytest.fixture
def compact_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a size of 25 kB, of which each has several of the ten shards."""
    monkeypatch.setattr("pipeline.launch.compact._MB", 25_000)


def compact(root: str) -> None:
    assert main(["compact", root, "--target-mb", "1"]) == 0


@pytest.mark.usefixtures("compact_in_groups")
def test_readers_of_every_moment_read_the_same_rows_at_every_later_moment(
    made: Dataset,
    expected: Tables,
    tmp_path: pathlib.Path,
    watch_steps: WatchSteps,
) -> None:
    root = str(shutil.copytree(made.root, tmp_path / "out"))
    readers: list[Snapshot] = []

    def look() -> None:
        readers.append(Snapshot(root, None))
        for reader in readers[-1:] + readers[:: max(1, len(readers) // 4)]:
            assert_same_tables(read_snapshot(reader), expected)

    watch_steps(look)
    compact(root)
    num_steps = len(readers)
    look()
    assert num_steps > 40
    num_parts = len({tuple(reader.parts) for reader in readers})
    assert num_parts == read_record(root).number + 1 >= 3
    assert_same_tables(read_plainly(root), expected)
    for swap in read_record(root).swaps:
        assert swap.part > max(swap.replaced)
    assert sorted(path.name for path in pathlib.Path(root).iterdir()) == [
        *("clips", "compaction.json", "ledger", "patches", "run.json")
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("compact_in_groups")
def test_a_compaction_that_is_killed_at_any_step_is_ended_by_the_next_one(
    made: Dataset,
    expected: Tables,
    tmp_path: pathlib.Path,
    watch_steps: WatchSteps,
) -> None:
    left = 0

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    watch_steps(count_down)
    num_steps = 0
    was_killed = True
    while was_killed:
        root = str(shutil.copytree(made.root, tmp_path / str(num_steps)))
        before = Snapshot(root, None)
        left = num_steps
        try:
            compact(root)
            was_killed = False
        except Killed:
            num_steps += 1
        left = 10_000
        assert_same_tables(read_snapshot(before), expected)
        assert_same_tables(read_snapshot(Snapshot(root, None)), expected)
        assert_plain_rows(root, expected)
        compact(root)
        assert_same_tables(read_snapshot(before), expected)
        assert_same_tables(read_snapshot(Snapshot(root, None)), expected)
        assert_same_tables(read_plainly(root), expected)
        assert not (pathlib.Path(root) / "compacting").exists()
        assert len(Snapshot(root, None).parts) < 5
    assert num_steps > 40


def test_an_empty_folder_that_a_killed_compaction_left_is_removed(
    made: Dataset, tmp_path: pathlib.Path
) -> None:
    root = shutil.copytree(made.root, tmp_path / "out")
    compact(str(root))
    (root / "compacting" / "clips").mkdir(parents=True)
    compact(str(root))
    assert not (root / "compacting").exists()


def test_a_file_that_is_lost_in_a_swap_is_named(
    made: Dataset,
    tmp_path: pathlib.Path,
    watch_steps: WatchSteps,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = shutil.copytree(made.root, tmp_path / "out")

    def kill() -> None:
        if read_record(str(root)).is_open:
            raise Killed

    watch_steps(kill)
    with pytest.raises(Killed):
        compact(str(root))
    watch_steps(lambda: None)
    (lost,) = (root / "compacting" / "clips" / "model=made").iterdir()
    lost.unlink()
    for command in ("top", "compact"):
        assert main([command, str(root)]) == 2
        error = capfd.readouterr().err
        assert lost.name in error and "extract again with --overwrite" in error


def assert_plain_rows(root: str, expected: Tables) -> None:
    """No row is missing. Rows may be twice only while a swap is in the record."""
    found = read_plainly(root)
    for table in TABLES:
        rows = found[table].to_pylist()
        if not read_record(root).is_open:
            assert rows == expected[table].to_pylist()
        assert {repr(row) for row in rows} == {
            repr(row) for row in expected[table].to_pylist()
        }
