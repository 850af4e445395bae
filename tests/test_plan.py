"""Plans: what is left to do, and in which shards."""

import pathlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.plan import (
    Plan,
    choose_shard_clips,
    ledger_columns,
    pending_rows,
    shards,
    write_plan,
)
from transforms.manifest import manifest_rows, read_planned_shards


def manifest_of(ids: list[str], **columns: list[object]) -> pa.Table:
    return pa.table({"clip_id": ids, "uri": [f"/a/{i}.wav" for i in ids], **columns})


def ledger_of(manifest: pa.Table, *failed: str) -> pa.Table:
    statuses = [
        "failed" if i in failed else "ok" for i in manifest["clip_id"].to_pylist()
    ]
    return manifest.append_column("status", pa.array(statuses, pa.string()))


NOTHING = ledger_of(manifest_of([]).cast(manifest_of(["a"]).schema))


@given(
    num_clips=st.integers(min_value=1, max_value=50),
    shard_clips=st.integers(min_value=1, max_value=60),
    done=st.sets(st.integers(min_value=0, max_value=49)),
)
def test_every_row_is_in_the_ledger_or_in_one_shard(
    num_clips: int, shard_clips: int, done: set[int]
) -> None:
    manifest = manifest_of([str(i) for i in range(num_clips)])
    rows = [i for i in range(num_clips) if i in done]
    ledger = ledger_of(manifest.take(pa.array(rows, pa.int64())))
    plan = Plan(manifest, pending_rows(manifest, ledger, False), shard_clips)
    planned_shards = list(shards(plan.pending, shard_clips))
    planned = [i for _, rows in planned_shards for i in rows["clip_id"].to_pylist()]
    assert planned == [str(i) for i in range(num_clips) if i not in done]
    names = [shard_id for shard_id, _ in planned_shards]
    assert len(names) == len(set(names)) == plan.num_shards


def test_shard_names_depend_on_their_clips_alone() -> None:
    one, other = manifest_of(["a", "b", "c"]), manifest_of(["x", "a", "b"])
    left = pending_rows(other, ledger_of(manifest_of(["x"])), False)
    names = dict(shards(one, 2)).keys() & dict(shards(left, 2)).keys()
    assert names == {next(shards(one, 2))[0]}
    tricky = manifest_of(["a\nb", "c", "a", "b\nc"])
    assert len(dict(shards(tricky, 2))) == 2


def test_failed_rows_are_pending_when_asked_for() -> None:
    manifest = manifest_of(["a", "b", "c"])
    ledger = ledger_of(manifest, "b")
    assert not pending_rows(manifest, ledger, False).num_rows
    retried = pending_rows(manifest, ledger, True)
    assert retried["clip_id"].to_pylist() == ["b"]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (manifest_of(["a"], take=[1]), "1 clips of the dataset are not in it\n  'b'"),
        (manifest_of(["a", "b"], take=["1", "2"]), "take: was int64, is string"),
        (manifest_of(["a", "b"]), "take: was int64, is None"),
        (manifest_of(["a", "b"], take=[1, 3]), "take of clip 'b': was 2, is 3"),
    ],
)
def test_a_manifest_that_changed_is_refused(now: pa.Table, message: str) -> None:
    ledger = ledger_of(manifest_of(["a", "b"], take=[1, 2]))
    with pytest.raises(ConfigError) as caught:
        pending_rows(now, ledger, False)
    assert message in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_changed_nested_values_are_refused_and_nan_is_no_change() -> None:
    columns: dict[str, list[object]] = {
        "tags": [["x"], ["y"]],
        "level": [float("nan"), 1.0],
    }
    ledger = ledger_of(manifest_of(["a", "b"], **columns))
    assert not pending_rows(manifest_of(["a", "b"], **columns), ledger, False).num_rows
    columns["tags"] = [["x"], ["z"]]
    other = manifest_of(["a", "b"], **columns)
    with pytest.raises(ConfigError, match="tags of clip 'b'"):
        pending_rows(other, ledger, False)


def test_columns_of_the_ledger_are_renamed() -> None:
    table = ledger_columns(manifest_of(["a"], status=["x"], error=["y"], mine=[1]))
    assert table.column_names[2:] == ["manifest_status", "manifest_error", "mine"]
    with pytest.raises(ConfigError, match="twice"):
        ledger_columns(manifest_of(["a"], status=["x"], manifest_status=["y"]))


def test_a_plan_file_holds_rows_and_types(tmp_path: pathlib.Path) -> None:
    manifest = manifest_of(["a", "b", "c"], tags=[["x"], [], None])
    path = str(tmp_path / "plan.arrow")
    write_plan(Plan(manifest, manifest, 2), path, {})
    planned = read_planned_shards(path)
    rows = pa.Table.from_batches([manifest_rows(shard.manifest) for shard in planned])
    assert rows.select(manifest.column_names).equals(manifest)


@pytest.mark.parametrize(
    ("num_clips", "num_workers", "expected"),
    [(1, 8, 1), (17, 2, 2), (1000, 2, 63), (50_000, 4, 64)],
)
def test_every_worker_gets_several_shards(
    num_clips: int, num_workers: int, expected: int
) -> None:
    assert choose_shard_clips(num_clips, num_workers) == expected


def test_given_up_clips_get_shards_of_their_own(tmp_path: pathlib.Path) -> None:
    manifest = manifest_of(["a", "b", "c", "d"])
    path = str(tmp_path / "plan.arrow")
    write_plan(Plan(manifest, manifest, 3), path, {"c": "it killed workers"})
    planned = [manifest_rows(p.manifest)["clip_id"] for p in read_planned_shards(path)]
    assert [ids.to_pylist() for ids in planned] == [["c"], ["a", "b", "d"]]
