"""Sizes and times of the files of manifest rows, in columns."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import storage
from transforms.storage import FILE_STATES, FileInfo

# Files whose states are asked for at once: few enough for their Python objects.
_NUM_AT_ONCE = 1 << 17


def listed_states(infos: Sequence[FileInfo]) -> pa.Table:
    """Returns FILE_STATES of files that a listing stated; unknown without a size."""
    is_found = [None if info.size_bytes is None else True for info in infos]
    return storage.file_states(infos, is_found)


def unknown_states(num_rows: int) -> pa.Table:
    """Returns FILE_STATES of files of which nothing is known."""
    return pa.table([pa.nulls(num_rows, f.type) for f in FILE_STATES], FILE_STATES)


def complete_states(uris: pa.ChunkedArray, listed: pa.Table) -> pa.Table:
    """Looks up the files that are not listed, as far as that needs no request for each.

    Args:
        uris: Uris of the files, strings; a file may be named several times.
        listed: FILE_STATES as known so far, one row for every uri.

    Returns:
        FILE_STATES, one row for every uri.
    """
    is_unknown = pc.is_null(listed["is_found"])
    if not pc.any(is_unknown).as_py():
        return listed
    found = pa.concat_tables(_look_up(uris.filter(is_unknown))).combine_chunks()
    if found.num_rows == len(uris):
        return found
    places = np.cumsum(is_unknown) - 1
    rows = found.take(pa.array(places, mask=~np.asarray(is_unknown)))
    columns = (pc.coalesce(listed[name], rows[name]) for name in FILE_STATES.names)
    return pa.table([*columns], FILE_STATES)


def _look_up(uris: pa.ChunkedArray) -> Iterator[pa.Table]:
    """Yields FILE_STATES of files, in their order; several rows may be of one file."""
    # A bucket is asked for each folder once, so it needs all uris.
    is_local = pc.all(pc.starts_with(uris, "/")).as_py()
    num_at_once = _NUM_AT_ONCE if is_local else len(uris)
    for start in range(0, len(uris), num_at_once):
        some = uris.slice(start, num_at_once).combine_chunks().dictionary_encode()
        yield storage.states_of(some.dictionary.to_pylist()).take(some.indices)
