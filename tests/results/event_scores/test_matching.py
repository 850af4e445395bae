"""Events are matched one to one, as many as possible, as mir_eval matches notes."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mir_eval.transcription import match_notes

from pipeline.results.event_scores.matching import match_events

Times = np.ndarray


def events(*times: tuple[float, float]) -> Times:
    return np.array(times, np.float64).reshape(-1, 2)


def many_events(max_size: int, shortest: int = 0) -> st.SearchStrategy[Times]:
    """Events with times in hundredths, so that distances often equal the collar."""
    event = st.tuples(st.integers(0, 400), st.integers(shortest, 300))
    return st.lists(event, max_size=max_size).map(
        lambda rows: events(*((a / 100, (a + n) / 100) for a, n in rows))
    )


COLLARS = st.sampled_from([0.0, 0.2, 0.5, 1.0])


def may_match(true: Times, found: Times, collar_s: float) -> bool:
    """The definition, for one event of each kind."""
    start_s, end_s = np.abs(true - found).round(4)
    return start_s <= collar_s and end_s <= max(collar_s, 0.2 * (true[1] - true[0]))


@settings(deadline=None)
@given(many_events(4), many_events(4), COLLARS)
def test_no_other_assignment_matches_more(
    true: Times, found: Times, collar_s: float
) -> None:
    """Tries all assignments of true events to found events or to nothing."""
    places = [*range(len(found)), *[-1] * len(true)]
    most = max(
        sum(
            place >= 0 and may_match(event, found[place], collar_s)
            for event, place in zip(true, order, strict=True)
        )
        for order in itertools.permutations(places, len(true))
    )
    matched = match_events(true, found, collar_s)
    pairs = [(i, place) for i, place in enumerate(matched) if place >= 0]
    assert len(pairs) == most
    assert len({place for _, place in pairs}) == len(pairs)
    assert all(may_match(true[i], found[place], collar_s) for i, place in pairs)


@settings(deadline=None)
@given(many_events(40, 1), many_events(40, 1), COLLARS)
def test_mir_eval_matches_as_many(true: Times, found: Times, collar_s: float) -> None:
    # mir_eval refuses events without length.
    pitches = [np.full(len(x), 440.0) for x in (true, found)]
    expected = match_notes(
        *(true, pitches[0], found, pitches[1]),
        onset_tolerance=collar_s,
        offset_ratio=0.2,
        offset_min_tolerance=collar_s,
    )
    matched = match_events(true, found, collar_s)
    assert (matched >= 0).sum() == len(expected)


@pytest.mark.parametrize(
    ("true", "found", "collar_s", "expected"),
    [
        # Within the collar, on its border, and beyond it.
        ((1.0, 2.0), (1.3, 2.3), 0.5, [0]),
        ((1.0, 2.0), (1.5, 2.5), 0.5, [0]),
        ((1.0, 2.0), (1.6, 2.0), 0.5, [-1]),
        ((1.0, 2.0), (1.0, 2.6), 0.5, [-1]),
        # The end of a long event may differ by 20 % of the true event.
        ((0.0, 10.0), (0.0, 12.0), 0.5, [0]),
        ((0.0, 10.0), (0.0, 8.0), 0.5, [0]),
        ((0.0, 10.0), (0.0, 12.1), 0.5, [-1]),
        # It is the true event that counts: the found one is longer.
        ((0.0, 8.0), (0.0, 10.0), 0.5, [-1]),
        # 0.3 - 0.1 is above 0.2 in floating-point numbers.
        ((0.1, 1.0), (0.3, 1.2), 0.2, [0]),
        ((0.5, 0.5), (0.5, 0.5), 0.0, [0]),
    ],
)
def test_limits(
    true: tuple[float, float],
    found: tuple[float, float],
    collar_s: float,
    expected: list[int],
) -> None:
    assert [*match_events(events(true), events(found), collar_s)] == expected


def test_a_found_event_counts_once() -> None:
    """The first true event could take either found event, the second only one."""
    true, found = events((0.4, 2), (0.0, 2)), events((0.1, 2), (0.9, 2))
    assert [*match_events(true, found, 0.5)] == [1, 0]
    assert [*match_events(events((0, 1), (0, 1)), events((0, 1)), 0.5)] in (
        [0, -1],
        [-1, 0],
    )


def test_nothing_matches_nothing() -> None:
    some, nothing = events((0, 1), (2, 3)), events()
    assert [*match_events(some, nothing, 0.5)] == [-1, -1]
    assert not len(match_events(nothing, some, 0.5))


def test_long_chains_of_events_are_matched() -> None:
    """Each of 50,000 events may match two others, and only one order matches all."""
    starts = np.arange(50_000) * 0.5
    true = np.column_stack([starts, starts + 1])
    order = np.random.default_rng(0).permutation(len(true))
    matched = match_events(true, true[order] + 0.5, 0.5)
    assert [*order[matched]] == [*range(len(true))]
