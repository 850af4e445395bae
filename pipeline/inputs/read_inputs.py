"""Turns the INPUTs of a command into one checked manifest table.

The first columns of the table are `clip_id` and `uri`, both strings, the uri absolute.
Every other column of the user's manifests follows with its type. If a manifest names
parts of files, there are the columns `start_s` and `end_s` (see `excerpts`); if it says
when recordings started, the column `recorded_at` is text (see `recorded_at`). The
checks run before any worker starts.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.inputs import excerpts, fsd50k
from pipeline.inputs.clip_ids import default_clip_ids
from pipeline.inputs.file_states import listed_states
from pipeline.inputs.manifest_files import (
    MANIFEST_SUFFIXES,
    describe_row,
    read_manifest_file,
)
from pipeline.inputs.recorded_at import with_recorded_at
from transforms import storage
from transforms.storage import FileInfo, StorageError

AUDIO_SUFFIXES = frozenset(
    ".3ga .3gp .aac .ac3 .aif .aifc .aiff .amr .ape .au .avi .awb .bwf .caf .dsf "
    ".flac .gsm .m4a .m4b .mka .mkv .mov .mp2 .mp3 .mp4 .mpga .oga .ogg .opus .rf64 "
    ".snd .sph .spx .tta .w64 .wav .wave .webm .wma .wv".split()
)
_LIST_SUFFIXES = frozenset([".txt", ".lst", ".list"])
_NUM_SHOWN = 10
_NOTHING: collections.Counter[str] = collections.Counter()


@dataclasses.dataclass(frozen=True)
class _Part:
    """The rows of one INPUT.

    Attributes:
        source: The INPUT, as shown in messages.
        table: Rows with `uri` (absolute), `clip_id` if the manifest has that column,
            and the manifest's other columns.
        is_manifest: Whether `source` is a manifest file that holds these rows.
        files: FILE_STATES of the rows; None without a listing.
        left_out: See `Inputs.left_out`.
        times_from: Text that says which columns are the times of parts of files; empty
            if there are no such columns.
    """

    source: str
    table: pa.Table
    is_manifest: bool = False
    files: pa.Table | None = None
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    times_from: str = ""

    def place(self, row: int) -> str:
        """Says for a message where a row comes from."""
        shown = storage.shown(self.source)
        if not self.is_manifest:
            return f"{shown}: {storage.shown(self.table['uri'][row].as_py())}"
        return f"{shown}, {describe_row(self.source, row)}"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The clips that INPUTs name.

    Attributes:
        table: The manifest table: clip_id, uri, and the columns of the manifests.
        files: FILE_STATES of the rows, as far as listings of folders stated them.
        left_out: Number of files that were found in folders and are not among the
            clips, by suffix in lower case; hidden files are not counted.
        excerpts: Lines that say which columns of manifests are the times of parts of
            files.
    """

    table: pa.Table
    files: pa.Table
    left_out: Mapping[str, int]
    excerpts: tuple[str, ...] = ()

    def left_out_text(self) -> str:
        """Returns a sentence about the files that were left out; empty if none was."""
        number = sum(self.left_out.values())
        if not number:
            return ""
        files, them = ("files", "them") if number > 1 else ("file", "it")
        return (
            f"{number:,} {files} left out: {_suffixes_text(self.left_out)}; "
            f"name {them} in a manifest to include {them}"
        )


def read_inputs(inputs: list[str], with_stat: bool = False) -> pa.Table:
    """Returns the table of `read_sized_inputs`."""
    return read_sized_inputs(inputs, with_stat).table


