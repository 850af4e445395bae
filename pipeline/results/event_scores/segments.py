"""Counts the segments of a clip in which events are active.

Segments of equal length follow each other from the start of the clip. An event is
active in every segment that it touches. Events are float64 [num_events, 2]: start and
end in seconds.
"""

import numpy as np

from transforms.events.detect import Times

# Segments are told apart to a millionth of their length: the end of an event may differ
# from the end of a segment by a rounding error.
_DIGITS = 6


def count_active(events: Times, clip_start_s: float, segment_s: float) -> int:
    """Counts segments in which at least one of the events is active.

    Args:
        events: Events of one label, in any order; they may overlap.
        clip_start_s: Start of the clip.
        segment_s: Length of a segment.
    """
    if not len(events):
        return 0
    places = np.around((events - clip_start_s) / segment_s, _DIGITS)
    places = places[np.argsort(places[:, 0])]
    first = np.floor(places[:, 0])
    # An event without length is active in one segment.
    end = np.maximum(np.ceil(places[:, 1]), first + 1)
    reached = np.maximum.accumulate(end)
    begin = np.maximum(first, np.concatenate([first[:1], reached[:-1]]))
    return int(np.maximum(end - begin, 0).sum())


def count_common(
    one: Times, other: Times, clip_start_s: float, segment_s: float
) -> int:
    """Counts segments in which events of both kinds are active.

    Args:
        one: Events of one kind.
        other: Events of another kind.
        clip_start_s: Start of the clip.
        segment_s: Length of a segment.
    """
    either = np.concatenate([one, other])
    counts = [count_active(x, clip_start_s, segment_s) for x in (one, other, either)]
    return counts[0] + counts[1] - counts[2]
