"""Builds the search index of a model, and measures how much it finds.

The embeddings are read twice, in batches: once for the vectors to train on, once to
index them and to find the true neighbours of some clips. Memory does not depend on the
number of clips.
"""

import dataclasses
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.console import counted, say
from pipeline.dataset.folder import Dataset
from pipeline.dataset.index_files import (
    Block,
    IndexedPart,
    IndexRecord,
    block_name,
    index_folder,
    remove_blocks,
    write_record,
)
from pipeline.dataset.index_files import read_record as read_index
from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import ConfigError
from pipeline.results.search import faiss_blocks
from pipeline.results.search.faiss_blocks import Numbers, Vectors
from pipeline.results.search.indexed import RECALL_TOPS, num_candidates
from transforms import storage

_BLOCK_VECTORS = 1 << 19
_BATCH_ROWS = 1 << 14
_SEED = 0
# Half of the queries choose the number of clusters to look into; the others measure.
_NUM_QUERIES = 400
_PROBES = (8, 16, 32, 64, 128, 256)
_WANTED_RECALL = 0.99
_INTERVAL_S = 10.0


@dataclasses.dataclass(frozen=True)
class BuiltIndex:
    """What a build has made.

    Attributes:
        record: The record of the index.
        folder: Uri of its folder.
        num_clips: Number of indexed clips.
        num_bytes: Size of its files.
        num_queries: Number of clips with which the recall was measured.
    """

    record: IndexRecord
    folder: str
    num_clips: int
    num_bytes: int
    num_queries: int


def build_index(dataset: Dataset, model: str | None) -> BuiltIndex:
    """Builds the index of the mean embeddings, in place of an earlier one.

    Args:
        dataset: A dataset that this process has locked.
        model: Name of the model; may be None if the dataset has only one.

    Raises:
        ConfigError: if FAISS is not installed, fewer than two clips have an embedding
            with a direction, or another run has taken the lock.
        DatasetError: if the dataset has no embeddings or is damaged.
    """
    faiss_blocks.load_faiss()
    snapshot = Snapshot(dataset.root, model)
    snapshot.schema("clips", "embedding_mean")
    folder = index_folder(dataset.root, snapshot.model)
    earlier = read_index(folder)
    # A killed build may have left blocks.
    remove_blocks(folder, {block.name for block in earlier.blocks} if earlier else ())
    parts = _count_rows(snapshot)
    numbers, sample = _sample(snapshot, parts)
    say(f"finding clusters in {counted(len(sample))}")
    clusters = faiss_blocks.num_clusters(sum(part.clip_rows for part in parts))
    empty = faiss_blocks.train(sample, min(clusters, len(sample)), _SEED)
    trial = _Trial(*_queries(numbers, sample))
    blocks, num_clips = _write_blocks(snapshot, parts, empty, trial, folder)
    num_probes, recall = trial.measure()
    record = IndexRecord(
        snapshot.model_entry["sha256"], num_probes, recall, parts, blocks
    )
    if not dataset.is_ours():
        raise ConfigError(
            f"another run is writing to {dataset.shown}; run the same command "
            "again when it has ended"
        )
    write_record(folder, record)
    sizes = [info.size_bytes or 0 for info in storage.list_files(folder)]
    return BuiltIndex(record, folder, num_clips, sum(sizes), trial.num_measured)


class _Trial:
    """Compares what the index finds with the true neighbours of some clips.

    Args:
        numbers: Numbers of the clips, whose vectors are in the index.
        queries: Their unit vectors.
    """

    def __init__(self, numbers: Numbers, queries: Vectors) -> None:
        self._numbers = numbers
        self._queries = queries
        # One more, because a query finds itself.
        self._num_true = max(RECALL_TOPS) + 1
        self._num_found = num_candidates(max(RECALL_TOPS)) + 1
        self._true: list[tuple[Vectors, Numbers]] = []
        self._found: dict[int, list[tuple[Vectors, Numbers]]] = {p: [] for p in _PROBES}

    @property
    def num_measured(self) -> int:
        """Number of queries that measure the recall."""
        return len(self._numbers[1::2])

    def compare(self, numbers: Numbers, vectors: Vectors) -> None:
        """Looks for true neighbours among vectors."""
        similarities = self._queries @ vectors.T
        count = min(self._num_true, len(numbers))
        best = np.argpartition(-similarities, count - 1, axis=1)[:, :count]
        chosen = np.take_along_axis(similarities, best, 1), numbers[best]
        self._true = [faiss_blocks.nearest_of([*self._true, chosen], self._num_true)]

    def search(self, block: Any) -> None:
        """Looks for neighbours in a block."""
        count = self._num_found
        for probes, found in self._found.items():
            new = faiss_blocks.search_block(block, self._queries, count, probes)
            found[:] = [faiss_blocks.nearest_of([*found, new], count)]

    def measure(self) -> tuple[int, dict[int, float]]:
        """Returns a number of clusters that is enough, and recalls for RECALL_TOPS."""
        num_probes = _PROBES[-1]
        for probes in _PROBES:
            if min(self._recall(probes, 0).values()) >= _WANTED_RECALL:
                num_probes = probes
                break
        return num_probes, self._recall(num_probes, 1)

    def _recall(self, probes: int, half: int) -> dict[int, float]:
        ((_, true),), ((_, found),) = self._true, self._found[probes]
        rows = range(half, len(self._numbers), 2)
        return {
            top: float(np.mean([self._share(true[i], found[i], i, top) for i in rows]))
            for top in RECALL_TOPS
        }

    def _share(self, true: Numbers, found: Numbers, query: int, top: int) -> float:
        own = self._numbers[query]
        nearest = true[true != own][:top]
        candidates = found[found != own][: num_candidates(top)]
        return float(np.isin(nearest, candidates).mean())


