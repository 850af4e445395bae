"""Segments in which events are active, compared with a list of all segments."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.results.event_scores.segments import count_active, count_common

# Times and lengths in hundredths, which are exact for the slow implementation.
EVENTS = st.lists(st.tuples(st.integers(200, 900), st.integers(0, 400)), max_size=6)
SEGMENTS = st.sampled_from([10, 33, 50, 100, 250])


def active(rows: list[tuple[int, int]], start: int, segment: int) -> set[int]:
    """The numbers of the active segments, with exact fractions."""
    found = set()
    for begin, length in rows:
        first = math.floor(Fraction(begin - start, segment))
        end = math.ceil(Fraction(begin + length - start, segment))
        found |= {first, *range(first, end)}
    return found


def seconds(rows: list[tuple[int, int]]) -> np.ndarray:
    return np.array([(a / 100, (a + n) / 100) for a, n in rows]).reshape(-1, 2)


@settings(deadline=None)
@given(EVENTS, EVENTS, st.integers(0, 200), SEGMENTS)
def test_counts_are_those_of_sets(
    one: list[tuple[int, int]],
    other: list[tuple[int, int]],
    start: int,
    segment: int,
) -> None:
    sets = [active(rows, start, segment) for rows in (one, other)]
    grid = (start / 100, segment / 100)
    assert [count_active(seconds(x), *grid) for x in (one, other)] == [*map(len, sets)]
    common = count_common(seconds(one), seconds(other), *grid)
    assert common == len(sets[0] & sets[1])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], 0),
        # An event that ends with a segment is not active in the next one.
        ([(0, 1)], 1),
        ([(0, 1.01)], 2),
        ([(0.9, 1.1)], 2),
        # 0.1 + 0.2 is above 0.3: a rounding error opens no segment.
        ([(0, (0.1 + 0.2) * 10)], 3),
        ([(2.5, 2.5)], 1),
        # Overlapping events count once.
        ([(0, 5), (1, 2), (4.5, 6)], 6),
    ],
)
def test_limits(times: list[tuple[float, float]], expected: int) -> None:
    assert count_active(np.array(times).reshape(-1, 2), 0.0, 1.0) == expected
