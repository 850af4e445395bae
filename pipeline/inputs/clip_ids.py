"""Default clip_ids: the name of the file, the times of an excerpt, and a hash."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inputs import excerpts
from transforms import storage

# Rows whose clip_ids are made at once: few enough for their Python objects.
_NUM_AT_ONCE = 1 << 17
_DIGEST_BYTES = 6


def default_clip_ids(rows: pa.Table) -> pa.ChunkedArray:
    """Returns `default_clip_id` of every row.

    Args:
        rows: Column uri, a string; for excerpts, their start and end follow.
    """
    ids = [_clip_ids(batch) for batch in rows.to_batches(_NUM_AT_ONCE)]
    return pa.chunked_array(ids, pa.string())


def default_clip_id(
    uri: str, start_s: float | None = None, end_s: float | None = None
) -> str:
    """Returns the file stem and a hash of the uri; for an excerpt with its times."""
    data = storage.unsigned(uri).encode("utf-8")
    digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    name = storage.file_name(uri)
    stem = name.rpartition(".")[0] or name
    times = excerpts.times_text(start_s, end_s)
    return f"{stem}-{times}-{digest}" if times else f"{stem}-{digest}"


def _clip_ids(rows: pa.RecordBatch) -> pa.Array:
    uris = rows.column(0)
    if rows.num_columns > 1 or pc.any(storage.are_urls(uris)).as_py():
        values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        return pa.array([default_clip_id(*row) for row in values], pa.string())
    # Most rows name whole files by their paths, and there may be millions.
    names = _last(pc.split_pattern(uris, "/"))
    before = pc.split_pattern(names, ".", max_splits=1, reverse=True)
    stems = pc.list_element(before, 0)
    stems = pc.if_else(pc.equal(stems, ""), names, stems)
    return pc.binary_join_element_wise(stems, _digests(uris), "-")


def _digests(uris: pa.Array) -> pa.Array:
    """The hash of each uri in hexadecimal."""
    texts = uris.cast(pa.binary()).to_pylist()
    hashes = (hashlib.blake2b(x, digest_size=_DIGEST_BYTES).digest() for x in texts)
    data = pa.py_buffer(b"".join(hashes).hex().encode("ascii"))
    kind = pa.binary(2 * _DIGEST_BYTES)
    found = pa.FixedSizeBinaryArray.from_buffers(kind, len(uris), [None, data])
    return found.cast(pa.binary()).cast(pa.string())


def _last(lists: pa.ListArray) -> pa.Array:
    """The last value of each list, none of which is empty."""
    return lists.values.take(pc.subtract(lists.offsets[1:], 1))
