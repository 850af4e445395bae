"""Runs `fsdsinet compact`: puts small parts of a dataset together to large ones.

Parts are sorted by their first clip_id, so that a large part has a narrow range of
clip_ids. Parts are only put together if their metadata is the same, because a file has
one metadata.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.console import counted, say
from pipeline.dataset.folder import Dataset
from pipeline.dataset.part_files import PartRows, source_rows
from pipeline.dataset.replace_parts import common_schema, replace_parts
from pipeline.errors import ConfigError, DatasetError
from pipeline.launch.without_runs import without_runs

EXIT_OK = 0
# A store copies at most 5 GB in one request.
MAX_TARGET_MB = 4096
_MB = 1 << 20
# The metadata of a ledger file takes about 200 bytes for each of them.
_MAX_SOURCES = 4096
_INTERVAL_S = 10.0
_NUM_THREADS = 16


@dataclasses.dataclass(frozen=True)
class SmallPart:
    """A part that may be put together with others.

    Attributes:
        name: File name of the part.
        num_bytes: Size of its largest file.
        kind: Hash of its columns and metadata.
        first_id: Smallest clip_id.
        num_sources: Number of parts that the metadata of a new part names for it.
    """

    name: str
    num_bytes: int
    kind: str
    first_id: str
    num_sources: int = 1


def compact_command(output: str, target_mb: int) -> int:
    """Runs the command and returns its exit code.

    Args:
        output: Folder of a dataset.
        target_mb: Size of the largest file of a new part, in units of 2**20 bytes.

    Raises:
        ConfigError: if the size is out of range, or a run is writing to the dataset.
        DatasetError: if there is no dataset, or it is damaged.
    """
    if not 1 <= target_mb <= MAX_TARGET_MB:
        raise ConfigError(f"target is {target_mb} MB, expected 1 to {MAX_TARGET_MB}")
    dataset = Dataset(output)
    dataset.existing_run()
    with without_runs(dataset):
        num_before = len(dataset.committed())
        _compact(dataset, target_mb * _MB)
        num_after = len(dataset.committed())
    parts = counted(num_after, "part", "parts")
    if num_after == num_before:
        print(f"nothing to compact: {dataset.shown} has {parts}")
    else:
        print(f"compacted: {dataset.shown} has {parts}, before {num_before:,}")
    return EXIT_OK


def _compact(dataset: Dataset, target_bytes: int) -> None:
    sizes = dataset.table_sizes(dataset.committed())
    small = _small_parts(dataset, sizes, target_bytes)
    groups = [group for group in groups_of(small, target_bytes) if len(group) > 1]
    tables = sorted({table for found in sizes.values() for table in found})
    said = time.monotonic()
    for number, group in enumerate(groups):
        _check_complete(dataset, group, tables, sizes)
        replace_parts(dataset, group, tables)
        if time.monotonic() > said + _INTERVAL_S:
            said = time.monotonic()
            say(f"{number + 1:,} of {len(groups):,} new parts are done")


def _small_parts(
    dataset: Dataset, sizes: Mapping[str, Mapping[str, int]], target_bytes: int
) -> list[SmallPart]:
    """Parts whose largest file is smaller than half the target.

    Larger ones stay as they are, so that rows are not written again and again.
    """
    largest = {part: max(found.values(), default=0) for part, found in sizes.items()}
    names = [part for part, size in largest.items() if size < target_bytes / 2]

    def describe(name: str) -> SmallPart:
        with dataset.files.open("ledger", name) as rows:
            num_sources = 1 + len(source_rows(rows.file.metadata))
            found = (_kind(rows), _first_id(rows), num_sources)
        return SmallPart(name, largest[name], *found)

    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        return [*pool.map(describe, names)]


def _kind(rows: PartRows) -> str:
    schema = common_schema(rows).serialize().to_pybytes()
    return hashlib.blake2b(schema, digest_size=10).hexdigest()


def _first_id(rows: PartRows) -> str:
    ids = rows.read(["clip_id"])["clip_id"].to_pylist()
    return min(ids, default="")


def groups_of(parts: Iterable[SmallPart], target_bytes: int) -> Iterator[list[str]]:
    """Yields the names of parts to put together; a part may be alone."""
    group: list[SmallPart] = []
    num_bytes = num_sources = 0
    for part in sorted(parts, key=lambda part: (part.kind, part.first_id, part.name)):
        num_bytes += part.num_bytes
        num_sources += part.num_sources
        is_full = num_bytes > target_bytes or num_sources > _MAX_SOURCES
        if group and (is_full or part.kind != group[0].kind):
            yield [other.name for other in group]
            group, num_bytes, num_sources = [], part.num_bytes, part.num_sources
        group.append(part)
    if group:
        yield [part.name for part in group]


def _check_complete(
    dataset: Dataset,
    group: Iterable[str],
    tables: Sequence[str],
    sizes: Mapping[str, Mapping[str, int]],
) -> None:
    for part in group:
        for table in tables:
            if table not in sizes[part]:
                raise DatasetError(
                    f"{dataset.shown} is damaged: the ledger has {part}, but there is "
                    f"no such file in {table}; restore it, or extract again with "
                    "--overwrite"
                )
