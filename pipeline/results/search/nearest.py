"""Finds the rows of Parquet files whose vectors are nearest to a query by cosine.

The search is exact: it compares every vector. Rows are preselected in float32 with a
margin, then ranked in float64, so that the result does not depend on how the rows are
divided into files.
"""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from pipeline.dataset.part_files import COMPACTED_PREFIX
from pipeline.dataset.snapshot import Snapshot, vectors_of

# More than the rounding error of float32 for unit vectors of a few thousand dimensions.
_MARGIN = 1e-4
# Rows in memory per thread. 2 MB of 512-dimensional vectors stay in the cache of a core
# between decoding and comparing: 16 MB took 1.15 times as long for a million clips.
_BATCH_ROWS = 1024


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A row that was found.

    Attributes:
        clip_id: Clip of the row.
        similarity: Cosine to the query, -1 to 1.
        start_s: Start of the patch within the clip; None if rows are whole clips.
        part: Name of the file that holds the row; empty if unknown.
    """

    clip_id: str
    similarity: float
    start_s: float | None = None
    part: str = ""


class Nearest:
    """Keeps the nearest of all offered clips. Several threads may use it at once.

    Args:
        query: Vector [size], not all zeros.
        top: Number of clips to keep.
        is_allowed: Says for a clip_id whether it may be found; None allows all.
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
        """Compares rows with the query. Vectors of zeros have no direction: left out.

        Args:
            clip_ids: Clips of the rows; a clip with several rows counts by its best.
            vectors: float32 [num_rows, size].
            start_s: Starts of the patches, float64 [num_rows].
            part: Name of the file that holds the rows.
        """
        # Not a matrix product: BLAS would start several threads in each of the pool's.
        squares = np.vecdot(vectors, vectors)
        with np.errstate(invalid="ignore", divide="ignore"):
            fast = np.vecdot(vectors, self._fast_query) / np.sqrt(squares)
        # `fast` is NaN for a vector of zeros, which this comparison never chooses.
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
        """Returns up to `top` clips, the nearest first, equal ones by clip_id."""
        return list(self._found.values())

    def _keep(self, found: Iterable[Neighbour]) -> None:
        best: dict[str, Neighbour] = {}
        for row in sorted([*self._found.values(), *found], key=_order):
            best.setdefault(row.clip_id, row)
            if len(best) == self._top:
                self._threshold = row.similarity
                break
        self._found = best


def nearest_in_parts(
    snapshot: Snapshot, table: str, vector: str, nearest: Nearest
) -> list[Neighbour]:
    """Streams a table of a dataset, on all cores, and returns the nearest clips.

    Args:
        snapshot: Dataset and model.
        table: Table with clip_id, the vectors and, for patches, start_s.
        vector: Name of the column of vectors, fixed_size_list<float32>.
        nearest: Holds the query, and collects the clips.
    """
    snapshot.check_files(table)
    num_threads = len(os.sched_getaffinity(0))

    def offer(part: str, share: int, num_shares: int) -> None:
        with snapshot.open_part(table, part) as rows:
            columns = ["clip_id", vector]
            if "start_s" in rows.schema.names:
                columns.append("start_s")
            for batch in rows.batches(columns, _BATCH_ROWS, None, (share, num_shares)):
                start_s = batch["start_s"].to_numpy() if len(columns) > 2 else None
                vectors = vectors_of(batch[vector])
                nearest.offer(batch["clip_id"], vectors, start_s, part)

    # There may be few large parts: all threads work on each of them.
    large = [part for part in snapshot.parts if part.startswith(COMPACTED_PREFIX)]
    tasks = [(part, i, num_threads) for part in large for i in range(num_threads)]
    tasks += [(part, 0, 1) for part in snapshot.parts if part not in large]
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(offer, *zip(*tasks, strict=True)):
            pass
    return nearest.best()


def _order(row: Neighbour) -> tuple[float, str, float]:
    return (-row.similarity, row.clip_id, row.start_s or 0.0)
