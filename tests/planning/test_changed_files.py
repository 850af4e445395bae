"""Files that changed since their rows were computed are named; --retry-changed."""

import datetime
import os
import pathlib
import shutil
from collections.abc import Mapping

import pyarrow as pa
import pytest

from pipeline.config import RunConfig
from pipeline.dataset.folder import Dataset
from pipeline.dataset.snapshot import Snapshot
from pipeline.launch.changed_files import (
    ChangedFiles,
    find_changed,
    remove_parts,
)
from pipeline.launch.done_rows import find_done, is_changed
from tests.conftest import Command
from tests.support.audio_files import make_wav
from tests.support.datasets import MODEL, assert_same_dataset, assert_tidy, read
from tests.support.made_dataset import make_dataset, scored
from tests.support.shards import states_by_uri
from transforms import storage
from transforms.storage import FileInfo

NOON = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC)
CLIPS = [*"abcdefg"]


def after_noon(**times: int) -> datetime.datetime:
    return NOON + datetime.timedelta(**times)


def file_of(
    clip_id: str, size: int | None = 100, modified: datetime.datetime | None = NOON
) -> FileInfo:
    return FileInfo(f"/audio/{clip_id}.wav", size, modified)


def by_uri(*infos: FileInfo) -> dict[str, FileInfo | None]:
    return {info.uri: info for info in infos}


class _Deleting:
    """Deletes some files, then raises an error instead of deleting another one."""

    def __init__(self, num_files: int) -> None:
        self._left = num_files
        self._delete = storage.delete_file

    def __call__(self, uri: str) -> None:
        if not self._left:
            raise InterruptedError
        self._left -= 1
        self._delete(uri)


@pytest.fixture
def made(tmp_path: pathlib.Path) -> Dataset:
    """A dataset of seven clips in shards of three, of which clip b has failed."""
    results = {name: None if name == "b" else scored([0.5]) for name in CLIPS}
    files = by_uri(*map(file_of, CLIPS))
    return Dataset(str(make_dataset(tmp_path / "out", results, ["Bell"], files=files)))


@pytest.mark.parametrize(
    ("size", "modified", "expected"),
    [
        (100, NOON, False),
        (101, NOON, True),
        (0, NOON, True),
        (100, after_noon(seconds=1), True),
        (100, after_noon(seconds=-1), True),
        (101, None, True),
        (100, None, False),
        (None, after_noon(seconds=1), True),
        (None, None, False),
    ],
)
def test_sizes_and_times_are_compared_where_both_are_known(
    size: int | None, modified: datetime.datetime | None, expected: bool
) -> None:
    then, now = file_of("a"), file_of("a", size, modified)
    assert changes(then, now) == changes(now, then) == expected


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        # Whole seconds say nothing about what follows the point.
        (after_noon(), after_noon(milliseconds=999), False),
        (after_noon(), after_noon(microseconds=999_999), False),
        (after_noon(seconds=1), after_noon(milliseconds=999), True),
        (
            after_noon(milliseconds=20),
            after_noon(milliseconds=20, microseconds=7),
            False,
        ),
        (
            after_noon(milliseconds=20),
            after_noon(milliseconds=21, microseconds=7),
            True,
        ),
        (after_noon(microseconds=6), after_noon(microseconds=7), True),
        # Before 1970.
        (NOON.replace(year=1960), NOON.replace(year=1960, microsecond=9), False),
        (NOON.replace(year=1960, microsecond=8), NOON.replace(year=1960), False),
        (NOON.replace(year=1960, second=1), NOON.replace(year=1960), True),
    ],
)
def test_times_are_compared_in_the_precision_that_both_have(
    then: datetime.datetime, now: datetime.datetime, expected: bool
) -> None:
    files = file_of("a", 100, then), file_of("a", 100, now)
    assert changes(*files) == changes(*reversed(files)) == expected


def changes(then: FileInfo, now: FileInfo) -> bool:
    ledger = pa.table(
        {
            "uri": [then.uri],
            "file_size_bytes": pa.array([then.size_bytes], pa.int64()),
            "file_modified": pa.array([then.modified], pa.timestamp("us", tz="UTC")),
        }
    )
    (found,) = is_changed(ledger, states_by_uri(ledger, {now.uri: now}))
    assert not is_changed(ledger, states_by_uri(ledger, {now.uri: None}))
    assert not is_changed(ledger, states_by_uri(ledger, {}))
    return bool(found)


