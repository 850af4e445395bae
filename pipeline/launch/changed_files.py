"""Names files that changed since their rows were computed, and removes these rows."""

import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import RunConfig
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.dataset.replace_parts import replace_parts
from pipeline.launch.done_rows import DoneRows
from transforms import storage

_NUM_SHOWN = 5


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
    dataset: Dataset, manifest: pa.Table, done: DoneRows, config: RunConfig
) -> ChangedFiles:
    """Names the files that changed since their rows were computed.

    Files of failed rows that `retry_failed` repeats anyway are left out.

    Args:
        dataset: The output.
        manifest: Columns clip_id and uri.
        done: From `find_done`, of the rows of the manifest.
        config: Configuration of the run.
    """
    is_named = done.is_changed & (done.is_ok if config.retry_failed else True)
    rows = manifest.select(["clip_id", "uri"]).filter(pa.array(is_named))
    uris = sorted(pc.unique(rows["uri"]).to_pylist())
    if not uris or not config.retry_changed:
        return ChangedFiles(uris)
    parts, clip_ids, dropped = _parts_with(dataset, rows["clip_id"])
    num_unchanged = len(clip_ids) - rows.num_rows
    return ChangedFiles(uris, parts, clip_ids, num_unchanged, dropped)


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
    dataset.remove_indexes()
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
    if parts:
        dataset.remove_indexes()
    for part in parts:
        storage.delete_file(dataset.file("ledger", part))
    if parts:
        dataset.remove_uncommitted()
