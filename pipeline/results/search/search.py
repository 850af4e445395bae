"""Finds the clips of a dataset that are nearest to a clip or to an audio file."""

import contextlib
import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.dataset.index_files import IndexRecord
from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import ConfigError
from pipeline.results.search.indexed import nearest_by_index
from pipeline.results.search.nearest import Nearest, Neighbour, nearest_in_parts
from transforms import storage

if TYPE_CHECKING:
    import duckdb

OUTPUT_SUFFIXES = (".csv", ".json", ".parquet")


@dataclasses.dataclass(frozen=True)
class Found:
    """A clip that was found.

    Attributes:
        clip_id: As in the ledger.
        similarity: Cosine to the query, -1 to 1.
        start_s: Start of the nearest patch; None if whole clips were compared.
        top_label: Label with the highest mean activation; None without activations.
        uri: Uri of the audio, without signatures.
    """

    clip_id: str
    similarity: float
    start_s: float | None
    top_label: str | None
    uri: str


def search(
    snapshot: Snapshot,
    query: np.ndarray,
    top: int,
    own_id: str | None = None,
    by_patch: bool = False,
    where: str | None = None,
    index: IndexRecord | None = None,
) -> list[Found]:
    """Returns the nearest clips by cosine similarity, the nearest first.

    Args:
        snapshot: Dataset to search.
        query: Embedding [embedding_size].
        top: Number of clips.
        own_id: clip_id of the query, which is left out; None if it is not a clip.
        by_patch: Compare the patches of each clip instead of its mean embedding; the
            nearest patch counts.
        where: SQL condition on columns of the ledger; None for all clips.
        index: Index that names candidates (see `usable_index`), without `by_patch` and
            `where`; None to compare every clip.

    Raises:
        ConfigError: if the query has no direction or another size, or the condition is
            not valid or no clip meets it.
        DatasetError: if the dataset has no embeddings or is damaged.
    """
    if top < 1:
        raise ConfigError(f"top is {top}, expected 1 or more")
    table, column = (
        ("patches", "embedding") if by_patch else ("clips", "embedding_mean")
    )
    size = snapshot.schema(table, column).field(column).type.list_size
    if query.shape != (size,):
        raise ConfigError(
            f"the query's embedding has {query.size} values, expected {size}"
        )
    if not np.isfinite(query).all() or not query.any():
        raise ConfigError(
            "the query's embedding is all zeros or not finite, so it has no direction "
            "to compare; give another clip"
        )
    allowed = None if where is None else _ids_where(snapshot, where)

    def is_allowed(clip_id: str) -> bool:
        return clip_id != own_id and (allowed is None or clip_id in allowed)

    nearest = Nearest(query, top, is_allowed)
    if index is not None:
        found = nearest_by_index(snapshot, index, query, top, nearest)
    else:
        found = nearest_in_parts(snapshot, table, column, nearest)
    return _describe(snapshot, found)


def clip_embedding(snapshot: Snapshot, clip: str) -> tuple[str, np.ndarray]:
    """Returns the clip_id and the mean embedding [embedding_size] of a clip.

    Args:
        snapshot: Dataset of the clip.
        clip: A clip_id, or a uri or file name that only one clip has.

    Raises:
        ConfigError: if there is no such clip, or it has no embedding.
        DatasetError: if the dataset has no embeddings or is damaged.
    """
    snapshot.schema("clips", "embedding_mean")
    # Most queries are a clip_id. Looking for it in `clips` is faster than reading the
    # whole ledger.
    clip_id, part = clip, snapshot.part_of(clip)
    if part is None:
        clip_id = snapshot.find_clip(clip)
        part = snapshot.part_of(clip_id)
    if part is None:
        raise snapshot.mismatch(clip_id, "has no results")
    columns = ["clip_id", "embedding_mean"]
    table = snapshot.read_clips("clips", part, [clip_id], columns)
    if table.num_rows != 1:
        raise snapshot.mismatch(clip_id, f"has {table.num_rows} results")
    return clip_id, vectors_of(table["embedding_mean"].combine_chunks())[0]


