"""Reads and writes manifest files: CSV, TSV, JSON Lines and Parquet, by extension."""

import codecs
import csv
import io
import itertools
import json
import re
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from transforms import storage
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.storage import StorageError

# The last two are the names of NeMo and of Raven.
URI_COLUMNS = ("uri", "path", "filename", "filepath", "audio_filepath", "Begin Path")
MANIFEST_SUFFIXES = frozenset([".csv", ".tsv", ".jsonl", ".parquet"])
# Identifiers are read as text even if they look like numbers: 00123 is not 123. Arrow
# would change times with offsets to UTC.
_TEXT_COLUMNS = (*URI_COLUMNS, "clip_id", "fname", RECORDED_AT_COLUMN)
# Arrow infers column types from the first block only, so the file is one block.
_MAX_BLOCK_BYTES = 2**31 - 1
_MAX_FIRST_LINE_BYTES = 1 << 20
_NOT_UTF8 = (
    "; save it as UTF-8, and give names of files that are not UTF-8 as uris, such as "
    "file:///in/caf%E9.wav"
)
# Uris that `storage.resolve` returns as they are, as a regular expression.
_ABSOLUTE_URI = f"^(?:{storage.URI_SCHEME}|(?i:file):/(?:[^/]|$))"
# First bytes of a text -> its encoding. The mark of UTF-32 begins like that of UTF-16.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_manifest_file(uri: str) -> pa.Table:
    """Reads one manifest, given by an absolute path or a uri.

    Returns:
        The table. Its column of uris is named `uri`, and its uris are absolute.

    Raises:
        ConfigError: if the file cannot be read, has no rows or no column of uris.
    """
    shown = storage.shown(uri)
    try:
        table = _read_table(uri)
        for column in table.columns:
            # Arrow reads text from JSON Lines and Parquet unchecked.
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                column.validate(full=True)
    except StorageError as error:
        raise ConfigError(f"cannot read manifest {error}") from error
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        hint = _NOT_UTF8 if re.search("invalid utf8", str(error), re.I) else ""
        raise ConfigError(f"cannot read manifest {shown}: {error}{hint}") from error
    names = table.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"manifest {shown}, line 1: columns {repeated} appear twice")
    if not table.num_rows:
        raise ConfigError(f"manifest {shown} has no rows; list at least one clip")
    return _with_uri(uri, _storable(uri, table))


def read_text_columns(uri: str, names: list[str]) -> pa.Table:
    """Reads columns of a CSV or TSV manifest as the text that is written there."""
    text = dict.fromkeys(names, pa.string())
    options = pa.csv.ConvertOptions(column_types=text, include_columns=names)
    return _read_delimited(uri, _as_utf8(uri, storage.open_arrow(uri)), options)


def describe_row(uri: str, row: int) -> str:
    """Says where a row is in its manifest: `line 7`, or `row 7` in Parquet."""
    suffix = _suffix(uri)
    if suffix == ".parquet":
        return f"row {row + 1}"
    with (
        storage.open_file(uri) as content,
        io.TextIOWrapper(
            content, encoding=_encoding(content), errors="replace", newline=""
        ) as file,
    ):
        if suffix == ".jsonl":
            numbers = (n for n, line in enumerate(file, 1) if line.strip())
            return f"line {next(itertools.islice(numbers, row, None))}"
        reader = csv.reader(file, delimiter="\t" if suffix == ".tsv" else ",")
        # The header is a record, too; blank lines are not.
        records = (reader.line_num for record in reader if record)
        return f"line {next(itertools.islice(records, row + 1, None))}"