def _count_rows(snapshot: Snapshot) -> tuple[IndexedPart, ...]:
    def count(table: str, part: str) -> int:
        with snapshot.open_part(table, part) as rows:
            return rows.stop - rows.start

    return tuple(
        IndexedPart(part, count("ledger", part), count("clips", part))
        for part in snapshot.parts
    )


def _sample(
    snapshot: Snapshot, parts: Sequence[IndexedPart]
) -> tuple[Numbers, Vectors]:
    """Draws vectors to train on; returns their numbers, ascending, and the vectors."""
    total = sum(part.clip_rows for part in parts)
    rng = np.random.default_rng(_SEED)
    size = faiss_blocks.sample_size(total)
    chosen = np.sort(rng.choice(total, size, replace=False))
    found = []
    for numbers, vectors in _batches(snapshot, parts, "reading"):
        start, stop = np.searchsorted(chosen, [numbers[0], numbers[-1] + 1])
        rows = np.flatnonzero(np.isin(numbers, chosen[start:stop]))
        found.append((numbers[rows], vectors[rows]))
    num_found = sum(len(numbers) for numbers, _ in found)
    if num_found < 2:
        raise ConfigError(
            f"cannot build an index of {snapshot.dataset.shown}: got "
            f"{counted(num_found)} with an embedding that is not all zeros, expected 2 "
            "or more; search without an index"
        )
    numbers, vectors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return numbers, vectors


def _queries(numbers: Numbers, sample: Vectors) -> tuple[Numbers, Vectors]:
    """Draws clips of the sample whose neighbours are looked for."""
    count = min(_NUM_QUERIES, len(sample))
    rows = np.random.default_rng(_SEED).choice(len(sample), count, replace=False)
    return numbers[rows], sample[rows]


def _write_blocks(
    snapshot: Snapshot,
    parts: Sequence[IndexedPart],
    empty: Any,
    trial: _Trial,
    folder: str,
) -> tuple[tuple[Block, ...], int]:
    """Indexes all vectors; returns the blocks and the number of vectors."""
    build = uuid.uuid4().hex[:12]
    blocks: list[Block] = []
    num_vectors = 0

    def write() -> None:
        trial.search(empty)
        name = block_name(build, len(blocks))
        blocks.append(faiss_blocks.write_block(empty, storage.join(folder, name)))
        empty.reset()

    for numbers, vectors in _batches(snapshot, parts, "indexing"):
        empty.add_with_ids(vectors, numbers)
        trial.compare(numbers, vectors)
        num_vectors += len(numbers)
        if empty.ntotal >= _BLOCK_VECTORS:
            write()
    if empty.ntotal:
        write()
    return tuple(blocks), num_vectors


def _batches(
    snapshot: Snapshot, parts: Sequence[IndexedPart], doing: str
) -> Iterator[tuple[Numbers, Vectors]]:
    """Reads the vectors that have a direction, at unit length, with their numbers."""
    total = sum(part.clip_rows for part in parts)
    waiting: list[Vectors] = []
    first = num_waiting = 0
    said = time.monotonic()
    for part in parts:
        with snapshot.open_part("clips", part.name) as rows:
            for batch in rows.batches(["embedding_mean"], _BATCH_ROWS):
                waiting.append(vectors_of(batch["embedding_mean"]))
                num_waiting += batch.num_rows
                if num_waiting >= _BATCH_ROWS:
                    yield from _numbered(first, waiting)
                    first, num_waiting, waiting = first + num_waiting, 0, []
        if time.monotonic() > said + _INTERVAL_S:
            said = time.monotonic()
            say(f"{doing}: {first:,} of {counted(total)}")
    yield from _numbered(first, waiting)


def _numbered(first: int, vectors: list[Vectors]) -> Iterator[tuple[Numbers, Vectors]]:
    if vectors:
        rows, units = faiss_blocks.unit_rows(np.concatenate(vectors))
        if len(rows):
            yield first + rows, units
