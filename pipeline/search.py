"""Finds the clips of a dataset that are nearest to a clip or to an audio file."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.nearest import Nearest, Neighbour, nearest_in_files
from pipeline.snapshot import Snapshot
from pipeline.vectors import vectors_of
from transforms.storage import publish

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
    rows = _ledger_rows(snapshot, clip)
    if len(rows) != 1 or rows[0]["status"] != "ok" or not rows[0]["num_patches"]:
        # Draws nothing, but takes its time to load.
        from pipeline.plots import find_clip

        rows = _ledger_rows(snapshot, find_clip(snapshot.dataset, clip))
    clip_id, part = rows[0]["clip_id"], pathlib.Path(rows[0]["__filename"]).name
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


def check_output(path: pathlib.Path) -> None:
    """Raises ConfigError unless the extension is one of OUTPUT_SUFFIXES."""
    if path.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ConfigError(
            f"cannot write {path}: expected an extension among "
            f"{', '.join(OUTPUT_SUFFIXES)}"
        )


def write_found(found: list[Found], path: pathlib.Path) -> None:
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
    try:
        with publish(str(path)) as file:
            if path.suffix.lower() == ".parquet":
                pq.write_table(table, file)
            elif path.suffix.lower() == ".csv":
                pa.csv.write_csv(table, file)
            else:
                text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
                file.write(text.encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error}") from error


def _ledger_rows(snapshot: Snapshot, clip_id: str) -> list[dict[str, Any]]:
    """Ledger rows of a clip_id, with the file in which each is."""
    rows: list[dict[str, Any]] = (
        snapshot.ledger_dataset()
        .to_table(
            columns=["clip_id", "status", "num_patches", "__filename"],
            filter=pc.field("clip_id") == clip_id,
        )
        .to_pylist()
    )
    return rows


def _ids_where(snapshot: Snapshot, where: str) -> set[str]:
    """clip_id of the ledger rows that fit an SQL condition."""
    import duckdb

    ledger = snapshot.ledger_dataset()
    # The condition can read the ledger, and no files.
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("ledger", ledger)
        try:
            rows = connection.execute(
                f"SELECT clip_id FROM ledger WHERE (\n{where}\n)"
            ).fetchall()
        except duckdb.Error as error:
            raise ConfigError(
                f"cannot use --where {where!r}: {str(error).splitlines()[0]}; expected "
                f"a condition on {', '.join(ledger.schema.names)}"
            ) from error
    if not rows:
        raise ConfigError(f"no clip of {snapshot.dataset.root} fits --where {where!r}")
    return {clip_id for (clip_id,) in rows}


def _describe(snapshot: Snapshot, nearest: list[Neighbour]) -> list[Found]:
    """Adds what ledger and clips say of each."""
    return [
        Found(
            row.clip_id,
            row.similarity,
            row.start_s,
            _top_label(snapshot, row),
            _cell(snapshot, "ledger", "uri", row),
        )
        for row in nearest
    ]


def _top_label(snapshot: Snapshot, row: Neighbour) -> str | None:
    path = snapshot.file("clips", row.part)
    if "top_labels" not in pq.read_schema(path).names:
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


def _read(path: pathlib.Path, columns: list[str]) -> pa.Table:
    # Not read_table: it would make a column of the folder model=NAME.
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)
