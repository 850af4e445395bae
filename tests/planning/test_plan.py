"""Plans: the clips that are still to do, and their shards."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.launch.forecast import longest_audio_s, predict_audio_s
from pipeline.launch.plan import (
    Plan,
    ShardLimits,
    by_file,
    choose_limits,
    cut,
    ledger_columns,
    shards,
    write_plan,
)
from tests.support.shards import pending_of, plan_of, with_files
from transforms import storage
from transforms.elements import Failure, shard_name
from transforms.manifest import FILE_FIELDS, manifest_rows, read_planned_shards
from transforms.storage import FileInfo


def manifest_of(ids: list[str], **columns: list[object]) -> pa.Table:
    return pa.table({"clip_id": ids, "uri": [f"/a/{i}.wav" for i in ids], **columns})


def ledger_of(manifest: pa.Table, *failed: str) -> pa.Table:
    statuses = [
        "failed" if i in failed else "ok" for i in manifest["clip_id"].to_pylist()
    ]
    unknown = pa.nulls(manifest.num_rows, pa.string())
    columns = {name: manifest[name] for name in manifest.column_names}
    given = columns.setdefault("recorded_at", unknown)
    source = pc.if_else(pc.is_valid(given), "column", pa.scalar(None, pa.string()))
    own = {"status": pa.array(statuses, pa.string()), "recorded_at_source": source}
    return pa.table(columns | own)


@given(
    audio_s=st.lists(st.floats(0.1, 1000), max_size=50),
    num_clips=st.integers(1, 60),
    shard_s=st.floats(0.1, 2000),
    last_s=st.floats(0, 20_000),
    done=st.sets(st.integers(0, 49)),
)
def test_every_row_is_in_the_ledger_or_in_one_shard_within_limits(
    audio_s: list[float], num_clips: int, shard_s: float, last_s: float, done: set[int]
) -> None:
    manifest = manifest_of([str(i) for i in range(len(audio_s))])
    is_done = pa.array([i in done for i in range(len(audio_s))], pa.bool_())
    pending = pending_of(manifest, ledger_of(manifest.filter(is_done)))
    limits = ShardLimits(num_clips, shard_s, last_s, shard_s / 4)
    lengths = np.array(audio_s)[[i not in done for i in range(len(audio_s))]]
    plan = Plan(manifest, pending, lengths, limits)
    ids = [rows["clip_id"].to_pylist() for rows in shards(plan)]
    assert len({shard_name(clips) for clips in ids}) == len(ids)
    assert len(ids) == plan.num_shards
    in_order = sorted(ids, key=lambda clips: int(clips[0]))
    assert [i for clips in in_order for i in clips] == pending["clip_id"].to_pylist()
    work_s = [sum(audio_s[int(i)] for i in clips) for clips in ids]
    np.testing.assert_allclose(work_s, sorted(work_s)[::-1])
    for clips, seconds in zip(ids, work_s, strict=True):
        assert len(clips) <= num_clips
        assert seconds <= shard_s * (1 + 1e-9) or len(clips) == 1


def names_of(plan: Plan) -> list[str]:
    return [shard_name(rows["clip_id"].to_pylist()) for rows in shards(plan)]


def test_shard_names_depend_only_on_their_clips() -> None:
    one, other = manifest_of(["a", "b", "c"]), manifest_of(["x", "a", "b"])
    left = pending_of(other, ledger_of(manifest_of(["x"])))
    ones, lefts = (names_of(plan_of(rows, 2)) for rows in (one, left))
    assert {*ones} & {*lefts} == {ones[0]}
    tricky = manifest_of(["a\nb", "c", "a", "b\nc"])
    assert len({*names_of(plan_of(tricky, 2))}) == 2


def test_failed_rows_are_pending_with_retry_failed() -> None:
    manifest = manifest_of(["a", "b", "c"])
    ledger = ledger_of(manifest, "b")
    assert not pending_of(manifest, ledger).num_rows
    retried = pending_of(manifest, ledger, True)
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
        pending_of(now, ledger)
    assert message in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_changed_nested_values_are_refused_and_equal_nan_is_accepted() -> None:
    columns: dict[str, list[object]] = {
        "tags": [["x"], ["y"]],
        "level": [float("nan"), 1.0],
    }
    ledger = ledger_of(manifest_of(["a", "b"], **columns))
    assert not pending_of(manifest_of(["a", "b"], **columns), ledger).num_rows
    columns["tags"] = [["x"], ["z"]]
    other = manifest_of(["a", "b"], **columns)
    with pytest.raises(ConfigError, match="tags of clip 'b'"):
        pending_of(other, ledger)


def test_manifest_columns_named_as_ledger_columns_are_renamed() -> None:
    table = ledger_columns(manifest_of(["a"], status=["x"], error=["y"], mine=[1]))
    assert table.column_names[2:] == ["manifest_status", "manifest_error", "mine"]
    with pytest.raises(ConfigError, match="twice"):
        ledger_columns(manifest_of(["a"], status=["x"], manifest_status=["y"]))


def test_the_time_of_a_recording_is_the_column_of_the_ledger() -> None:
    table = manifest_of(["a"], recorded_at=["2024-06-11T05:30:00"], mine=[1])
    assert ledger_columns(table).equals(table)


LOCAL = "2024-06-11T05:30:00"


@pytest.mark.parametrize(
    ("ledger", "source", "now"),
    [
        (LOCAL, "column", LOCAL),
        # With --timezone.
        (f"{LOCAL}+02:00", "column", LOCAL),
        (f"{LOCAL}+02:00", "column", f"{LOCAL}+02:00"),
        # Another source counted, or there was no column.
        (LOCAL, "name", "2020-01-01T00:00:00"),
        (LOCAL, "guano", None),
        (None, None, LOCAL),
    ],
)
def test_times_that_did_not_change(
    ledger: str | None, source: str | None, now: str | None
) -> None:
    before = ledger_of(manifest_of(["a"], recorded_at=[ledger]))
    index = before.schema.get_field_index("recorded_at_source")
    column = pa.array([source], pa.string())
    before = before.set_column(index, "recorded_at_source", column)
    manifest = manifest_of(["a", "b"], recorded_at=[now, None])
    assert pending_of(manifest, before)["clip_id"].to_pylist() == ["b"]


@pytest.mark.parametrize("now", ["2024-06-11T05:30:01", f"{LOCAL}Z", f"{LOCAL}.5"])
def test_a_time_that_changed_is_refused(now: str) -> None:
    ledger = ledger_of(manifest_of(["a"], recorded_at=[LOCAL]))
    for manifest in (manifest_of(["a"], recorded_at=[now]), manifest_of(["a"])):
        with pytest.raises(ConfigError, match=f"recorded_at of clip 'a': was {LOCAL}"):
            pending_of(manifest, ledger)


def test_a_plan_file_holds_rows_and_types(tmp_path: pathlib.Path) -> None:
    manifest = manifest_of(["a", "b", "c"], tags=[["x"], [], None])
    path = str(tmp_path / "plan.arrow")
    write_plan(plan_of(manifest, 2), path, {})
    planned = read_planned_shards(path)
    rows = pa.Table.from_batches([manifest_rows(shard.manifest) for shard in planned])
    assert rows.select(manifest.column_names).equals(manifest)


@pytest.mark.parametrize(
    ("num_clips", "clip_s", "num_workers", "expected"),
    [(1, 5, 8, 1), (24, 3.0, 2, 8), (1000, 7.6, 2, 85), (50_000, 7.6, 4, 875)],
)
def test_every_worker_gets_several_shards(
    num_clips: int, clip_s: float, num_workers: int, expected: int
) -> None:
    audio_s = np.full(num_clips, clip_s)
    limits = choose_limits(audio_s, num_workers, None)
    assert len(cut(audio_s, limits)) == expected
    assert choose_limits(audio_s, num_workers, 5) == ShardLimits(5)


def test_the_last_shards_are_a_quarter_of_the_others() -> None:
    audio_s = np.full(4000, 2.0)
    limits = choose_limits(audio_s, 5, None)
    sizes = [rows.stop - rows.start for rows in cut(audio_s, limits)]
    assert sizes == [50] * 40 + [12] * 166 + [8]


def test_long_recordings_are_first_and_have_their_own_shards() -> None:
    audio_s = np.array([1.0, 3600, 2, 3, 1000])
    limits = choose_limits(audio_s, 2, None)
    rows = manifest_of(["a", "hour", "b", "c", "long"])
    ids = [r["clip_id"].to_pylist() for r in shards(Plan(rows, rows, audio_s, limits))]
    assert ids == [["hour"], ["long"], ["b", "c"], ["a"]]


def test_length_is_predicted_from_file_size_and_format(tmp_path: pathlib.Path) -> None:
    for name in ("ten.WAV", "ten.mp3"):
        size = 882_000 if name == "ten.WAV" else 160_000
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "empty.flac").touch()
    names = ["ten.WAV", "ten.mp3", "empty.flac", "missing.wav", "nul\0.wav"]
    uris = [*(str(tmp_path / name) for name in names), "https://example.org/a.wav"]
    states = storage.states_of(pa.chunked_array([uris]))
    names = [field.name for field in FILE_FIELDS]
    rows = states.rename_columns(names).append_column("uri", pa.array(uris))
    predicted = predict_audio_s(rows)
    assert predicted.tolist() == [10, 10, 0.1, 0.1, 0.1, 10]


def sized(sizes: dict[str, int]) -> dict[str, FileInfo | None]:
    return {uri: FileInfo(uri, size) for uri, size in sizes.items()}


def test_well_compressed_files_may_hold_hours() -> None:
    uris = ["silence.flac", "speech.opus", "one.wav"]
    hour = {"silence.flac": 3600 * 132, "speech.opus": 3600 * 750, "one.wav": 882_000}
    rows = with_files(pa.table({"uri": uris}), sized(hour))
    predicted = predict_audio_s(rows)
    assert predicted[0] < 10 and predicted[1] < 200
    most = longest_audio_s(rows["uri"], predicted)
    assert most[0] > 3600 and most[1] > 3600 and most[2] == 10


def test_given_up_clips_have_their_own_shards(tmp_path: pathlib.Path) -> None:
    manifest = manifest_of(["a", "b", "c", "d"])
    path = str(tmp_path / "plan.arrow")
    write_plan(plan_of(manifest, 3), path, {"c": Failure("worker", "timeout", "slow")})
    planned = [manifest_rows(p.manifest)["clip_id"] for p in read_planned_shards(path)]
    assert [ids.to_pylist() for ids in planned] == [["c"], ["a", "b", "d"]]


def excerpts_of(
    *rows: tuple[str, float | None, float | None],
) -> pa.Table:
    """Rows of a manifest: file, start and end."""
    files, starts, ends = zip(*rows, strict=True)
    times = {
        "start_s": pa.array(starts, pa.float64()),
        "end_s": pa.array(ends, pa.float64()),
    }
    ids = [str(number) for number in range(len(rows))]
    return pa.table({"clip_id": ids, "uri": files, **times})


def test_length_of_an_excerpt_is_predicted_from_its_times() -> None:
    rows = [(1, 3.5), (None, 4), (4, None), (99, None), (None, None), (1, 1.01)]
    manifest = excerpts_of(*(("a.mp3", *row) for row in rows), ("gone.wav", 0, 60))
    files = sized({"a.mp3": 160_000}) | {"gone.wav": None}
    predicted = predict_audio_s(with_files(manifest, files))
    assert predicted.tolist() == [2.5, 4, 6, 0.1, 10, 0.1, 60]


def test_excerpts_of_a_file_are_planned_together_in_order_of_start() -> None:
    manifest = excerpts_of(
        ("a", 9, 10),
        ("whole", None, None),
        ("b", 5, None),
        ("a", None, 1),
        ("a", None, None),
        ("b", 0, 8),
        ("a", 9, 9.5),
        ("whole", None, None),
    )
    planned = by_file(manifest)["clip_id"].to_pylist()
    assert planned == ["3", "0", "6", "1", "5", "2", "4", "7"]
    chunks = pa.concat_tables([manifest.slice(0, 3), manifest.slice(3)])
    assert by_file(chunks).equals(by_file(manifest))
    assert by_file(manifest.slice(0, 0)).num_rows == 0


def test_rows_that_are_no_excerpts_keep_their_order() -> None:
    manifest = manifest_of(["b", "a", "c", "a"])
    assert by_file(manifest) is manifest
    with_columns = excerpts_of(*((name, None, None) for name in "baca"))
    assert by_file(with_columns).equals(with_columns)


@given(st.lists(st.text(alphabet="wv./:é\n?%2", max_size=12), min_size=1))
def test_length_depends_on_the_suffix_wherever_the_file_is(names: list[str]) -> None:
    starts = ("/in/", "s3://b/", "file:///", "HTTP://h/")
    uris = [f"{starts[n % 4]}{name}.wv" for n, name in enumerate(names)]
    uris += [f"{starts[n % 4]}{name}" for n, name in enumerate(names)]
    sizes = sized(dict.fromkeys(uris, 1_000_000))
    found = predict_audio_s(with_files(pa.table({"uri": uris}), sizes))
    rates = [58_800 if storage.suffix(uri) == ".wv" else 16_000 for uri in uris]
    assert found.tolist() == [1_000_000 / rate for rate in rates]