def write_manifest_file(table: pa.Table, output: str) -> None:
    """Writes a manifest. Uris below the manifest's folder become relative to it.

    Raises:
        ConfigError: if the extension is unknown or the file cannot be written.
    """
    suffix, shown = _suffix(output), storage.shown(output)
    if suffix not in MANIFEST_SUFFIXES:
        raise ConfigError(
            f"cannot write manifest {shown}: expected an extension among "
            f"{', '.join(sorted(MANIFEST_SUFFIXES))}"
        )
    try:
        uri = storage.absolute(output)
        prefix = storage.folder_of(uri).rstrip("/") + "/"
        uris = table["uri"]
        below = pc.starts_with(uris, prefix)
        uris = pc.if_else(below, pc.utf8_slice_codeunits(uris, len(prefix)), uris)
        table = table.set_column(table.schema.get_field_index("uri"), "uri", uris)
        with storage.publish(uri) as file:
            _write_table(table, file, suffix)
    except StorageError as error:
        raise ConfigError(f"cannot write manifest {error}") from error
    except pa.ArrowException as error:
        raise ConfigError(
            f"cannot write manifest {shown}: {error}; write .parquet, which can hold "
            "every type"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write manifest {shown}: {error}") from error


def _suffix(uri: str) -> str:
    return storage.suffix(uri).lower()


def _read_table(uri: str) -> pa.Table:
    suffix = _suffix(uri)
    file = storage.open_arrow(uri)
    if suffix == ".parquet":
        # Not read_table: it would add a column for a folder named key=value.
        return pq.ParquetFile(file).read()
    file = _as_utf8(uri, file)
    if suffix == ".jsonl":
        schema = _text_in_jsonl(file)
        return pa.json.read_json(
            file,
            read_options=pa.json.ReadOptions(block_size=_block_bytes(file)),
            parse_options=pa.json.ParseOptions(explicit_schema=schema),
        )
    text = {name: pa.string() for name in _TEXT_COLUMNS}
    return _read_delimited(uri, file, pa.csv.ConvertOptions(column_types=text))


def _read_delimited(
    uri: str, file: pa.NativeFile, options: pa.csv.ConvertOptions
) -> pa.Table:
    return pa.csv.read_csv(
        file,
        read_options=pa.csv.ReadOptions(
            block_size=_block_bytes(file), use_threads=False
        ),
        parse_options=pa.csv.ParseOptions(
            delimiter="\t" if _suffix(uri) == ".tsv" else ",", newlines_in_values=True
        ),
        convert_options=options,
    )


def _block_bytes(file: pa.NativeFile) -> int:
    return min(max(file.size() + 1, 2**16), _MAX_BLOCK_BYTES)


def _encoding(file: BinaryIO | pa.NativeFile) -> str:
    """The encoding of a text by its byte order mark; UTF-8 if it has none.

    Args:
        file: Seekable file, positioned at its start.
    """
    start = file.read(4)
    file.seek(0)
    found = (name for mark, name in _ENCODINGS.items() if start.startswith(mark))
    # The first character of a manifest is a letter, a quote or a brace.
    return next(found, "unknown" if b"\0" in start else "utf-8-sig")


def _as_utf8(uri: str, file: pa.NativeFile) -> pa.NativeFile:
    """Returns the text of a manifest in UTF-8. Excel saves "Unicode text" as UTF-16."""
    encoding = _encoding(file)
    if encoding == "utf-8-sig":
        return file
    problem = "looks like UTF-16 or UTF-32 without a byte order mark"
    if encoding != "unknown":
        try:
            return storage.arrow_file(file.read().decode(encoding).encode("utf-8"))
        except UnicodeDecodeError as error:
            problem = f"is damaged {encoding.upper()} text ({error.reason})"
    raise ConfigError(f"manifest {storage.shown(uri)} {problem}; save it as UTF-8")


def _storable(uri: str, table: pa.Table) -> pa.Table:
    """Converts columns to types that Parquet returns unchanged.

    A run that is continued compares the manifest with the ledger. Parquet has no times
    in whole seconds. A column without values becomes a text column, because text may be
    added later; its empty cells are then read as empty text from CSV, and as null from
    JSON Lines.
    """
    for index, field in enumerate(table.schema):
        column, kind = table[field.name], _storable_type(field.type)
        if field.type == pa.null() and _suffix(uri) in (".csv", ".tsv"):
            column = pa.array([""] * table.num_rows, pa.string())
        if pa.types.is_binary(field.type) and _suffix(uri) in (".csv", ".tsv"):
            raise ConfigError(
                f"manifest {storage.shown(uri)}: column {field.name} is not UTF-8; "
                "save it as UTF-8"
            )
        table = table.set_column(index, field.name, column.cast(kind))
    return table


def _storable_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _storable_type(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_nested(kind):
        return _without_float16(kind)
    replaced = {
        pa.float16(): pa.float32(),
        pa.null(): pa.string(),
        pa.time32("s"): pa.time32("ms"),
        pa.string_view(): pa.string(),
        pa.binary_view(): pa.binary(),
    }
    return replaced.get(kind, kind)


def _without_float16(kind: pa.DataType) -> pa.DataType:
    """Returns the type with float32 for float16, also in lists and structs."""
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_without_float16(f.type)) for f in kind])
    makers = {
        pa.types.is_list: pa.list_,
        pa.types.is_large_list: pa.large_list,
        pa.types.is_fixed_size_list: lambda item: pa.list_(item, kind.list_size),
    }
    for is_kind, maker in makers.items():
        if is_kind(kind):
            item = kind.value_field
            return maker(item.with_type(_without_float16(item.type)))
    return pa.float32() if pa.types.is_float16(kind) else kind


