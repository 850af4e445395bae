"""Searches with an index: it names candidates, whose vectors are then compared exactly.

So similarities are exact, and only clips that are no candidates can be missed.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.console import say
from pipeline.dataset.index_files import (
    IndexRecord,
    has_same_rows,
    index_folder,
    read_record,
)
from pipeline.dataset.snapshot import Snapshot, vectors_of
from pipeline.errors import ConfigError
from pipeline.results.search import faiss_blocks
from pipeline.results.search.faiss_blocks import Numbers
from pipeline.results.search.nearest import Nearest, Neighbour

# Numbers of clips for which a build measures the recall. A search for more clips would
# read most of the dataset for its candidates.
RECALL_TOPS = (10, 100)


def num_candidates(top: int) -> int:
    """Number of candidates that are compared exactly, to find the `top` nearest."""
    return top + top // 2 + 1


def usable_index(
    snapshot: Snapshot, top: int, by_patch: bool = False, where: str | None = None
) -> IndexRecord | None:
    """Returns the index of a dataset, and says how much it finds, or why not to use it.

    Args:
        snapshot: Dataset and model.
        top: Number of clips that are looked for.
        by_patch: Whether patches are compared instead of clips.
        where: Condition on the clips.

    Returns:
        None if the model has no index, or if the search must compare all clips.

    Raises:
        ConfigError: if the index does not have the rows of the dataset, or FAISS is not
            installed.
        DatasetError: if the index is damaged.
    """
    record = read_record(index_folder(snapshot.dataset.root, snapshot.model))
    if record is None:
        return None
    most = max(RECALL_TOPS)
    for unusable, option in (
        (by_patch, "--patches"),
        (where is not None, "--where"),
        (top > most, f"--top over {most}"),
    ):
        if unusable:
            say(f"every clip is compared: the index is not used with {option}")
            return None
    faiss_blocks.load_faiss()
    is_same_model = record.model_sha256 == snapshot.model_entry["sha256"]
    files = snapshot.dataset.files
    if not is_same_model or not has_same_rows(files, snapshot.parts, record.parts):
        raise ConfigError(
            f"the search index of {snapshot.dataset.shown} is out of date: got one of "
            "other rows, expected one of the rows that are committed; build it again "
            "with --build-index, or use --exact"
        )
    say(f"the index is used: {recall_text(record, top)}; --exact compares every clip")
    return record


def recall_text(record: IndexRecord, top: int) -> str:
    """Says how much was found, for the smallest measured number of clips >= `top`."""
    measured = min(number for number in record.recall if number >= top)
    share = f"{100 * record.recall[measured]:.1f} %"
    return f"when it was built, it found {share} of the {measured} nearest clips"


def nearest_by_index(
    snapshot: Snapshot,
    record: IndexRecord,
    query: np.ndarray,
    top: int,
    nearest: Nearest,
) -> list[Neighbour]:
    """Returns the nearest clips among the candidates that the index names.

    Args:
        snapshot: Dataset and model.
        record: The record of the index.
        query: Embedding [embedding_size].
        top: Number of clips.
        nearest: Holds the query, and collects the clips.
    """
    # One more, because the query may be a clip that is left out.
    numbers = _candidates(snapshot, record, query, num_candidates(top) + 1)
    ends = np.cumsum([part.clip_rows for part in record.parts])
    places = np.searchsorted(ends, numbers, side="right")

    def offer(place: int) -> None:
        part = record.parts[place]
        rows = numbers[places == place] - (ends[place] - part.clip_rows)
        with snapshot.open_part("clips", part.name) as opened:
            found = opened.take(rows, ["clip_id", "embedding_mean"])
        ids = found["clip_id"].combine_chunks()
        nearest.offer(ids, vectors_of(found["embedding_mean"]), None, part.name)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(offer, np.unique(places).tolist()):
            pass
    return nearest.best()


def _candidates(
    snapshot: Snapshot, record: IndexRecord, query: np.ndarray, count: int
) -> Numbers:
    """Returns the numbers of up to `count` vectors that may be nearest, ascending."""
    folder = index_folder(snapshot.dataset.root, snapshot.model)
    exact = query.astype(np.float64)
    unit = (exact / np.linalg.norm(exact)).astype(np.float32)[None]
    blocks = [faiss_blocks.open_block(folder, block) for block in record.blocks]
    num_vectors = sum(block.ntotal for block in blocks)
    num_probes = record.num_probes
    while True:
        found = [
            faiss_blocks.search_block(block, unit, count, num_probes)
            for block in blocks
        ]
        ((_, (numbers,)),) = [faiss_blocks.nearest_of(found, count)]
        numbers = numbers[numbers >= 0]
        # These clusters may have too few vectors.
        if len(numbers) >= min(count, num_vectors) or num_probes >= blocks[0].nlist:
            return np.sort(numbers)
        num_probes *= 4
