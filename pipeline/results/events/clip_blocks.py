"""Reads the activations of clips in a stream, one block of patches at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset.snapshot import Snapshot, vectors_of
from transforms import storage
from transforms.elements import FloatArray

# Patches that are read at a time: 7 MB of activations.
_BATCH_ROWS = 8192


class ClipBlocks:
    """Reads the activations of a part, clip after clip, in blocks.

    The patches of one clip follow each other, in the order of the ledger.
    """

    def __init__(self, snapshot: Snapshot, part: str) -> None:
        self._snapshot = snapshot
        self._batches = _read_batches(snapshot.file("patches", part))
        self._ids: pa.Array = pa.array([], pa.string())
        self._values: FloatArray = np.zeros((0, 0), np.float32)

    def of_clip(self, clip_id: str, num_patches: int) -> Iterator[FloatArray]:
        """Yields the activations of the next clip, float32 [up to 8192, num_classes].

        Raises:
            DatasetError: if the next patches are not those of the clip.
        """
        left = num_patches
        while left:
            if not len(self._ids):
                batch = next(self._batches, None)
                if batch is None:
                    raise self._snapshot.mismatch(clip_id, "has too few patches")
                self._ids = batch["clip_id"]
                self._values = vectors_of(batch["activations"])
            count = min(left, len(self._ids))
            if pc.unique(self._ids[:count]).to_pylist() != [clip_id]:
                raise self._snapshot.mismatch(clip_id, "has too few patches")
            yield self._values[:count]
            self._ids, self._values = self._ids[count:], self._values[count:]
            left -= count


def _read_batches(uri: str) -> Iterator[pa.RecordBatch]:
    # Not read_table: it would add a column for the folder model=NAME.
    with pq.ParquetFile(storage.open_arrow(uri), pre_buffer=False) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=["clip_id", "activations"])
