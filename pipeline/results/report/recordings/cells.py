"""Divides time into cells of equal length, and keeps what is highest in each cell."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

# Code of a cell without results; the code of an activation of zero is 1.
NOTHING = 0


class Spread(NamedTuple):
    """Spans of time, cut at the bounds of cells.

    Attributes:
        row: Index of the span of every piece.
        cell: Number of the cell of every piece: cell 0 starts at time 0.
        seconds: Length of every piece.
    """

    row: Integers
    cell: Integers
    seconds: Floats


def spread(start_s: Floats, end_s: Floats, cell_s: float) -> Spread:
    """Cuts spans of time at the bounds of cells. A span without length gets a cell."""
    first = np.floor(start_s / cell_s).astype(np.int64)
    last = np.maximum(np.ceil(end_s / cell_s).astype(np.int64) - 1, first)
    counts = last - first + 1
    row = np.repeat(np.arange(len(first)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    cell = first[row] + within
    begin = np.maximum(start_s[row], cell * cell_s)
    end = np.minimum(end_s[row], (cell + 1) * cell_s)
    return Spread(row, cell, np.maximum(end - begin, 0))


def sums(cells: Integers, values: Floats, num_cells: int) -> Floats:
    """Returns the sum of the values in every cell."""
    return np.bincount(cells, values, num_cells).astype(np.float64)


def coded(activations: npt.NDArray[np.floating]) -> Bytes:
    """Returns codes of activations: 1 for 0, and 255 for 1."""
    return (1 + np.clip(np.rint(activations * 254), 0, 254)).astype(np.uint8)


def coded_share(seconds: Floats, cell_s: float) -> Bytes:
    """Returns codes of seconds in cells: 255 times the root of their share.

    The root keeps a second in an hour apart from nothing. Codes are rounded up.
    """
    share = np.clip(seconds / cell_s, 0, 1)
    # Rounding first: 0.1 s times 10 may be a little over 1 s.
    return np.ceil(np.round(np.sqrt(share) * 255, 6)).astype(np.uint8)


def keep_highest(
    values: Bytes, cells: Integers, activations: npt.NDArray[np.float32]
) -> None:
    """Raises cells to the highest activations that fall into them.

    Args:
        values: Codes, [num_labels, num_cells], changed in place.
        cells: Cell of every patch, never lower than that of the patch before; -1 for
            patches that have none.
        activations: [num_patches, num_labels].
    """
    cells, activations = cells[cells >= 0], activations[cells >= 0]
    if not len(cells):
        return
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    highest = coded(np.maximum.reduceat(activations, starts, axis=0)).T
    at = cells[starts]
    values[:, at] = np.maximum(values[:, at], highest)
