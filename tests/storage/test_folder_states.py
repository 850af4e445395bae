"""Files of buckets are looked up in listings of their folders."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.storage import FILE_STATES, folder_states, unknown_states

NAMES = st.sampled_from(["a", "b", "a/c", "a/b", "refused/a", "", "é/a", "a/"])


@given(
    asked=st.lists(st.lists(NAMES, max_size=4), max_size=3),
    listed=st.dictionaries(NAMES, st.integers(0, 1 << 50)),
)
def test_files_are_found_as_one_by_one(
    asked: list[list[str]], listed: dict[str, int]
) -> None:
    sizes = {f"s3://b/{name}": size for name, size in listed.items()}
    folders: list[str] = []

    def list_folder(folder: str) -> folder_states.Listing | None:
        folders.append(folder)
        if folder.endswith("refused"):
            return None
        found = {
            u.rpartition("/")[2]: s
            for u, s in sizes.items()
            if u.rpartition("/")[0] == folder
        }
        numbers = np.array([*found.values()], np.int64)
        return folder_states.Listing(pa.array([*found], pa.string()), numbers, numbers)

    uris = pa.chunked_array(
        [[f"s3://b/{x}" for x in some] for some in asked], pa.string()
    )
    states = folder_states.folder_states(uris, list_folder)
    expected = [sizes.get(u) if "refused" not in u else None for u in uris.to_pylist()]
    assert states.schema.equals(FILE_STATES)
    assert states["size_bytes"].to_pylist() == expected
    assert states["modified"].cast(pa.int64()).to_pylist() == expected
    assert states["is_found"].to_pylist() == [size is not None for size in expected]
    assert len(folders) == len({*folders})


def test_files_of_too_many_folders_stay_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folder_states, "MAX_FOLDERS", 1)
    uris = pa.chunked_array([["s3://b/a/x", "s3://b/c/x"]])

    def list_folder(folder: str) -> None:
        raise AssertionError(folder)

    assert folder_states.folder_states(uris, list_folder).equals(unknown_states(2))


def test_a_bug_in_a_listing_is_not_hidden() -> None:
    def list_folder(folder: str) -> None:
        raise ZeroDivisionError(folder)

    with pytest.raises(ZeroDivisionError):
        folder_states.folder_states(pa.chunked_array([["s3://b/a"]]), list_folder)