def changed_of(
    dataset: Dataset, files: Mapping[str, FileInfo | None], config: RunConfig
) -> ChangedFiles:
    """Compares the clips of a dataset with their files now."""
    manifest = dataset.read_ledger(["clip_id", "uri"])
    done = find_done(
        manifest,
        states_by_uri(manifest, files),
        dataset.done_blocks(dataset.committed()),
    )
    return find_changed(dataset, manifest, done, config)


def test_changed_files_are_found_with_their_parts(made: Dataset) -> None:
    now = by_uri(*(file_of(name, 7 if name in "bcg" else 100) for name in CLIPS))
    found = changed_of(made, now, RunConfig())
    assert found == ChangedFiles([f"/audio/{name}.wav" for name in "bcg"])
    # Failed rows are repeated anyway.
    found = changed_of(made, now, RunConfig(retry_failed=True))
    assert found.uris == ["/audio/c.wav", "/audio/g.wav"]
    found = changed_of(made, now, RunConfig(retry_changed=True))
    assert found.clip_ids is not None and len(found.parts) == 2
    assert sorted(found.clip_ids.to_pylist()) == [*"abcg"]
    assert found.num_unchanged == 1
    same = by_uri(*map(file_of, CLIPS))
    assert changed_of(made, same, RunConfig(retry_changed=True)).text() == ""


def test_the_sentence_names_the_first_files() -> None:
    ids = pa.array(["a"])
    uris = [f"s3://b/{number}.wav" for number in range(2000)]
    assert ChangedFiles(uris[:1]).text() == (
        "1 file changed since its row was computed: 0.wav; "
        "run with --retry-changed to replace its rows"
    )
    assert ChangedFiles(uris).text() == (
        "2,000 files changed since their rows were computed: 0.wav, 1.wav, 2.wav, "
        "3.wav, 4.wav and 1,995 more; run with --retry-changed to replace their rows"
    )
    assert ChangedFiles(uris[:2], ["part-0.parquet"], ids, 0).text() == (
        "2 files changed since their rows were computed: 0.wav, 1.wav; "
        "their rows are replaced"
    )
    assert ChangedFiles(uris[:1], ["part-0.parquet"], ids, 63).text() == (
        "1 file changed since its row was computed: 0.wav; its rows are replaced, and "
        "63 unchanged clips of the same shards computed again"
    )


