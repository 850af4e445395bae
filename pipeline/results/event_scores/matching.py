"""Matches found events with true events of the same label in the same clip.

Events are float64 [num_events, 2]: start and end in seconds.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from transforms.events.detect import Times

# Share of the length of a true event by which its end may differ. Source: Mesaros et
# al., "Metrics for polyphonic sound event detection" (Applied Sciences 6, 2016).
LENGTH_SHARE = 0.2
# Distances are compared to a tenth of a millisecond, as in mir_eval, so that a distance
# of exactly the collar is within it.
_DIGITS = 4


def match_events(true: Times, found: Times, collar_s: float) -> npt.NDArray[np.intp]:
    """Matches as many events as possible, one to one.

    Two events may match if their starts differ by at most the collar, and their ends by
    at most the collar or LENGTH_SHARE of the true event, whichever is longer. This is
    what `mir_eval.transcription.match_notes` computes for notes of one pitch, which
    compares all pairs at once: 10,000 events of each kind would take 3 GB, and long
    chains of events end in a RecursionError.

    Args:
        true: True events.
        found: Found events.
        collar_s: Collar in seconds.

    Returns:
        Index of the found event of each true event, int [num_true]; -1 without one.
    """
    if not len(true) or not len(found):
        return np.full(len(true), -1)
    order = np.argsort(found[:, 0], kind="stable")
    starts = found[order, 0]
    # Wider than the collar: the exact comparison follows.
    reach_s = collar_s + 10.0**-_DIGITS
    first = np.searchsorted(starts, true[:, 0] - reach_s, "left")
    counts = np.searchsorted(starts, true[:, 0] + reach_s, "right") - first
    rows = np.repeat(np.arange(len(true)), counts)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = order[np.repeat(first, counts) + places]
    distances = np.around(np.abs(true[rows] - found[columns]), _DIGITS)
    length_s = true[rows, 1] - true[rows, 0]
    may_match = (distances[:, 0] <= collar_s) & (
        distances[:, 1] <= np.maximum(LENGTH_SHARE * length_s, collar_s)
    )
    rows, columns = rows[may_match], columns[may_match]
    ones = np.ones(len(rows), np.int8)
    graph = csr_array((ones, (rows, columns)), shape=(len(true), len(found)))
    return maximum_bipartite_matching(graph, perm_type="column")
