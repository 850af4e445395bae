"""Finds files that changed since their rows were computed, and removes these rows.

A file has changed if its size, or the time of its last change, is not the one that the
ledger has. Where one of the two is unknown, it is not compared. A file that is gone has
not changed.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RunConfig
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.dataset.replace_parts import replace_parts
from transforms import storage
from transforms.storage import FileInfo

_NUM_SHOWN = 5
_TIME = pa.timestamp("us", tz="UTC")
# Precisions in which stores and file systems state times, in microseconds.
_PRECISIONS_US = (1_000, 1_000_000)


@dataclasses.dataclass(frozen=True)
class ChangedFiles:
    """Files that changed since their rows were computed.

    Attributes:
        uris: Uris of the files, sorted.
        parts: File names of the parts of the ledger that have rows of these files, if
            the rows are to be replaced.
        clip_ids: Clips that are computed again: all clips of these parts, and those of
            `dropped`.
        num_unchanged: Number of these clips whose files have not changed.
        dropped: Compacted part -> its clips whose files changed. The part keeps its
            other clips.
    """

    uris: Sequence[str] = ()
    parts: Sequence[str] = ()
    clip_ids: pa.Array | None = None
    num_unchanged: int = 0
    dropped: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """Returns a sentence about these files; empty if there are none."""
        number = len(self.uris)
        if not number:
            return ""
        files, their = ("files", "their") if number > 1 else ("file", "its")
        rows = "rows were" if number > 1 else "row was"
        names = [storage.file_name(uri) for uri in self.uris[:_NUM_SHOWN]]
        more = f" and {number - _NUM_SHOWN:,} more" if number > _NUM_SHOWN else ""
        text = (
            f"{number:,} {files} changed since {their} {rows} computed: "
            f"{', '.join(names)}{more}; "
        )
        if not self.parts and not self.dropped:
            return text + f"run with --retry-changed to replace {their} rows"
        text += f"{their} rows are replaced"
        if self.num_unchanged:
            others = "clips" if self.num_unchanged > 1 else "clip"
            text += (
                f", and {self.num_unchanged:,} unchanged {others} of the same shards "
                "computed again"
            )
        return text


def find_changed(
    dataset: Dataset,
    ledger: pa.Table,
    files: Mapping[str, FileInfo | None],
    config: RunConfig,
) -> ChangedFiles:
    """Finds the files that changed since their rows were computed.

    Files of failed rows that `retry_failed` repeats anyway are left out.

    Args:
        dataset: The output.
        ledger: From `Dataset.read_done`.
        files: Sizes and times of files now, by uri, as far as they are known.
        config: Configuration of the run.
    """
    if config.retry_failed:
        ledger = ledger.filter(pc.equal(ledger["status"], "ok"))
    rows = ledger.filter(is_changed(ledger, files))
    uris = sorted(pc.unique(rows["uri"]).to_pylist())
    if not uris or not config.retry_changed:
        return ChangedFiles(uris)
    parts, clip_ids, dropped = _parts_with(dataset, rows["clip_id"])
    num_unchanged = len(clip_ids) - rows.num_rows
    return ChangedFiles(uris, parts, clip_ids, num_unchanged, dropped)


def is_changed(
    ledger: pa.Table, files: Mapping[str, FileInfo | None]
) -> pa.ChunkedArray:
    """Says for every row of the ledger whether its file has changed.

    Args:
        ledger: Columns uri, file_size_bytes and file_modified.
        files: Sizes and times of files now, by uri, as far as they are known.
    """
    infos = [files.get(uri) for uri in ledger["uri"].to_pylist()]
    sizes = pa.array([info and info.size_bytes for info in infos], pa.int64())
    times = pa.array([info and info.modified for info in infos], _TIME)
    # A comparison with null is null.
    other_size = pc.not_equal(ledger["file_size_bytes"], sizes)
    other_time = _other_time(ledger["file_modified"], times)
    return pc.fill_null(pc.or_kleene(other_size, other_time), False)


def _other_time(before: pa.ChunkedArray, now: pa.Array) -> pa.Array:
    """Compares times in the precision that both have; null where one is null.

    A store may state milliseconds in a listing, and whole seconds for one object.
    """
    is_known = pc.and_(pc.is_valid(before), pc.is_valid(now))
    before_us, now_us = (_microseconds(times) for times in (before, now))
    step = np.maximum(_precision(before_us), _precision(now_us))
    is_other = before_us // step != now_us // step
    return pc.if_else(is_known, pa.array(is_other), pa.scalar(None, pa.bool_()))


def _microseconds(times: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(times.cast(pa.int64()), 0))


def _precision(times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Largest precision in microseconds of which each time is a multiple."""
    found = np.ones_like(times_us)
    for precision in _PRECISIONS_US:
        found[times_us % precision == 0] = precision
    return found


def _parts_with(
    dataset: Dataset, clip_ids: pa.ChunkedArray
) -> tuple[list[str], pa.Array, dict[str, pa.Array]]:
    """Finds the parts that have some clips.

    Returns:
        Parts to remove, all clips to compute again, and the clips to drop from
        compacted parts: these have too many other clips to compute all again.
    """
    removed: list[str] = []
    dropped: dict[str, pa.Array] = {}
    repeated = [pa.array([], pa.string())]
    parts = dataset.committed()
    tables = dataset.files.read_each("ledger", parts, ["clip_id"])
    for part, table in zip(parts, tables, strict=True):
        ids = table["clip_id"].combine_chunks()
        found = ids.filter(pc.is_in(ids, value_set=clip_ids))
        if part.startswith(COMPACTED_PREFIX) and len(found) < len(ids):
            dropped |= {part: found} if len(found) else {}
            repeated.append(found)
        elif len(found):
            removed.append(part)
            repeated.append(ids)
    return removed, pa.concat_arrays(repeated), dropped


def drop_rows(dataset: Dataset, dropped: Mapping[str, pa.Array]) -> None:
    """Removes the rows of clips from compacted parts, so that a run repeats them.

    Args:
        dataset: The output, which this process has locked.
        dropped: Compacted part -> clips to remove; the part has other clips, too.
    """
    if not dropped:
        return
    sizes = dataset.table_sizes(dropped)
    for part, clip_ids in dropped.items():
        replace_parts(dataset, [part], sorted(sizes[part]), clip_ids)


def remove_parts(dataset: Dataset, parts: Sequence[str]) -> None:
    """Removes parts of the dataset from all tables, so that a run repeats their clips.

    A part counts exactly as long as its ledger file exists, for readers and for runs.
    Deleting this file is one step, which takes all rows of the part away at once. Its
    files of patches and clips are then files of a shard that is not committed. If this
    process is killed between two steps, the next run removes these files, computes the
    clips of parts without a ledger file, and leaves parts with a ledger file as they
    are. So no row is lost or doubled, and a row is old or new as a whole.

    Args:
        dataset: The output, which this process has locked.
        parts: File names of the parts.
    """
    for part in parts:
        storage.delete_file(dataset.file("ledger", part))
    if parts:
        dataset.remove_uncommitted()