def _text_in_jsonl(file: pa.NativeFile) -> pa.Schema:
    """Returns a schema of the text columns whose first value is text.

    The first value of `recorded_at` may be null.

    Without this schema, Arrow would turn text that looks like a date into a date. Every
    column of the schema must be in the file.
    """
    line = file.read(_MAX_FIRST_LINE_BYTES).partition(b"\n")[0]
    file.seek(0)
    try:
        first = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        first = {}
    names = first if isinstance(first, dict) else {}
    texts = {n for n in _TEXT_COLUMNS if isinstance(names.get(n), str)}
    if RECORDED_AT_COLUMN in names and names[RECORDED_AT_COLUMN] is None:
        texts.add(RECORDED_AT_COLUMN)
    return pa.schema([(name, pa.string()) for name in _TEXT_COLUMNS if name in texts])


def _with_uri(uri: str, table: pa.Table) -> pa.Table:
    found = [name for name in URI_COLUMNS if name in table.column_names]
    if not found:
        names = ", ".join(table.column_names)
        hint = "; separate columns by commas (.csv) or tabs (.tsv)"
        raise ConfigError(
            f"manifest {storage.shown(uri)}, line 1: no column of uris: found "
            f"{names}; name the column uri (or {', '.join(URI_COLUMNS[1:])})"
            + (
                hint
                if len(table.column_names) == 1 and re.search("[;\t|]", names)
                else ""
            )
        )
    index = table.schema.get_field_index(found[0])
    folder = storage.folder_of(uri)
    names = _as_text(uri, table, found[0])
    uris = [resolved(folder, chunk) for chunk in names.chunks]
    table = table.set_column(index, "uri", pa.chunked_array(uris, pa.string()))
    if "clip_id" in table.column_names:
        ids = _as_text(uri, table, "clip_id")
        index = table.schema.get_field_index("clip_id")
        table = table.set_column(index, "clip_id", ids)
    return table


def resolved(folder: str, names: pa.Array) -> pa.Array:
    """Uris of rows of a manifest, as `storage.resolve` gives them.

    Args:
        folder: Folder of the manifest.
        names: Strings; null and empty ones are returned as they are.
    """
    is_utf8 = storage.in_utf8(folder) == folder
    if is_utf8 and _are_plain(folder, names):
        # Most manifests name paths or objects, and there may be millions.
        is_as_given = pc.or_(pc.starts_with(names, "/"), pc.equal(names, ""))
        if pc.any(pc.match_substring(names, ":/")).as_py():
            is_uri = pc.match_substring_regex(names, _ABSOLUTE_URI)
            is_as_given = pc.or_(is_as_given, is_uri)
        below = pc.binary_join_element_wise(storage.join(folder, ""), names, "")
        return pc.if_else(is_as_given, names, below)
    uris = [name and storage.resolve(folder, name) for name in names.to_pylist()]
    if not is_utf8:
        uris = [name and storage.in_utf8(name) for name in uris]
    return pa.array(uris, pa.string())


def _are_plain(folder: str, names: pa.Array) -> bool:
    """Whether names that are no uris follow the folder as they are."""
    if storage.is_local(folder):
        return True
    may_lead_up = pc.or_(pc.starts_with(names, "."), pc.match_substring(names, "/."))
    is_bucket = folder.startswith(("s3://", "gs://"))
    return is_bucket and not pc.any(may_lead_up).as_py()


def _as_text(uri: str, table: pa.Table, column: str) -> pa.ChunkedArray:
    try:
        return table[column].cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ConfigError(
            f"manifest {storage.shown(uri)}: column {column} is "
            f"{table[column].type}, expected text"
        ) from error


def _write_table(table: pa.Table, file: BinaryIO, suffix: str) -> None:
    if suffix == ".parquet":
        pq.write_table(table, file)
    elif suffix == ".jsonl":
        for batch in table.to_batches():
            for row in batch.to_pylist():
                line = json.dumps(row, ensure_ascii=False, default=str) + "\n"
                file.write(line.encode("utf-8"))
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        pa.csv.write_csv(table, file, pa.csv.WriteOptions(delimiter=delimiter))
