"""The scaling plan: a simulation that keeps the laws of schedules, a true table."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import NAME, main_table
from benchmarks.scaling_model import (
    Corpus,
    Costs,
    default_limits,
    num_patches,
    read,
    recordings,
    shards_of,
    simulate,
    speeds_of,
)
from benchmarks.schedule import Seconds, Way, dealt, makespan_s, taken
from pipeline.plan import ShardLimits
from tests.conftest import ROOT
from transforms.front_end import PatchSpec, cut_patches

FREE = Costs(0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
WAYS = pytest.mark.parametrize("way", [dealt, taken])
WORK = st.lists(st.floats(0.01, 1000), min_size=1, max_size=40).map(
    lambda values: np.sort(np.array(values))[::-1]
)
WORKERS = st.integers(1, 12)


@WAYS
@given(work_s=WORK, number=WORKERS)
def test_no_run_is_shorter_than_its_share_or_its_longest_shard(
    way: Way, work_s: Seconds, number: int
) -> None:
    span_s = makespan_s(way, work_s, np.ones(number))
    bound = max(work_s.sum() / number, work_s.max())
    assert span_s >= bound * (1 - 1e-12)
    assert span_s <= work_s.sum() * (1 + 1e-12)


@WAYS
@given(work_s=WORK, speed=st.floats(0.5, 2))
def test_one_worker_takes_the_sum(way: Way, work_s: Seconds, speed: float) -> None:
    span_s = makespan_s(way, work_s, np.array([speed]))
    assert span_s == pytest.approx(work_s.sum() / speed)


@given(work_s=WORK, number=WORKERS)
def test_taking_is_at_most_twice_the_optimum_and_no_worker_waits_while_work_is_left(
    work_s: Seconds, number: int
) -> None:
    done_s = taken(work_s, np.ones(number))
    optimum = max(work_s.sum() / number, work_s.max())
    assert done_s.max() <= 2 * optimum * (1 + 1e-12)
    # Shards that were taken in order start in order, and the last start before any
    # worker is without work.
    starts_s = done_s - work_s
    assert (np.diff(starts_s) >= -1e-9).all()
    assert starts_s.max() * number <= work_s.sum() * (1 + 1e-9)


@given(work_s=WORK, number=WORKERS)
def test_dealing_the_largest_first_differs_by_one_shard_at_most(
    work_s: Seconds, number: int
) -> None:
    sums_s = [work_s[worker::number].sum() for worker in range(number)]
    assert max(sums_s) - min(sums_s) <= work_s.max() * (1 + 1e-9)
    assert makespan_s(dealt, work_s, np.ones(number)) == pytest.approx(max(sums_s))


@WAYS
@given(
    work_s=WORK,
    number=WORKERS,
    deaths_s=st.lists(st.floats(0, 2000), max_size=5).map(sorted),
    restart_s=st.floats(0, 50),
)
def test_deaths_cost_time_and_no_work_is_lost(
    way: Way, work_s: Seconds, number: int, deaths_s: list[float], restart_s: float
) -> None:
    speeds = np.ones(number)
    span_s = makespan_s(way, work_s, speeds, deaths_s, restart_s)
    assert span_s >= max(work_s.sum() / number, work_s.max()) * (1 - 1e-12)
    # Had every death begun the run anew, it would have taken no longer than this.
    most_s = work_s.sum() + max(deaths_s, default=0.0) + restart_s
    assert span_s <= most_s * (1 + 1e-12)


@WAYS
@given(number=WORKERS, rounds=st.integers(1, 20), files=st.integers(1, 5))
def test_equal_shards_for_all_workers_lose_nothing(
    way: Way, number: int, rounds: int, files: int
) -> None:
    corpus = Corpus("made", number * rounds * files, np.array([60.0]))
    shards = shards_of(corpus, ShardLimits(files))
    outcome = simulate(shards, FREE, way, speeds_of(number, 0.0))
    assert outcome.efficiency == pytest.approx(1)
    start = simulate(
        shards, dataclasses.replace(FREE, worker_s=1.0), way, np.ones(number)
    )
    useful_s = number * rounds * files * num_patches(np.array([60.0]))[0] * 0.01
    assert start.efficiency == pytest.approx(useful_s / (useful_s + number))


@given(lengths=st.lists(st.floats(0.3, 30), min_size=1, max_size=80), number=WORKERS)
def test_shards_hold_every_clip_and_what_is_lost_adds_up(
    lengths: list[float], number: int
) -> None:
    corpus = Corpus("made", len(lengths), np.array(lengths))
    shards = shards_of(corpus, default_limits(corpus, number))
    assert shards.clips.sum() == len(lengths)
    assert shards.audio_s.sum() == pytest.approx(sum(lengths))
    assert (np.diff(shards.audio_s) <= 0).all()
    costs = Costs(0.002, 0.007, 0.03, 1e-5, 3.0, 2.0, 1e-5, 0.0, 1e-4)
    outcome = simulate(shards, costs, taken, speeds_of(number, 0.0))
    assert outcome.efficiency + sum(outcome.losses.values()) == pytest.approx(1)
    assert min(outcome.losses.values()) >= -1e-9


def test_files_of_one_length_give_the_shards_that_the_program_cuts() -> None:
    limits = ShardLimits(64, 900.0)
    short = shards_of(recordings(100, 60), limits)
    every = shards_of(Corpus("made", 6_000, np.full(6_000, 60.0)), limits)
    for one, other in zip(
        dataclasses.astuple(short), dataclasses.astuple(every), strict=True
    ):
        assert (one == other).all()


@pytest.mark.parametrize("num_samples", [220, 22_000, 22_050, 100_000, 661_500])
def test_patches_are_counted_as_the_front_end_cuts_them(num_samples: int) -> None:
    frames = np.zeros((-(-num_samples // 220) + 1, 96), np.float32)
    expected = len(cut_patches(frames, PatchSpec()))
    assert num_patches(np.array([num_samples / 22_050]))[0] == expected


def test_the_table_in_the_document_is_that_of_the_results() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert main_table(read(NAME)) in text
