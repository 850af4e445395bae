"""Sizes and times of the files of manifest rows, in columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import storage
from transforms.storage import FILE_STATES, FileInfo


def listed_states(infos: Sequence[FileInfo]) -> pa.Table:
    """Returns FILE_STATES of files that a listing stated; unknown without a size."""
    is_found = [None if info.size_bytes is None else True for info in infos]
    return storage.file_states(infos, is_found)


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
    found = storage.states_of(uris.filter(is_unknown)).combine_chunks()
    if found.num_rows == len(uris):
        return found
    places = np.cumsum(is_unknown) - 1
    rows = found.take(pa.array(places, mask=~np.asarray(is_unknown)))
    columns = (pc.coalesce(listed[name], rows[name]) for name in FILE_STATES.names)
    return pa.table([*columns], FILE_STATES)
