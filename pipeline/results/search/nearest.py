"""Finds the rows of Parquet files whose vectors are nearest to one by cosine.

Exact: every vector is compared. Rows are preselected in float32 with a margin, and
ranked by float64, so that the result does not depend on how rows lie in files.
"""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.vectors import vectors_of
from transforms import storage

# More than float32 can err by on unit vectors of a few thousand dimensions.
_MARGIN = 1e-4
# Rows in memory for each thread: 16 MB of 512-dimensional vectors.
_BATCH_ROWS = 8192


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A row that was found.

    Attributes:
        clip_id: Of the clip.
        similarity: Cosine, -1 to 1.
        start_s: Where in the clip; None if the vector is of the whole clip.
        part: Name of the file that it is from; empty if it is from none.
    """

    clip_id: str
    similarity: float
    start_s: float | None = None
    part: str = ""


class Nearest:
    """Keeps the best clips of all that are offered; safe for several threads.

    Args:
        query: [size], not all zeros.
        top: How many clips to keep.
        is_allowed: Which clips may be found; all if None.
    """

    def __init__(
        self,
        query: np.ndarray,
        top: int,
        is_allowed: Callable[[str], bool] | None = None,
    ) -> None:
        exact = query.astype(np.float64)
        self._query = exact / np.linalg.norm(exact)
        self._fast_query = self._query.astype(np.float32)
        self._top = top
        self._is_allowed = is_allowed or (lambda clip_id: True)
        self._found: dict[str, Neighbour] = {}
        self._threshold = -np.inf
        self._lock = threading.Lock()

    def offer(
        self,
        clip_ids: pa.Array | Sequence[str],
        vectors: np.ndarray,
        start_s: np.ndarray | None = None,
        part: str = "",
    ) -> None:
        """Compares vectors; those of zeros have no direction and are left out.

        Args:
            clip_ids: Of the rows; one that comes several times counts by its best row.
            vectors: float32 [num_rows, size].
            start_s: float64 [num_rows].
            part: Name of the file that they are from.
        """
        # Not a matrix product: BLAS would start threads of its own in each of ours.
        squares = np.vecdot(vectors, vectors)
        with np.errstate(invalid="ignore", divide="ignore"):
            fast = np.vecdot(vectors, self._fast_query) / np.sqrt(squares)
        # Not a number, and so never chosen, where the vector is 0.
        rows = np.flatnonzero(fast >= self._threshold - _MARGIN)
        chosen = vectors[rows].astype(np.float64)
        norms = np.sqrt(np.vecdot(chosen, chosen))
        exact = np.vecdot(chosen, self._query) / norms
        found = [
            Neighbour(
                str(clip_ids[int(row)]),
                float(value),
                None if start_s is None else float(start_s[row]),
                part,
            )
            for row, value in zip(rows, exact, strict=True)
        ]
        found = [row for row in found if self._is_allowed(row.clip_id)]
        if found:
            with self._lock:
                self._keep(found)

    def best(self) -> list[Neighbour]:
        """Up to `top` clips, the nearest first; of equal ones, the first by clip_id."""
        return list(self._found.values())

    def _keep(self, found: Iterable[Neighbour]) -> None:
        best: dict[str, Neighbour] = {}
        for row in sorted([*self._found.values(), *found], key=_order):
            best.setdefault(row.clip_id, row)
            if len(best) == self._top:
                self._threshold = row.similarity
                break
        self._found = best


def nearest_in_files(
    files: Sequence[str], vector: str, nearest: Nearest
) -> list[Neighbour]:
    """Streams Parquet files, on all cores, and keeps the nearest clips.

    Args:
        files: With clip_id, the vectors and, if rows are parts of clips, start_s.
        vector: Column of the vectors, fixed_size_list<float32>.
        nearest: What is looked for.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(lambda file: _offer_file(file, vector, nearest), files):
            pass
    return nearest.best()


def _offer_file(uri: str, vector: str, nearest: Nearest) -> None:
    part = storage.file_name(uri)
    for batch in _batches(uri, vector):
        if batch.num_rows:
            start_s = batch["start_s"].to_numpy() if batch.num_columns > 2 else None
            nearest.offer(batch["clip_id"], vectors_of(batch[vector]), start_s, part)


def _batches(uri: str, vector: str) -> Iterator[pa.RecordBatch]:
    # Reading ahead would cost more than it gains: most files are small.
    with pq.ParquetFile(storage.open_arrow(uri), pre_buffer=False) as file:
        names = file.schema_arrow.names
        columns = ["clip_id", vector, *(n for n in ("start_s",) if n in names)]
        yield from file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False)


def _order(row: Neighbour) -> tuple[float, str, float]:
    return (-row.similarity, row.clip_id, row.start_s or 0.0)