def test_rows_are_removed_as_whole_parts_wherever_the_run_is_killed(
    made: Dataset, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see no damage, and the next run finds no rest of a removed part."""
    config = RunConfig(retry_changed=True)
    now = by_uri(*(file_of(name, 7 if name in "cg" else 100) for name in CLIPS))
    parts = changed_of(made, now, config).parts
    left: set[str] = set()
    for num_deleted in range(len(parts) * 3 + 2):
        copy = tmp_path / str(num_deleted)
        shutil.copytree(made.root, copy)
        delete_some = _Deleting(num_deleted)
        monkeypatch.setattr(storage, "delete_file", delete_some)
        with pytest.raises(InterruptedError):
            # The plan, which does not exist, is deleted, too.
            remove_parts(Dataset(str(copy)), parts)
            delete_some("")
        monkeypatch.undo()
        snapshot = Snapshot(str(copy), None)
        clips = {
            clip_id
            for batch in snapshot.clips("num_patches")
            for clip_id in batch["clip_id"].to_pylist()
        }
        rows = {*snapshot.ledger(["clip_id"])["clip_id"].to_pylist()}
        left.add("".join(sorted(rows)))
        assert clips == rows - {"b"}
        Dataset(str(copy)).remove_uncommitted()
        assert_parts_match(copy)
    assert len(left) == 3 and {"abcdefg", "def"} < left


def assert_parts_match(output: pathlib.Path) -> None:
    names = [
        {path.name for path in (output / table).iterdir()}
        for table in ("ledger", "clips/model=made", "patches/model=made")
    ]
    assert names[0] == names[1] == names[2]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of five clips."""
    (tmp_path / "in").mkdir()
    for index, name in enumerate("abcde"):
        make_wav(tmp_path / "in" / f"{name}.wav", 22050 + 999 * index, seed=index)
    return tmp_path / "in"


def results_of(output: pathlib.Path, name: str) -> pa.Table:
    patches = read(output, f"patches/model={MODEL}")
    chosen = [
        clip_id.startswith(f"{name}-") for clip_id in patches["clip_id"].to_pylist()
    ]
    return patches.filter(pa.array(chosen))


def test_the_ledger_has_size_and_time_of_each_file(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("uri\nin/none.wav\nhttp://127.0.0.1:1/x.wav\n")
    monkeypatch.setenv("FSDSINET_ATTEMPTS", "1")
    output = tmp_path / "out"
    fsdsinet("extract", folder, manifest, "--model", tiny_model, "--output", output)
    found = {row["uri"]: row for row in read(output, "ledger").to_pylist()}
    for path in folder.iterdir():
        row, status = found[str(path)], path.stat()
        assert row["file_size_bytes"] == status.st_size
        since = row["file_modified"] - NOON.replace(1970, 1, 1, 0)
        assert since // datetime.timedelta(microseconds=1) == status.st_mtime_ns // 1000
    for uri in (str(folder / "none.wav"), "http://127.0.0.1:1/x.wav"):
        assert found[uri]["file_size_bytes"] is found[uri]["file_modified"] is None


@pytest.mark.parametrize("source", ["folder", "manifest"])
def test_a_changed_file_is_named_and_its_row_replaced(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    source: str,
) -> None:
    output, inputs = tmp_path / "out", folder
    if source == "manifest":
        inputs = tmp_path / "m.csv"
        inputs.write_text("uri\n" + "".join(f"in/{x}.wav\n" for x in "abcde"))
    command = ("extract", inputs, "--model", tiny_model, "--shard-clips", 2)
    # Without results there is nothing to replace.
    first = fsdsinet(*command, "--output", output, "--retry-changed")
    assert "5 clips ok" in first.stdout and "changed since" not in first.stderr
    before = {name: results_of(output, name) for name in "abcde"}
    make_wav(folder / "b.wav", 44100, seed=77)
    if source == "manifest":
        # A file that is gone has not changed. It is in another shard.
        (folder / "e.wav").unlink()
    said = "1 file changed since its row was computed: b.wav; "
    again = fsdsinet(*command, "--output", output)
    assert said + "run with --retry-changed to replace its rows" in again.stderr
    assert "nothing to do: 5 clips are done" in again.stdout
    assert results_of(output, "b").equals(before["b"])
    retry = (*command, "--output", output, "--retry-changed")
    said += (
        "its rows are replaced, and 1 unchanged clip of the same shards computed again"
    )
    planned = fsdsinet(*retry, "--dry-run").stdout
    assert said in planned and "clips: 5, to do 2" in planned
    done = fsdsinet(*retry)
    assert said in done.stderr and "5 clips ok, 0 failed" in done.stdout
    assert_tidy(output)
    assert results_of(output, "b").num_rows > before["b"].num_rows
    for name in "acde":
        assert results_of(output, name).equals(before[name])
    last = fsdsinet(*retry)
    assert "nothing to do" in last.stdout and "changed since" not in last.stderr


@pytest.mark.slow
def test_clips_of_parts_that_a_killed_run_removed_are_computed(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, whole = tmp_path / "out", tmp_path / "whole"
    command = ("extract", folder, "--model", tiny_model, "--shard-clips", 2)
    fsdsinet(*command, "--output", output)
    for name in "ae":
        make_wav(folder / f"{name}.wav", 44100, seed=77)
    # As after a kill between the first two deletions.
    dataset = Dataset(str(output))
    files = {info.uri: info for info in storage.list_files(str(folder))}
    config = RunConfig(retry_changed=True)
    parts = changed_of(dataset, files, config).parts
    assert len(parts) == 2
    storage.delete_file(dataset.file("ledger", parts[0]))
    # A run without the option computes what is missing, and still names the other file.
    done = fsdsinet(*command, "--output", output)
    assert "1 file changed" in done.stderr and "5 clips ok" in done.stdout
    fsdsinet(*command, "--output", output, "--retry-changed")
    fsdsinet(*command, "--output", whole)
    assert_same_dataset(output, whole)
    assert_tidy(output)


def test_failed_and_changed_clips_are_retried_together(
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output, whole = tmp_path / "out", tmp_path / "whole"
    good = (folder / "a.wav").read_bytes()
    for name in "ac":
        (folder / f"{name}.wav").write_text("no audio")
    command = ("extract", folder, "--model", tiny_model, "--shard-clips", 2)
    assert "3 clips ok, 2 failed" in fsdsinet(*command, "--output", output).stdout
    (folder / "a.wav").write_bytes(good)
    # Its contents are the same, but this cannot be known without reading them.
    os.utime(folder / "e.wav", (1e9, 1e9))
    again = fsdsinet(*command, "--output", output)
    assert (
        "2 files changed since their rows were computed: a.wav, e.wav;" in again.stderr
    )
    both = ("--retry-failed", "--retry-changed")
    done = fsdsinet(*command, "--output", output, *both)
    assert "1 file changed since its row was computed: e.wav;" in done.stderr
    assert "4 clips ok, 1 failed" in done.stdout
    fsdsinet(*command, "--output", whole)
    assert_same_dataset(output, whole)
    assert_tidy(output)
