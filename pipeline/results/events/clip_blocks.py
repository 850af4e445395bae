"""Reads the activations of clips in a stream, one block of patches at a time."""

import itertools
from collections.abc import Iterator

from pipeline.dataset.snapshot import Snapshot, vectors_of
from transforms.elements import FloatArray

# Patches that are read at a time: 7 MB of activations.
_BATCH_ROWS = 8192


def read_runs(snapshot: Snapshot, part: str) -> Iterator[tuple[str, FloatArray]]:
    """Reads a part of the patches: clip_id, and activations of consecutive patches.

    A clip comes several times if its patches are in several batches.

    Yields:
        clip_id, and float32 [up to 8192, num_classes].
    """
    with snapshot.open_part("patches", part) as rows:
        for batch in rows.batches(["clip_id", "activations"], _BATCH_ROWS):
            values = vectors_of(batch["activations"])
            ids = batch["clip_id"].to_pylist()
            starts = [i for i in range(len(ids)) if not i or ids[i] != ids[i - 1]]
            for start, end in itertools.pairwise([*starts, len(ids)]):
                yield ids[start], values[start:end]


class ClipBlocks:
    """Reads the activations of a part, clip after clip, in blocks.

    The patches of one clip follow each other, in the order of the ledger.
    """

    def __init__(self, snapshot: Snapshot, part: str) -> None:
        self._snapshot = snapshot
        self._runs = read_runs(snapshot, part)

    def of_clip(self, clip_id: str, num_patches: int) -> Iterator[FloatArray]:
        """Yields the activations of the next clip, float32 [up to 8192, num_classes].

        Raises:
            DatasetError: if the next patches are not those of the clip.
        """
        left = num_patches
        while left:
            found_id, values = next(self._runs, ("", None))
            if found_id != clip_id or values is None or len(values) > left:
                problem = f"does not have the {num_patches:,} patches of the ledger"
                raise self._snapshot.mismatch(clip_id, problem)
            yield values
            left -= len(values)
