"""The files of a search index, and whether they have the rows that are committed.

    OUT/search-index/model=NAME/index.json                  what the index has
    OUT/search-index/model=NAME/block-<build>-00012.faiss   half a million vectors

A build writes blocks with names of its own, and `index.json` last. This one step makes
the new index count. Blocks that `index.json` does not name are of no use to anyone.
"""

import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Mapping

from pipeline.dataset.part_files import COMPACTED_PREFIX, PartFiles, source_rows
from pipeline.errors import DatasetError
from transforms import storage
from transforms.storage import StorageError

INDEX_FOLDER = "search-index"
_RECORD_NAME = "index.json"
_FORMAT = "fsd-sinet-beam search index 1"
_BLOCK = re.compile(r"block-[0-9a-f]{12}-\d{5}\.faiss")
# Temporary files that transforms.storage.publish leaves on a disk if it is killed.
INDEX_TEMPORARY = re.compile(rf"\.({_BLOCK.pattern}|index\.json)\.[0-9a-f]{{32}}\.tmp")


@dataclasses.dataclass(frozen=True)
class IndexedPart:
    """A part whose clips are in an index.

    Attributes:
        name: File name of the part.
        ledger_rows: Number of its rows in the ledger.
        clip_rows: Number of its rows in `clips`.
    """

    name: str
    ledger_rows: int
    clip_rows: int


@dataclasses.dataclass(frozen=True)
class Block:
    """A file of an index.

    Attributes:
        name: File name.
        sha256: Hash of its content.
    """

    name: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class IndexRecord:
    """What `index.json` says.

    Attributes:
        model_sha256: Hash of the graph of the model.
        num_probes: Number of clusters that a search looks into.
        recall: Number of clips that are asked for -> share of the nearest ones that was
            found when the index was built, 0 to 1.
        parts: Parts that are indexed. Vectors are numbered by row of `clips`, through
            these parts in this order.
        blocks: Files of the vectors.
    """

    model_sha256: str
    num_probes: int
    recall: Mapping[int, float]
    parts: tuple[IndexedPart, ...]
    blocks: tuple[Block, ...]


def index_folder(root: str, model: str) -> str:
    """Uri of the folder of the index of a model."""
    return storage.join(root, INDEX_FOLDER, f"model={model}")


def block_name(build: str, number: int) -> str:
    """File name of a block.

    Args:
        build: 12 hexadecimal digits that no other build has.
        number: Number of the block in the build.
    """
    return f"block-{build}-{number:05d}.faiss"


def read_record(folder: str) -> IndexRecord | None:
    """Reads the record in the folder of an index; None if there is no index.

    Raises:
        DatasetError: if the file is damaged.
    """
    uri = storage.join(folder, _RECORD_NAME)
    try:
        content = json.loads(storage.read_file(uri))
        if content["format"] != _FORMAT:
            raise ValueError(f"format is {content['format']!r}, expected {_FORMAT!r}")
        return IndexRecord(
            content["model_sha256"],
            content["num_probes"],
            {int(top): share for top, share in content["recall"].items()},
            tuple(IndexedPart(*part) for part in content["parts"]),
            tuple(Block(**block) for block in content["blocks"]),
        )
    except StorageError as error:
        if error.kind == "not_found":
            return None
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_index(uri, error) from error


def damaged_index(uri: str, problem: object) -> DatasetError:
    """The error for a file of an index that cannot be used."""
    return DatasetError(
        f"cannot read {storage.shown(uri)}: {problem}; build the index again with "
        "--build-index, or use --exact"
    )


def write_record(folder: str, record: IndexRecord) -> None:
    """Publishes a record, then removes blocks that it does not name."""
    content = {
        "format": _FORMAT,
        "model_sha256": record.model_sha256,
        "num_probes": record.num_probes,
        "recall": record.recall,
        "blocks": [dataclasses.asdict(block) for block in record.blocks],
        "parts": [dataclasses.astuple(part) for part in record.parts],
    }
    with storage.publish(storage.join(folder, _RECORD_NAME)) as file:
        file.write((json.dumps(content) + "\n").encode("utf-8"))
    remove_blocks(folder, {block.name for block in record.blocks})


def remove_blocks(folder: str, kept: Collection[str]) -> None:
    """Removes the blocks of the folder of an index whose names are not in `kept`."""
    for name in sorted(storage.list_names(folder)):
        if _BLOCK.fullmatch(name) and name not in kept:
            storage.delete_file(storage.join(folder, name))


def remove_indexes(root: str) -> bool:
    """Removes the indexes of all models; says whether there were any.

    Args:
        root: Folder of a dataset.
    """
    indexes = storage.join(root, INDEX_FOLDER)
    if not storage.list_names(indexes):
        return False
    folders = set()
    # The records are first: an index without blocks would be damaged.
    uris = [info.uri for info in storage.list_files(indexes, recursive=True)]
    for uri in sorted(uris, key=lambda uri: storage.file_name(uri) != _RECORD_NAME):
        name = storage.file_name(uri)
        if name == _RECORD_NAME or _BLOCK.fullmatch(name):
            storage.delete_file(uri)
            folders.add(storage.folder_of(uri))
    for folder in sorted(folders):
        storage.prune_folder(folder, root)
    return bool(folders)


def has_same_rows(
    files: PartFiles, committed: Iterable[str], parts: Iterable[IndexedPart]
) -> bool:
    """Whether the committed parts have exactly the rows of indexed parts.

    Parts that a compaction has put together count as the parts that they were.

    Args:
        files: Files of the dataset.
        committed: File names of the committed parts.
        parts: Indexed parts.
    """
    left = {part.name: part.ledger_rows for part in parts}
    for name in committed:
        if left.pop(name, None) is not None:
            continue
        if not name.startswith(COMPACTED_PREFIX):
            return False
        with files.open("ledger", name) as rows:
            sources = source_rows(rows.file.metadata)
            inside = range(rows.start, rows.stop)
        known = [
            source
            for source, (start, count) in sources.items()
            if left.get(source) == count and start in inside
        ]
        if sum(left.pop(source) for source in known) != len(inside):
            return False
    return not left
