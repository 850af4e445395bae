"""Reads and writes manifest files: CSV, TSV, JSON Lines and Parquet, by extension."""

import json
import os
import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from pipeline.errors import ConfigError

URI_COLUMNS = ("uri", "path", "filename", "filepath")
MANIFEST_SUFFIXES = frozenset([".csv", ".tsv", ".jsonl", ".parquet"])
# Identifiers are text even where they look like numbers: 00123 is not 123.
_TEXT_COLUMNS = (*URI_COLUMNS, "clip_id", "fname")
_ABSOLUTE = r"^(/|[A-Za-z][A-Za-z0-9+.-]+://)"
# Arrow infers column types from the first block only, so the file is one block.
_MAX_BLOCK_BYTES = 2**31 - 1


def read_manifest_file(path: pathlib.Path) -> tuple[pa.Table, int | None]:
    """Reads one manifest.

    Returns:
        The table, its uri column named `uri` and absolute, and the line of its first
        row (None for Parquet).

    Raises:
        ConfigError: if the file cannot be read, has no rows or no column of uris.
    """
    suffix = path.suffix.lower()
    try:
        table = _read_table(path, suffix)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ConfigError(f"cannot read manifest {path}: {error}") from error
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"manifest {path}, line 1: columns {repeated} appear twice")
    if not table.num_rows:
        raise ConfigError(f"manifest {path} has no rows; list at least one clip")
    first_line = {".jsonl": 1, ".parquet": None}.get(suffix, 2)
    return _with_uri(path, table.cast(_storable(table.schema))), first_line


def write_manifest_file(table: pa.Table, path: pathlib.Path) -> None:
    """Writes a manifest; uris below the manifest's folder become relative to it.

    Raises:
        ConfigError: if the extension is unknown or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES:
        raise ConfigError(
            f"cannot write manifest {path}: expected an extension among "
            f"{', '.join(sorted(MANIFEST_SUFFIXES))}"
        )
    prefix = str(path.parent.absolute()) + "/"
    uris = table["uri"]
    below = pc.starts_with(uris, prefix)
    uris = pc.if_else(below, pc.utf8_slice_codeunits(uris, len(prefix)), uris)
    table = table.set_column(table.schema.get_field_index("uri"), "uri", uris)
    try:
        _write_table(table, path, suffix)
    except OSError as error:
        raise ConfigError(f"cannot write manifest {path}: {error}") from error


def _read_table(path: pathlib.Path, suffix: str) -> pa.Table:
    if suffix == ".parquet":
        # Not read_table: it would make columns of folders named key=value.
        return pq.ParquetFile(path).read()
    block_bytes = min(max(os.path.getsize(path) + 1, 2**16), _MAX_BLOCK_BYTES)
    text = {name: pa.string() for name in _TEXT_COLUMNS}
    if suffix == ".jsonl":
        return pa.json.read_json(
            path,
            read_options=pa.json.ReadOptions(block_size=block_bytes),
            parse_options=pa.json.ParseOptions(
                explicit_schema=pa.schema(_present_in_jsonl(path, text))
            ),
        )
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=block_bytes, use_threads=False),
        parse_options=pa.csv.ParseOptions(
            delimiter="\t" if suffix == ".tsv" else ",", newlines_in_values=True
        ),
        convert_options=pa.csv.ConvertOptions(column_types=text),
    )


def _storable(schema: pa.Schema) -> pa.Schema:
    """Types that Parquet gives back unchanged, so that a run can be continued.

    Parquet has no seconds, and a column that is empty so far may get text later.
    """
    changed = {
        pa.null(): pa.string(),
        pa.time32("s"): pa.time32("ms"),
    }

    def storable(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind) and kind.unit == "s":
            return pa.timestamp("ms", kind.tz)
        return changed.get(kind, kind)

    return pa.schema([field.with_type(storable(field.type)) for field in schema])


def _present_in_jsonl(
    path: pathlib.Path, types: dict[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """The types whose column the first line has: a schema would add the others."""
    with open(path, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return {name: kind for name, kind in types.items() if f'"{name}"' in first}


def _with_uri(path: pathlib.Path, table: pa.Table) -> pa.Table:
    found = [name for name in URI_COLUMNS if name in table.column_names]
    if not found:
        raise ConfigError(
            f"manifest {path}, line 1: no column of uris: found "
            f"{', '.join(table.column_names)}; name it uri "
            f"(or {', '.join(URI_COLUMNS[1:])})"
        )
    index = table.schema.get_field_index(found[0])
    uris = _as_text(path, table, found[0])
    folder = str(path.parent.absolute())
    absolute = pc.match_substring_regex(uris, _ABSOLUTE)
    is_empty = pc.equal(uris, "")
    resolved = pc.binary_join_element_wise(folder, uris, "/")
    uris = pc.if_else(pc.or_(absolute, is_empty), uris, resolved)
    table = table.set_column(index, "uri", uris)
    if "clip_id" in table.column_names:
        ids = _as_text(path, table, "clip_id")
        index = table.schema.get_field_index("clip_id")
        table = table.set_column(index, "clip_id", ids)
    return table


def _as_text(path: pathlib.Path, table: pa.Table, column: str) -> pa.ChunkedArray:
    try:
        return table[column].cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(
            f"manifest {path}: column {column} is {table[column].type}, expected text"
        ) from error


def _write_table(table: pa.Table, path: pathlib.Path, suffix: str) -> None:
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".jsonl":
        with open(path, "w", encoding="utf-8") as file:
            for batch in table.to_batches():
                for row in batch.to_pylist():
                    line = json.dumps(row, ensure_ascii=False, default=str)
                    file.write(line + "\n")
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        pa.csv.write_csv(table, path, pa.csv.WriteOptions(delimiter=delimiter))
