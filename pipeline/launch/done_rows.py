"""Compares the rows of a manifest with the ledger: which are done, which changed.

The ledger is read in blocks, so that memory holds only the manifest and a few bytes for
each of its rows.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from transforms.manifest import PLAN_FIELDS
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import unsigned

OWN_COLUMNS = frozenset(field.name for field in (*LEDGER_FIELDS, *PLAN_FIELDS))
_NUM_SHOWN = 10
_OTHER_ROWS = "its rows are not those of the dataset, first:"
# Precisions in which stores and file systems state times, in microseconds.
_PRECISIONS_US = (1_000, 1_000_000)


@dataclasses.dataclass(frozen=True)
class DoneRows:
    """What the ledger says of the rows of a manifest.

    Attributes:
        is_ok: bool [rows of the manifest], clips with results.
        is_failed: bool [rows of the manifest], clips that failed.
        is_changed: bool [rows of the manifest], clips whose file is not the one that
            their row was computed from.
    """

    is_ok: npt.NDArray[np.bool_]
    is_failed: npt.NDArray[np.bool_]
    is_changed: npt.NDArray[np.bool_]

    @property
    def any(self) -> bool:
        """Whether the ledger has a row."""
        return bool(self.is_ok.any() or self.is_failed.any())


def find_done(
    manifest: pa.Table, files: pa.Table, ledger: Iterable[pa.Table]
) -> DoneRows:
    """Compares a manifest with the rows of a ledger.

    Args:
        manifest: From `ledger_columns`.
        files: FILE_STATES of the rows of the manifest.
        ledger: From `Dataset.done_blocks`; nothing in a new run.

    Raises:
        ConfigError: if the manifest lost or changed rows that are in the ledger.
    """
    num_rows = manifest.num_rows
    done = DoneRows(*(np.zeros(num_rows, np.bool_) for _ in range(3)))
    # Rows that no block had yet: to look for all rows in every block takes longer.
    left, ids = np.arange(num_rows), manifest["clip_id"]
    for block in ledger:
        _check_columns(manifest.schema, block.schema)
        places = pc.index_in(ids, value_set=block["clip_id"].combine_chunks())
        is_there = np.asarray(places.is_valid())
        rows = left[is_there]
        left, ids = left[~is_there], ids.filter(pa.array(~is_there))
        if len(rows) < block.num_rows:
            _check_none_lost(manifest, block)
        found = block.take(places.drop_null())
        _check_same(manifest.take(rows), found)
        is_ok = np.asarray(pc.equal(found["status"], "ok"))
        done.is_ok[rows] = is_ok
        done.is_failed[rows] = ~is_ok
        done.is_changed[rows] = is_changed(found, files.take(rows))
    return done


def is_changed(ledger: pa.Table, files: pa.Table) -> npt.NDArray[np.bool_]:
    """Says for every row of the ledger whether its file has changed.

    A file has changed if its size, or the time of its last change, is not the one that
    the ledger has. Where one of the two is unknown, it is not compared. A file that is
    gone has not changed.

    Args:
        ledger: Columns file_size_bytes and file_modified.
        files: FILE_STATES of the same rows, as they are now.

    Returns:
        bool [number of rows].
    """
    # A comparison with null is null.
    other_size = pc.not_equal(ledger["file_size_bytes"], files["size_bytes"])
    before, now = ledger["file_modified"], files["modified"]
    # A store may state milliseconds in a listing, and whole seconds for one object.
    before_us, now_us = (_microseconds(times) for times in (before, now))
    step = np.maximum(_precision(before_us), _precision(now_us))
    is_known = np.asarray(pc.and_(pc.is_valid(before), pc.is_valid(now)))
    other_time = is_known & (before_us // step != now_us // step)
    return np.asarray(pc.fill_null(other_size, False)) | other_time


def _microseconds(times: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(times.cast(pa.int64()), 0))


def _precision(times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Largest precision in microseconds of which each time is a multiple."""
    found = np.ones_like(times_us)
    for precision in _PRECISIONS_US:
        found[times_us % precision == 0] = precision
    return found


def _check_columns(manifest: pa.Schema, ledger: pa.Schema) -> None:
    own = OWN_COLUMNS - {"clip_id", "uri"}
    now = {f.name: f.type for f in manifest if f.name not in own}
    then = {f.name: f.type for f in ledger if f.name not in own}
    if now != then:
        changed = {k for k in now | then if now.get(k) != then.get(k)}
        lines = [f"  {k}: was {then.get(k)}, is {now.get(k)}" for k in sorted(changed)]
        raise _changed("its columns are not those of the dataset", lines)


def _check_none_lost(manifest: pa.Table, ledger: pa.Table) -> None:
    is_there = pc.is_in(ledger["clip_id"], value_set=manifest["clip_id"])
    lost = ledger["clip_id"].filter(pc.invert(is_there))
    if len(lost):
        shown = [f"  {clip_id!r}" for clip_id in lost[:_NUM_SHOWN].to_pylist()]
        raise _changed(f"{len(lost)} clips of the dataset are not in it", shown)


def _check_same(manifest: pa.Table, ledger: pa.Table) -> None:
    """Raises ConfigError if rows of a manifest differ from those of the ledger.

    Args:
        manifest: The rows of the clips in the ledger, in the same order.
        ledger: Rows of the ledger.
    """
    kept = [n for n in ledger.column_names if n == "uri" or n not in OWN_COLUMNS]
    for name in kept:
        was, is_now = ledger[name], manifest[name]
        if name == "uri" and not was.equals(is_now):
            # A URL that was signed again is unchanged, and its signature is not shown.
            was, is_now = (
                pa.array(map(unsigned, x.to_pylist())) for x in (was, is_now)
            )
        if was.equals(is_now):
            continue
        # Values are compared as text, in which NaN equals NaN.
        pairs = zip(
            map(repr, was.to_pylist()), map(repr, is_now.to_pylist()), strict=True
        )
        for row in (row for row, (old, new) in enumerate(pairs) if old != new):
            clip_id = ledger["clip_id"][row].as_py()
            line = f"  {name} of clip {clip_id!r}: was {was[row]}, is {is_now[row]}"
            raise _changed(_OTHER_ROWS, [line])
    _check_same_times(manifest, ledger)


def _check_same_times(manifest: pa.Table, ledger: pa.Table) -> None:
    """Raises ConfigError if times that the ledger has from the manifest have changed.

    The ledger may have a local time with the offset of `--timezone`.
    """
    is_given = pc.equal(ledger["recorded_at_source"], "column")
    ids, was = (ledger[name].filter(is_given) for name in ("clip_id", "recorded_at"))
    is_now = pa.nulls(len(was), pa.string())
    if RECORDED_AT_COLUMN in manifest.column_names:
        is_now = manifest[RECORDED_AT_COLUMN].filter(is_given)
    rows = zip(ids.to_pylist(), was.to_pylist(), is_now.to_pylist(), strict=True)
    for clip_id, old, new in rows:
        if new is None or (old != new and not _is_with_offset(old, new)):
            line = f"  recorded_at of clip {clip_id!r}: was {old}, is {new}"
            raise _changed(_OTHER_ROWS, [line])


def _is_with_offset(text: str, local: str) -> bool:
    return text.startswith(local) and text[len(local) : len(local) + 1] in ("+", "-")


def _changed(problem: str, lines: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"the manifest has changed: {problem}\n"
        + "\n".join(lines)
        + "\na run continues only if no row was removed or changed: restore the "
        "manifest, or give a new --output or --overwrite"
    )
