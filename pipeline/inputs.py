"""Turns the INPUTs of a command into one checked manifest table.

The table has `clip_id` and `uri` first, both strings and the uri absolute, then every
other column of the user's manifests with its type. Everything that can be wrong with it
is found here, before anything starts.
"""

import dataclasses
import datetime
import glob
import hashlib
import os
import pathlib

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import fsd50k
from pipeline.errors import ConfigError
from pipeline.manifest_files import (
    MANIFEST_SUFFIXES,
    describe_row,
    read_manifest_file,
)

AUDIO_SUFFIXES = frozenset(
    ".3gp .aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .flac .m4a .mka .mp2 .mp3 .mp4 "
    ".mpga .oga .ogg .opus .snd .spx .tta .w64 .wav .wave .webm .wma .wv".split()
)
_NUM_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class _Part:
    """The rows of one INPUT.

    Attributes:
        source: The INPUT, for messages.
        table: With `uri` (absolute) and perhaps `clip_id`.
        is_manifest: The rows are those of the file `source`.
    """

    source: str
    table: pa.Table
    is_manifest: bool = False

    def place(self, row: int) -> str:
        if not self.is_manifest:
            return f"{self.source}: {self.table['uri'][row]}"
        return f"{self.source}, {describe_row(pathlib.Path(self.source), row)}"


def read_inputs(inputs: list[str], with_stat: bool = False) -> pa.Table:
    """Reads and checks all INPUTs.

    Args:
        inputs: Manifest files, audio files, folders, globs and FSD50K roots.
        with_stat: Add `size_bytes` and `modified` for files that no manifest lists.

    Returns:
        clip_id: string, uri: string, and the columns of the manifests.

    Raises:
        ConfigError: for an INPUT without rows, a manifest that cannot be read, empty or
            repeated clip_ids, and manifests whose columns do not fit together.
    """
    parts = [part for source in inputs for part in _read_input(source, with_stat)]
    parts = [dataclasses.replace(p, table=_with_clip_ids(p)) for p in parts]
    try:
        table = pa.concat_tables([p.table for p in parts], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ConfigError(
            f"the manifests do not fit together: {error}; "
            "give a column the same type in each"
        ) from error
    _check_unique(table, parts)
    others = [name for name in table.column_names if name not in ("clip_id", "uri")]
    return table.select(["clip_id", "uri", *others]).combine_chunks()


def _read_input(source: str, with_stat: bool) -> list[_Part]:
    path = pathlib.Path(os.path.abspath(source))
    if source and path.is_dir():
        if fsd50k.is_root(path):
            return [_Part(source, fsd50k.read_manifest(path))]
        return [_Part(source, _file_rows(_audio_files(path), with_stat))]
    if path.is_file():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            return [_Part(source, read_manifest_file(path), is_manifest=True)]
        return [_Part(source, _file_rows([str(path)], with_stat))]
    if glob.has_magic(source):
        return _read_glob(source, with_stat)
    raise ConfigError(
        f"no such input {source!r}: expected a manifest "
        f"({', '.join(sorted(MANIFEST_SUFFIXES))}), an audio file, a folder, a glob or "
        "an FSD50K root"
    )


def _read_glob(pattern: str, with_stat: bool) -> list[_Part]:
    """Manifests and folders among the matches are read as if named one by one."""
    parts, files = [], []
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = pathlib.Path(match)
        if path.suffix.lower() in MANIFEST_SUFFIXES or (
            path.is_dir() and "**" not in pattern
        ):
            parts += _read_input(match, with_stat)
        elif path.is_file():
            files.append(os.path.abspath(match))
    if files:
        parts.append(_Part(pattern, _file_rows(files, with_stat)))
    if not parts:
        raise ConfigError(f"the pattern {pattern!r} matches no file; check it")
    return parts


def _audio_files(folder: pathlib.Path) -> list[str]:
    """Absolute, sorted paths of the audio files below a folder, but hidden ones.

    Links to folders are followed, each folder once.
    """

    def refuse(error: OSError) -> None:
        raise ConfigError(
            f"cannot search {error.filename}: {error.strerror}"
        ) from error

    found, others, seen = [], set(), set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and os.path.realpath(os.path.join(parent, name)) not in seen
        )
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in AUDIO_SUFFIXES and not name.startswith("."):
                found.append(os.path.join(parent, name))
            else:
                others.add(suffix or name)
    if not found:
        shown = ", ".join(sorted(others)[:_NUM_SHOWN]) or "nothing"
        raise ConfigError(
            f"no audio files in folder {str(folder)!r}: found {shown}, expected "
            f"{' '.join(sorted(AUDIO_SUFFIXES))}; for others use a glob or manifest"
        )
    return sorted(found)


def _file_rows(paths: list[str], with_stat: bool) -> pa.Table:
    # A name that is not UTF-8 cannot be a Parquet string. Escaped, it stays in the
    # manifest and fails in the ledger as not found.
    names = [
        path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for path in paths
    ]
    columns: dict[str, pa.Array] = {"uri": pa.array(names, pa.string())}
    if with_stat:
        stats = [_stat(path) for path in paths]
        sizes = [s and s.st_size for s in stats]
        modified = [
            s and datetime.datetime.fromtimestamp(int(s.st_mtime), datetime.UTC)
            for s in stats
        ]
        columns["size_bytes"] = pa.array(sizes, pa.int64())
        columns["modified"] = pa.array(modified, pa.timestamp("ms", tz="UTC"))
    return pa.table(columns)


def _stat(path: str) -> os.stat_result | None:
    """None for a link to nothing: its row fails in the ledger."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _with_clip_ids(part: _Part) -> pa.Table:
    """Adds the default clip_id: the file's stem and a hash of the whole uri."""
    table = part.table
    _check_filled(part, "uri")
    if "clip_id" in table.column_names:
        _check_filled(part, "clip_id")
        return table
    ids = (_default_clip_id(uri) for uri in table["uri"].to_pylist())
    return table.append_column("clip_id", pa.array(ids, pa.string()))


def _default_clip_id(uri: str) -> str:
    stem = uri.rpartition("/")[2].rpartition(".")
    digest = hashlib.blake2b(uri.encode("utf-8"), digest_size=6).hexdigest()
    return f"{stem[0] or stem[2]}-{digest}"


def _check_filled(part: _Part, column: str) -> None:
    values = part.table[column]
    is_empty = pc.or_kleene(pc.is_null(values), pc.equal(values, ""))
    empty = pc.indices_nonzero(pc.fill_null(is_empty, True))
    if len(empty):
        raise ConfigError(
            f"{part.place(empty[0].as_py())}: the {column} is empty "
            f"({len(empty)} such rows); fill it in or remove the row"
        )


def _check_unique(table: pa.Table, parts: list[_Part]) -> None:
    ids = table["clip_id"]
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids.combine_chunks())
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    shown = repeated[:_NUM_SHOWN]
    rows = pc.indices_nonzero(pc.is_in(ids, value_set=shown)).to_pylist()
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(ids[row].as_py(), []).append(_place(parts, row))
    lines = [f"  {key!r}: {' and '.join(where[:3])}" for key, where in places.items()]
    raise ConfigError(
        f"{len(repeated)} clip_ids are not unique, the first ones:\n"
        + "\n".join(lines)
        + "\nname every clip once, or give the rows different clip_ids"
    )


def _place(parts: list[_Part], row: int) -> str:
    for part in parts:
        if row < part.table.num_rows:
            return part.place(row)
        row -= part.table.num_rows
    raise IndexError(row)
