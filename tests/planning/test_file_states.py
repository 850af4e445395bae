"""Sizes and times of the files of manifest rows."""

import datetime
import pathlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inputs.clip_ids import default_clip_id, default_clip_ids
from pipeline.inputs.file_states import complete_states, listed_states
from pipeline.inputs.manifest_files import resolved
from transforms import storage
from transforms.storage import FILE_STATES, FileInfo, store, unknown_states

NOON = datetime.datetime(2026, 7, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize("num_at_once", [1, 2, 100])
def test_files_that_no_listing_stated_are_looked_up(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, num_at_once: int
) -> None:
    monkeypatch.setattr(store, "_NUM_AT_ONCE", num_at_once)
    for size in (1, 2):
        (tmp_path / f"{size}.wav").write_bytes(bytes(size))
    names = ["2.wav", "gone.wav", "1.wav", "2.wav", "listed.wav"]
    uris = pa.chunked_array([[str(tmp_path / name) for name in names]])
    listed = pa.concat_tables(
        [unknown_states(4), listed_states([FileInfo(names[4], 5, NOON)])]
    )
    found = complete_states(uris, listed)
    sizes, times, is_found = (column.to_pylist() for column in found.columns)
    assert sizes == [2, None, 1, 2, 5]
    assert is_found == [True, False, True, True, True]
    infos = storage.list_files(str(tmp_path))
    assert times == [infos[1].modified, None, infos[0].modified, times[0], NOON]
    assert found.schema.equals(FILE_STATES)


def test_files_on_the_web_stay_unknown(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    uris = pa.chunked_array([["https://host.invalid/a.wav", str(tmp_path / "a.wav")]])
    found = complete_states(uris, unknown_states(2))
    assert [column.to_pylist()[0] for column in found.columns] == [None, None, None]
    assert found[0].to_pylist() == [None, 1]


def test_listed_files_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(storage, "states_of")
    listed = listed_states([FileInfo("/a.wav", 1), FileInfo("/b.wav", 2)])
    assert complete_states(pa.chunked_array([["/a.wav", "/b.wav"]]), listed) is listed
    # The listing of a broken link states no size.
    with pytest.raises(AttributeError):
        broken = listed_states([FileInfo("/a.wav")])
        complete_states(pa.chunked_array([["/a.wav"]]), broken)


NAMES = st.one_of(
    st.none(),
    st.text(alphabet="a/.:%#? é\n", max_size=8),
    st.sampled_from(
        [
            "s3://b/a.wav",
            "file:/a%20b.wav",
            "https://h/a",
            "x:/y",
            "/",
            "FILE:/",
            "s3:b/..c",
        ]
    ),
)

FOLDERS = ["/", "/in", "/in/caf\udce9", "s3://b/in", "s3://b", "S3://b", "https://h/in"]


@given(
    names=st.lists(NAMES, max_size=6),
    folder=st.sampled_from(FOLDERS),
)
def test_names_of_a_manifest_are_resolved_as_one_by_one(
    names: list[str | None], folder: str
) -> None:
    expected = [
        name and storage.in_utf8(storage.resolve(folder, name)) for name in names
    ]
    assert resolved(folder, pa.array(names, pa.string())).to_pylist() == expected


URIS = st.text(alphabet="a/.: é\n", max_size=8).map(lambda text: f"/{text}")


@given(
    st.lists(st.one_of(URIS, st.sampled_from(["HTTPS://h/a%20b.wav?x", "s3://b/.c"])))
)
def test_clip_ids_of_a_manifest_are_made_as_one_by_one(uris: list[str]) -> None:
    rows = pa.table({"uri": pa.array(uris, pa.string())})
    found = default_clip_ids(rows.slice(1)).to_pylist()
    assert found == [default_clip_id(uri) for uri in uris[1:]]
