"""Looks up files of buckets in listings of their folders, in columns."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.storage.store import FILE_STATES, in_blocks, unknown_states

# With more folders, the listings take minutes at 0.1 s for a request.
MAX_FOLDERS = 10_000
# Folders that are listed at the same time. Arrow sends eight requests at once.
NUM_LISTED = 8


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a folder, without those of folders below.

    Attributes:
        names: Names of the files, strings.
        num_bytes: int64 [number of files], sizes.
        times_us: int64 [number of files], times of the last change, microseconds from
            1970.
    """

    names: pa.Array
    num_bytes: npt.NDArray[np.int64]
    times_us: npt.NDArray[np.int64]


def folder_states(
    uris: pa.ChunkedArray, list_folder: Callable[[str], Listing | None]
) -> pa.Table:
    """FILE_STATES of files, for which every folder is listed once.

    Memory holds a few numbers for each uri, and the files of the folders that are
    listed at the same time.

    Args:
        uris: Uris of the files, strings; a file may be named several times.
        list_folder: Lists a folder, in any thread; None for a folder that cannot be
            listed, whose files then count as not found.

    Returns:
        FILE_STATES, one row for every uri. With too many folders all files stay
        unknown.
    """
    if not len(uris):
        return FILE_STATES.empty_table()
    split = [_last_split(some, 0).dictionary_encode() for some in in_blocks(uris)]
    folders = pa.chunked_array(split).unify_dictionaries()
    names = folders.chunk(0).dictionary.to_pylist()
    if len(names) > MAX_FOLDERS:
        return unknown_states(len(uris))
    codes = np.concatenate([np.asarray(chunk.indices) for chunk in folders.chunks])
    ends = np.bincount(codes, minlength=len(names)).cumsum()[:-1]
    rows_of = np.split(np.argsort(codes, kind="stable"), ends)
    num_bytes, times_us = (np.zeros(len(uris), np.int64) for _ in range(2))
    is_found = np.zeros(len(uris), np.bool_)

    def look_up(folder: str, rows: npt.NDArray[np.int64]) -> None:
        listing = list_folder(folder)
        if listing is None:
            return
        wanted = _last_split(uris.take(rows).combine_chunks(), 1)
        places = pc.index_in(wanted, value_set=listing.names)
        found, places = rows[np.asarray(places.is_valid())], places.drop_null()
        is_found[found] = True
        num_bytes[found] = listing.num_bytes[places]
        times_us[found] = listing.times_us[places]

    with ThreadPoolExecutor(NUM_LISTED) as pool:
        for _ in pool.map(look_up, names, rows_of):
            pass
    types = FILE_STATES.types
    sizes = pa.array(num_bytes, types[0], mask=~is_found)
    times = pa.array(times_us, pa.int64(), mask=~is_found).cast(types[1])
    return pa.table([sizes, times, pa.array(is_found)], FILE_STATES)


def _last_split(uris: pa.Array, part: int) -> pa.Array:
    """The folders (part 0) or the names (part 1) of files."""
    parts = pc.split_pattern(uris, "/", max_splits=1, reverse=True)
    return pc.list_element(parts, part)
