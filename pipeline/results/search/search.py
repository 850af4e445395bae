"""Finds the clips of a dataset that are nearest to a clip or to an audio file."""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.dataset.snapshot import Snapshot
from pipeline.dataset.vectors import vectors_of
from pipeline.errors import ConfigError
from pipeline.results.search.nearest import Nearest, Neighbour, nearest_in_files
from transforms import storage

OUTPUT_SUFFIXES = (".csv", ".json", ".parquet")


@dataclasses.dataclass(frozen=True)
class Found:
    """A clip that was found.

    Attributes:
        clip_id: As in the ledger.
        similarity: Cosine to the query, -1 to 1.
        start_s: Where the best patch starts; None if whole clips were compared.
        top_label: Of the highest mean activation; None without activations.
        uri: Of the audio.
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
) -> list[Found]:
    """The nearest clips by cosine similarity, the nearest first.

    Args:
        snapshot: What is searched.
        query: Embedding [embedding_size].
        top: How many clips.
        own_id: A clip not to find: the query itself.
        by_patch: Compare patches, each clip by its best, not mean embeddings.
        where: An SQL condition on columns of the ledger; all clips if None.

    Raises:
        ConfigError: if the dataset has no embeddings, the query has no direction or
            another size, or the condition is wrong or fits no clip.
    """
    if top < 1:
        raise ConfigError(f"top is {top}, expected 1 or more")
    table, column = (
        ("patches", "embedding") if by_patch else ("clips", "embedding_mean")
    )
    size = snapshot.schema(table, column).field(column).type.list_size
    if query.shape != (size,):
        raise ConfigError(f"the query has {query.size} values, the dataset {size}")
    if not np.isfinite(query).all() or not query.any():
        raise ConfigError(
            "the query's embedding is all zeros or not finite, so that nothing is near "
            "it; give another clip"
        )
    allowed = None if where is None else _ids_where(snapshot, where)

    def is_allowed(clip_id: str) -> bool:
        return clip_id != own_id and (allowed is None or clip_id in allowed)

    files = snapshot.files(table)
    return _describe(
        snapshot, nearest_in_files(files, column, Nearest(query, top, is_allowed))
    )


def clip_embedding(snapshot: Snapshot, clip: str) -> tuple[str, np.ndarray]:
    """The clip_id and the mean embedding [embedding_size] of a clip.

    Args:
        snapshot: Where it is.
        clip: A clip_id, or a uri or file name that only one clip has.

    Raises:
        ConfigError: if there is no such clip, or it has no embedding.
    """
    snapshot.schema("clips", "embedding_mean")
    clip_id, part = clip, _part_of(snapshot, clip)
    if part is None:
        # Draws nothing, but takes its time to load.
        from pipeline.results.plots import find_clip

        clip_id = find_clip(snapshot.dataset, clip)
        part = _part_of(snapshot, clip_id)
    if part is None:
        raise snapshot.mismatch(clip_id, "has no results")
    table = _read(snapshot.file("clips", part), ["clip_id", "embedding_mean"])
    table = table.filter(pc.equal(table["clip_id"], clip_id))
    if table.num_rows != 1:
        raise snapshot.mismatch(clip_id, f"has {table.num_rows} results")
    return clip_id, vectors_of(table["embedding_mean"].combine_chunks())[0]


def table_lines(found: list[Found]) -> list[str]:
    """A line a clip, and one with the names of the columns."""
    if not found:
        return ["no other clip has an embedding"]
    heads = ("similarity", "clip", "at", "top label", "audio")
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
    except (storage.StorageError, OSError) as error:
        raise ConfigError(f"cannot write {storage.shown(path)}: {error}") from error


def _part_of(snapshot: Snapshot, clip_id: str) -> str | None:
    """Name of the part that has the results of a clip; None if there is none.

    Most files are passed over by the range of clip_id that their footer states.
    """

    def has_clip(uri: str) -> bool:
        with pq.ParquetFile(storage.open_arrow(uri), pre_buffer=False) as file:
            column = file.schema_arrow.names.index("clip_id")
            groups = range(file.metadata.num_row_groups)
            ranges = [
                file.metadata.row_group(g).column(column).statistics for g in groups
            ]
            if all(
                r is not None and r.has_min_max and not r.min <= clip_id <= r.max
                for r in ranges
            ):
                return False
            ids = file.read(columns=["clip_id"], use_threads=False)["clip_id"]
            return bool(pc.any(pc.equal(ids, clip_id)).as_py())

    files = snapshot.files("clips")
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for uri, is_there in zip(files, pool.map(has_clip, files), strict=True):
            if is_there:
                pool.shutdown(cancel_futures=True)
                return storage.file_name(uri)
    return None


def _ids_where(snapshot: Snapshot, where: str) -> set[str]:
    """clip_id of the ledger rows that fit an SQL condition."""
    import duckdb

    files = [snapshot.file("ledger", name) for name in snapshot.names]
    with duckdb.connect() as connection:
        if storage.is_local(files[0]):
            # By DuckDB itself: Arrow would keep the metadata of all files in memory.
            ledger = connection.read_parquet(files)
        else:
            ledger = connection.from_arrow(snapshot.ledger_dataset())
        try:
            rows = ledger.filter(f"(\n{where}\n)").project("clip_id").fetchall()
        except duckdb.Error as error:
            raise ConfigError(
                f"cannot use --where {where!r}: {str(error).splitlines()[0]}; expected "
                f"an SQL condition on {', '.join(ledger.columns)}"
            ) from error
    if not rows:
        raise ConfigError(f"no clip of {snapshot.dataset.shown} fits --where {where!r}")
    return {clip_id for (clip_id,) in rows}


def _describe(snapshot: Snapshot, nearest: list[Neighbour]) -> list[Found]:
    """Adds what ledger and clips say of each."""
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
    file = storage.open_arrow(snapshot.file("clips", row.part))
    if "top_labels" not in pq.read_schema(file).names:
        return None
    best = _cell(snapshot, "clips", "top_labels", row)
    return best[0]["label"] if best else None


def _cell(snapshot: Snapshot, table: str, column: str, row: Neighbour) -> Any:
    """One cell of the row of a clip in its part.

    Raises:
        ConfigError: if the part has not exactly one such row.
    """
    rows = _read(snapshot.file(table, row.part), ["clip_id", column])
    rows = rows.filter(pc.equal(rows["clip_id"], row.clip_id))
    if rows.num_rows != 1:
        raise snapshot.mismatch(row.clip_id, f"has {rows.num_rows} rows in {table}")
    return rows[column][0].as_py()


def _read(uri: str, columns: list[str]) -> pa.Table:
    # Not read_table: it would make a column of the folder model=NAME.
    with pq.ParquetFile(storage.open_arrow(uri), pre_buffer=False) as file:
        return file.read(columns=columns)
