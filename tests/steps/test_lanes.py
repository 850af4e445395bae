"""Lanes give every shard of a plan to some worker, whatever happens to workers."""

import concurrent.futures
import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.launch.plan import choose_limits, cut
from transforms.job_control.lanes import Lane, Lanes

START = "start-1"


def taken_by(lanes: Lanes, number: int, num_shards: int) -> Iterator[int]:
    return lanes.take(Lane("plan.arrow", number, START), num_shards)


@contextlib.contextmanager
def lanes_of(num_lanes: int) -> Iterator[Lanes]:
    with tempfile.TemporaryDirectory() as folder:
        yield Lanes(num_lanes, f"{folder}/job")


def test_lanes_that_run_at_the_same_time_take_every_shard_once(
    tmp_path: pathlib.Path,
) -> None:
    lanes = Lanes(4, str(tmp_path))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda number: list(taken_by(lanes, number, 100)), range(4))
    taken = [index for indices in found for index in indices]
    assert sorted(taken) == list(range(100))


@given(
    num_lanes=st.integers(1, 4),
    num_shards=st.integers(0, 12),
    turns=st.lists(st.integers(0, 3), max_size=20),
)
def test_lanes_that_take_turns_take_every_shard_once(
    num_lanes: int, num_shards: int, turns: list[int]
) -> None:
    with lanes_of(num_lanes) as lanes:
        running = [taken_by(lanes, n, num_shards) for n in range(num_lanes)]
        taken = [next(running[n], None) for n in turns if n < num_lanes]
        taken += [index for lane in running for index in lane]
        found = sorted(index for index in taken if index is not None)
        assert found == list(range(num_shards))


def test_a_fast_lane_takes_the_longest_shards_of_others_but_not_their_next() -> None:
    with lanes_of(3) as lanes:
        slow, fast = taken_by(lanes, 1, 12), taken_by(lanes, 0, 12)
        assert next(slow) == 1
        taken = list(fast)
        assert taken[:4] == [0, 3, 6, 9]
        # 4 is the next of the slow lane; lane 2 has not begun, and 2 is its next.
        assert taken[4:] == [5, 7, 8, 10, 11, 2, 4]
        assert list(slow) == []


def test_a_lane_without_shards_of_its_own_takes_none() -> None:
    with lanes_of(4) as lanes:
        assert list(taken_by(lanes, 3, 3)) == []
        assert list(taken_by(lanes, 1, 3)) == [1, 2, 0]


@pytest.mark.parametrize(
    "speeds",
    [(1.0, 0.5), (0.5, 1.0), (1.0, 0.3), (1.0, 1.0), (1.0, 0.5, 1.0, 0.9, 1.0, 0.5)],
)
def test_workers_of_unequal_speed_end_within_five_percent(speeds: list[float]) -> None:
    audio_s = np.random.default_rng(0).lognormal(1.5, 1.0, 2000).clip(0.3, 30)
    limits = choose_limits(audio_s, len(speeds), None)
    shard_s = sorted(float(audio_s[s].sum()) for s in cut(audio_s, limits))[::-1]
    ends_s = [0.0] * len(speeds)
    with lanes_of(len(speeds)) as lanes:
        running = {n: taken_by(lanes, n, len(shard_s)) for n in range(len(speeds))}
        while running:
            # The worker that is free first takes the next shard.
            number = min(running, key=ends_s.__getitem__)
            if (index := next(running[number], None)) is None:
                del running[number]
            else:
                ends_s[number] += shard_s[index] / speeds[number]
    assert min(ends_s) > 0.95 * max(ends_s)
    assert sum(np.multiply(ends_s, speeds)) == pytest.approx(audio_s.sum())


# What happens next: a lane goes on, is begun again, or an old attempt goes on.
EVENTS = st.tuples(
    st.integers(0, 2), st.sampled_from(["go on", "again", "old goes on"])
)


@given(num_shards=st.integers(1, 9), events=st.lists(EVENTS, max_size=25))
def test_no_shard_is_left_out_if_lanes_are_begun_again(
    num_shards: int, events: list[tuple[int, str]]
) -> None:
    with lanes_of(3) as lanes:
        attempts = [[taken_by(lanes, number, num_shards)] for number in range(3)]
        # Shards that each attempt took. The last of a lost attempt are never committed.
        taken: list[list[list[int]]] = [[[]] for _ in attempts]
        for number, event in events:
            if event == "again":
                attempts[number].append(taken_by(lanes, number, num_shards))
                taken[number].append([])
            which = 0 if event == "old goes on" else -1
            index = next(attempts[number][which], None)
            taken[number][which] += [] if index is None else [index]
        for number in range(3):
            taken[number][-1] += attempts[number][-1]
        committed = {index for lists in taken for index in lists[-1]}
        assert committed == set(range(num_shards))
