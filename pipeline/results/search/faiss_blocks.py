"""Trains, fills, writes and searches the blocks of an index, with FAISS.

A block has clusters of vectors of unit length, in a byte a number. All blocks of an
index have the same clusters. A search compares the query with the vectors of the
clusters that are nearest to it. A block is mapped into memory, so that only these
clusters are read.
"""

import hashlib
import importlib.util
import types
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.dataset.index_files import Block, damaged_index
from pipeline.errors import ConfigError
from transforms import storage

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

_MAX_CLUSTERS = 4096
_CLUSTER_VECTORS = 250
# FAISS asks for at least 39.
_SAMPLE_PER_CLUSTER = 50
_ROUNDS = 10


def load_faiss() -> types.ModuleType:
    """Imports FAISS.

    Raises:
        ConfigError: if it is not installed.
    """
    if importlib.util.find_spec("faiss") is None:
        raise ConfigError(
            "a search index needs FAISS, which is not installed here; pip install "
            "'fsd-sinet-beam[index]', or search with --exact"
        )
    import faiss

    module: types.ModuleType = faiss
    return module


def num_clusters(num_vectors: int) -> int:
    """Number of clusters for a number of vectors."""
    return max(1, min(_MAX_CLUSTERS, num_vectors // _CLUSTER_VECTORS))


def sample_size(num_vectors: int) -> int:
    """Number of vectors to train on, of a number of vectors."""
    return min(num_vectors, max(1000, _SAMPLE_PER_CLUSTER * num_clusters(num_vectors)))


def train(sample: Vectors, clusters: int, seed: int) -> Any:
    """Returns an empty block with trained clusters.

    Args:
        sample: Unit vectors [num, size].
        clusters: Number of clusters, at most `num`.
        seed: Seed of the choice of first centres.
    """
    faiss = load_faiss()
    block = faiss.index_factory(
        sample.shape[1], f"IVF{clusters},SQ8", faiss.METRIC_INNER_PRODUCT
    )
    block.cp.seed, block.cp.niter, block.cp.spherical = seed, _ROUNDS, True
    block.train(sample)
    return block


def write_block(block: Any, uri: str) -> Block:
    """Publishes a block as a file."""
    faiss = load_faiss()
    digest = hashlib.sha256()
    with storage.publish(uri) as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        faiss.write_index(block, faiss.PyCallbackIOWriter(write))
    return Block(storage.file_name(uri), digest.hexdigest())


def open_block(folder: str, block: Block) -> Any:
    """Maps a block into memory; one in a bucket is copied to this machine first.

    Raises:
        DatasetError: if the file is lost or damaged.
    """
    faiss = load_faiss()
    uri = storage.join(folder, block.name)
    try:
        path = storage.local_copy(uri, block.sha256)
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except (storage.StorageError, RuntimeError) as error:
        raise damaged_index(uri, str(error).splitlines()[0]) from error


def search_block(
    block: Any, queries: Vectors, count: int, num_probes: int
) -> tuple[Vectors, Numbers]:
    """Returns similarities and numbers of the nearest vectors, the nearest first.

    Args:
        block: Block to search.
        queries: Unit vectors [num_queries, size].
        count: Number of vectors for each query.
        num_probes: Number of clusters to look into.

    Returns:
        float32 and int64 [num_queries, count]; the number is -1 for nothing.
    """
    block.nprobe = min(num_probes, block.nlist)
    similarities, numbers = block.search(queries, count)
    return similarities, numbers


def nearest_of(
    found: list[tuple[Vectors, Numbers]], count: int
) -> tuple[Vectors, Numbers]:
    """Returns the nearest vectors of several results of `search_block`."""
    similarities = np.concatenate([part for part, _ in found], axis=1)
    numbers = np.concatenate([part for _, part in found], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    return (
        np.take_along_axis(similarities, order, 1),
        np.take_along_axis(numbers, order, 1),
    )


def unit_rows(vectors: Vectors) -> tuple[Numbers, Vectors]:
    """Returns the rows of a matrix that have a direction, and these at unit length."""
    norms = np.sqrt(np.vecdot(vectors, vectors))
    rows = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    return rows, vectors[rows] / norms[rows, None]