def table_lines(found: list[Found]) -> list[str]:
    """Returns the lines for the console: column names, then one line for each clip."""
    if not found:
        return ["no other clip with an embedding was found"]
    heads = ("similarity", "clip", "start", "top label", "audio")
    rows = [
        (
            f"{row.similarity:.4f}",
            row.clip_id,
            "" if row.start_s is None else f"{row.start_s:.2f} s",
            row.top_label or "",
            row.uri,
        )
        for row in found
    ]
    used = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    cells = [[row[i] for i in used] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def check_output(path: str) -> None:
    """Raises ConfigError unless the extension is one of OUTPUT_SUFFIXES."""
    if storage.suffix(path).lower() not in OUTPUT_SUFFIXES:
        raise ConfigError(
            f"cannot write {path}: expected an extension among "
            f"{', '.join(OUTPUT_SUFFIXES)}"
        )


def write_found(found: list[Found], path: str) -> None:
    """Writes CSV, JSON (a list of objects) or Parquet, by extension.

    Raises:
        ConfigError: if the file cannot be written.
    """
    rows = [dataclasses.asdict(row) for row in found]
    schema = pa.schema(
        {
            "clip_id": pa.string(),
            "similarity": pa.float64(),
            "start_s": pa.float64(),
            "top_label": pa.string(),
            "uri": pa.string(),
        }
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    suffix = storage.suffix(path).lower()
    try:
        with storage.publish(path) as file:
            if suffix == ".parquet":
                pq.write_table(table, file)
            elif suffix == ".csv":
                pa.csv.write_csv(table, file)
            else:
                text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
                file.write(text.encode("utf-8"))
    except storage.StorageError as error:
        raise ConfigError(f"cannot write {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot write {storage.shown(path)}: {error}") from error


def _ids_where(snapshot: Snapshot, where: str) -> set[str]:
    """Returns the clip_ids of the ledger rows that meet an SQL condition."""
    import duckdb

    with duckdb.connect() as connection:
        rows = None
        files = [snapshot.file("ledger", part) for part in snapshot.parts]
        if storage.is_local(files[0]):
            # A compaction may have replaced files.
            with contextlib.suppress(duckdb.IOException):
                # DuckDB reads only the columns that it needs.
                rows = _rows_where(connection.read_parquet(files), where)
        if rows is None:
            rows = _rows_where(connection.from_arrow(_ledger_reader(snapshot)), where)
    if not rows:
        raise ConfigError(
            f"no clip of {snapshot.dataset.shown} meets --where {where!r}"
        )
    return {clip_id for (clip_id,) in rows}


def _rows_where(ledger: "duckdb.DuckDBPyRelation", where: str) -> list[tuple[str]]:
    import duckdb

    try:
        return ledger.filter(f"(\n{where}\n)").project("clip_id").fetchall()
    except duckdb.IOException:
        raise
    except duckdb.Error as error:
        raise ConfigError(
            f"cannot use --where {where!r}: {str(error).splitlines()[0]}; expected "
            f"an SQL condition on {', '.join(ledger.columns)}"
        ) from error


def _ledger_reader(snapshot: Snapshot) -> pa.RecordBatchReader:
    """Reads the ledger in a stream: Arrow would keep the metadata of all files."""
    batches = snapshot.batches("ledger")
    first = next(batches)
    schema = first.schema.remove_metadata()
    same = (
        pa.record_batch(batch.columns, schema=schema)
        for batch in itertools.chain([first], batches)
    )
    return pa.RecordBatchReader.from_batches(schema, same)


def _describe(snapshot: Snapshot, nearest: list[Neighbour]) -> list[Found]:
    """Adds the uri and the top label to each clip."""
    return [
        Found(
            row.clip_id,
            row.similarity,
            row.start_s,
            _top_label(snapshot, row),
            storage.unsigned(_cell(snapshot, "ledger", "uri", row)),
        )
        for row in nearest
    ]


def _top_label(snapshot: Snapshot, row: Neighbour) -> str | None:
    if not snapshot.has_column("clips", "top_labels"):
        return None
    best = _cell(snapshot, "clips", "top_labels", row)
    return best[0]["label"] if best else None


def _cell(snapshot: Snapshot, table: str, column: str, row: Neighbour) -> Any:
    """Returns one cell of a clip's row.

    Raises:
        DatasetError: if the part has not exactly one row of the clip.
    """
    columns = ["clip_id", column]
    rows = snapshot.read_clips(table, row.part, [row.clip_id], columns)
    if rows.num_rows != 1:
        raise snapshot.mismatch(row.clip_id, f"has {rows.num_rows} rows in {table}")
    return rows[column][0].as_py()
