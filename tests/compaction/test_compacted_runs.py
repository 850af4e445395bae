"""Runs that continue a compacted dataset leave the dataset of one run."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from pipeline.dataset.commit_record import read_record
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from pipeline.launch.changed_files import drop_rows
from tests.compaction.small_parts import (
    TABLES,
    Tables,
    in_order,
    make_small_parts,
    read_snapshot,
)
from tests.compaction.watched_steps import Killed, WatchSteps
from tests.conftest import Command, Completed
from tests.support.audio_files import make_wav
from tests.support.datasets import assert_same_dataset, assert_tidy

pytestmark = pytest.mark.timeout(600)


class Growing:
    """A folder of clips that grows and changes, and its dataset."""

    def __init__(
        self, folder: pathlib.Path, model: pathlib.Path, fsdsinet: Command
    ) -> None:
        self.folder = folder / "in"
        self.folder.mkdir()
        self.output = folder / "out"
        self.dataset = Dataset(str(self.output))
        self._model, self._fsdsinet = model, fsdsinet

    def add(self, *names: str, seed: int = 0) -> None:
        """Writes clips, in place of older ones of the same names."""
        for name in names:
            path = self.folder / name
            make_wav(path, 22050 + 999 * len(name) + seed, seed=seed + ord(name[0]))

    def extract(self, *options: str, output: pathlib.Path | None = None) -> Completed:
        return self._fsdsinet(
            *("extract", self.folder, "--model", self._model, "--shard-clips", "2"),
            *("--output", output or self.output, *options),
        )

    def compact(self) -> None:
        self._fsdsinet("compact", self.output)
        assert len(self.dataset.committed()) == 1


@pytest.mark.slow
def test_a_compacted_dataset_continues_like_any_other(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    watch_steps: WatchSteps,
) -> None:
    growing = Growing(tmp_path, tiny_model, fsdsinet)
    growing.add("0.wav", "1.wav", "2.wav", "3.wav", "4.wav")
    (growing.folder / "broken.wav").write_text("no audio")
    growing.extract()
    growing.compact()
    assert "nothing to do" in growing.extract().stdout
    # More clips come as parts, which are compacted later.
    growing.add("5.wav", "6.wav", "7.wav")
    growing.extract()
    assert len(growing.dataset.committed()) == 3
    assert_a_run_ends_a_killed_compaction(growing, watch_steps)
    assert_rows_are_replaced(growing)
    whole = tmp_path / "whole"
    growing.extract(output=whole)
    assert_same_dataset(growing.output, whole)
    growing.compact()
    assert_same_dataset(growing.output, whole)
    # A new dataset in the same place has no record.
    growing.extract("--overwrite")
    assert_same_dataset(growing.output, whole)
    assert_tidy(growing.output)


def assert_a_run_ends_a_killed_compaction(
    growing: Growing, watch_steps: WatchSteps
) -> None:
    root = growing.dataset.root

    def kill() -> None:
        if read_record(root).is_open:
            raise Killed

    watch_steps(kill)
    with pytest.raises(Killed):
        main(["compact", root])
    watch_steps(lambda: None)
    assert read_record(root).is_open
    assert "nothing to do" in growing.extract().stdout
    assert not read_record(root).is_open
    assert len(growing.dataset.committed()) == 1


def assert_rows_are_replaced(growing: Growing) -> None:
    """Failed and changed rows are computed again, and no others."""
    growing.add("broken.wav", seed=7)
    assert "9 clips ok, 0 failed" in growing.extract("--retry-failed").stdout
    growing.add("3.wav", seed=9)
    done = growing.extract("--retry-changed")
    assert "its row was computed: 3.wav; its rows are replaced\n" in done.stderr
    assert len(growing.dataset.committed()) == 3


def test_failed_rows_are_removed_with_what_says_where_rows_came_from(
    tmp_path: pathlib.Path,
) -> None:
    dataset = make_small_parts(tmp_path / "out", 20)
    assert main(["compact", dataset.root]) == 0
    (path,) = dataset.parts("ledger")
    before = pq.ParquetFile(path)
    dataset.forget_failed()
    after = pq.ParquetFile(path)
    assert (before.metadata.num_rows, after.metadata.num_rows) == (20, 17)
    assert before.metadata.metadata.keys() - after.metadata.metadata.keys() == {
        b"parts"
    }
    assert before.schema_arrow.equals(after.schema_arrow, check_metadata=True)


def test_rows_of_changed_files_are_dropped_in_one_step(
    tmp_path: pathlib.Path, watch_steps: WatchSteps
) -> None:
    dataset = make_small_parts(tmp_path / "out", 20)
    assert main(["compact", dataset.root]) == 0
    before = read_snapshot(Snapshot(dataset.root, None))
    dropped = pa.array(["clip-0003", "clip-0014", "clip-0015"])
    after = {table: _without(before[table], dropped) for table in TABLES}
    assert before["ledger"].num_rows == after["ledger"].num_rows + 3
    found: list[Tables] = []

    def look() -> None:
        found.append(read_snapshot(Snapshot(dataset.root, None)))

    watch_steps(look)
    (part,) = dataset.committed()
    with dataset.locked():
        drop_rows(dataset, {part: dropped})
    look()
    is_new = [tables["ledger"].num_rows == 17 for tables in found]
    assert is_new == sorted(is_new) and len({*is_new}) == 2
    for tables, new in zip(found, is_new, strict=True):
        expected = after if new else before
        assert all(tables[table].equals(expected[table]) for table in TABLES)


def _without(table: pa.Table, clip_ids: pa.Array) -> pa.Table:
    rows = [
        row for row in table.to_pylist() if row["clip_id"] not in clip_ids.to_pylist()
    ]
    return in_order(pa.Table.from_pylist(rows, table.schema))