def read_sized_inputs(inputs: list[str], with_stat: bool = False) -> Inputs:
    """Reads and checks all INPUTs.

    Args:
        inputs: Manifest files, audio files, folders, globs and FSD50K roots.
        with_stat: Add columns `size_bytes` and `modified` for files from folders and
            globs.

    Raises:
        ConfigError: for an INPUT without rows, a manifest that cannot be read, empty or
            repeated clip_ids, wrong times, and manifests whose columns do not fit
            together.
    """
    parts = [part for source in inputs for part in _read_input(source, with_stat)]
    parts = [dataclasses.replace(p, table=_with_clip_ids(p)) for p in parts]
    try:
        table = pa.concat_tables([p.table for p in parts], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ConfigError(
            f"the manifests do not fit together: {error}; "
            "give each column the same type in all manifests"
        ) from error
    _check_unique(table, parts)
    others = [name for name in table.column_names if name not in ("clip_id", "uri")]
    table = table.select(["clip_id", "uri", *others]).combine_chunks()
    files = [p.files or storage.unknown_states(p.table.num_rows) for p in parts]
    left_out = sum((collections.Counter(p.left_out) for p in parts), _NOTHING)
    lines = excerpts.said((part.source, part.times_from) for part in parts)
    return Inputs(table, pa.concat_tables(files), left_out, lines)


def _read_input(source: str, with_stat: bool) -> list[_Part]:
    try:
        return _read_uri(source, storage.absolute(source), with_stat)
    except (StorageError, ValueError) as error:
        raise ConfigError(f"cannot read input {error}") from error


def _read_uri(source: str, uri: str, with_stat: bool) -> list[_Part]:
    found = storage.look_up(uri) if source else None
    if found == "folder":
        if fsd50k.is_root(uri):
            return [_Part(source, fsd50k.read_manifest(uri))]
        files, left_out = _audio_files(uri)
        part = _file_rows(source, files, with_stat)
        return [dataclasses.replace(part, left_out=left_out)]
    if isinstance(found, FileInfo):
        if storage.suffix(uri).lower() in MANIFEST_SUFFIXES:
            table = with_recorded_at(uri, read_manifest_file(uri))
            table, text = excerpts.with_times(uri, table)
            return [_Part(source, table, is_manifest=True, times_from=text)]
        if storage.suffix(uri).lower() in _LIST_SUFFIXES:
            raise ConfigError(
                f"input {storage.shown(source)!r} is a text file, expected a manifest "
                "or audio; if it has one path a line, add `uri` as its first line and "
                "rename it to .csv (.tsv if paths contain commas)"
            )
        return [_file_rows(source, [found], with_stat)]
    if storage.has_magic(uri):
        return _read_glob(uri, with_stat)
    raise ConfigError(
        f"no such input {storage.shown(source)!r}: expected a manifest "
        f"({', '.join(sorted(MANIFEST_SUFFIXES))}), an audio file, a folder, a glob or "
        "an FSD50K root"
    )


def _read_glob(pattern: str, with_stat: bool) -> list[_Part]:
    """Reads the matches of a pattern; manifests and folders as if each was an INPUT."""
    found, folders = storage.glob_files(pattern)
    manifests = [
        info.uri
        for info in found
        if storage.suffix(info.uri).lower() in MANIFEST_SUFFIXES
    ]
    others = [] if "**" in pattern else folders
    parts = []
    for uri in sorted([*manifests, *others]):
        parts += _read_input(uri, with_stat)
    files = [info for info in found if info.uri not in {*manifests}]
    if files:
        parts.append(_file_rows(pattern, files, with_stat))
    if not parts:
        raise ConfigError(f"the pattern {pattern!r} matches no file")
    return parts


def _audio_files(folder: str) -> tuple[list[FileInfo], Mapping[str, int]]:
    """Lists the audio files below a folder, without hidden ones. Follows links.

    Returns:
        The files, and the number of other files by suffix.
    """
    found, left_out = [], collections.Counter[str]()
    for info in storage.list_files(folder, recursive=True):
        suffix = storage.suffix(info.uri).lower()
        if suffix in AUDIO_SUFFIXES:
            found.append(info)
        else:
            left_out[suffix] += 1
    if not found:
        raise ConfigError(
            f"no audio files in folder {storage.shown(folder)!r}: found "
            f"{_suffixes_text(left_out) or 'nothing'}, expected "
            f"{' '.join(sorted(AUDIO_SUFFIXES))}; for files with other extensions give "
            "a glob or a manifest"
        )
    return found, left_out


def _suffixes_text(numbers: Mapping[str, int]) -> str:
    """Numbers of files by suffix, most frequent first: `.txt (2), no suffix (1)`."""
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{x or 'no suffix'} ({num:,})" for x, num in ordered[:_NUM_SHOWN]]
    if rest := ordered[_NUM_SHOWN:]:
        texts.append(f"other suffixes ({sum(num for _, num in rest):,})")
    return _printable(", ".join(texts))


def _printable(name: str) -> str:
    """A name with the bytes escaped that are not UTF-8, such as `\\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _file_rows(source: str, files: Sequence[FileInfo], with_stat: bool) -> _Part:
    names = [storage.in_utf8(info.uri) for info in files]
    columns: dict[str, pa.Array] = {"uri": pa.array(names, pa.string())}
    if with_stat:
        sizes = [info.size_bytes for info in files]
        columns["size_bytes"] = pa.array(sizes, pa.int64())
        columns["modified"] = _listed_times(files)
    return _Part(source, pa.table(columns), files=listed_states(files))


def _listed_times(files: Sequence[FileInfo]) -> pa.Array:
    """Times of last changes for a manifest.

    For local files they are whole seconds, as in manifests of earlier versions: a run
    that continues compares the values.
    """
    times = [
        info.modified.replace(microsecond=0)
        if info.modified and storage.is_local(info.uri)
        else info.modified
        for info in files
    ]
    return pa.array(times, pa.timestamp("ms", tz="UTC"))


def _with_clip_ids(part: _Part) -> pa.Table:
    """Adds the default clip_id if there is none."""
    table = part.table
    _check_filled(part, "uri")
    if "clip_id" in table.column_names:
        _check_filled(part, "clip_id")
        return table
    names = ["uri", *((excerpts.START, excerpts.END) if part.times_from else ())]
    return table.append_column("clip_id", default_clip_ids(table.select(names)))


def _check_filled(part: _Part, column: str) -> None:
    values = part.table[column]
    is_empty = pc.or_kleene(pc.is_null(values), pc.equal(values, ""))
    empty = pc.indices_nonzero(pc.fill_null(is_empty, True))
    if len(empty):
        raise ConfigError(
            f"{part.place(empty[0].as_py())}: the {column} is empty "
            f"({len(empty)} rows in all); fill it in or remove the row"
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
        + "\ngive every clip once, or give the rows different clip_ids"
    )


def _place(parts: list[_Part], row: int) -> str:
    for part in parts:
        if row < part.table.num_rows:
            return part.place(row)
        row -= part.table.num_rows
    raise IndexError(row)
