"""Folds of a cross-validation, and audio that two sets of clips share."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.results.evaluation.folds import Audio, assign_folds, first_shared

TIMES = st.integers(0, 6).map(float)
AUDIO = st.one_of(
    st.tuples(st.sampled_from("xy"), st.just(0.0), st.just(math.inf)),
    st.tuples(st.sampled_from("xy"), TIMES, st.sampled_from([0.5, 1.0, 3.0])).map(
        lambda case: (case[0], case[1], case[1] + case[2])
    ),
)


@given(st.lists(AUDIO, max_size=5), st.lists(AUDIO, max_size=5))
def test_shared_audio_is_found(one: list[Audio], other: list[Audio]) -> None:
    shared = {
        name
        for i, (file, start, end) in enumerate(one)
        for j, (other_file, other_start, other_end) in enumerate(other)
        if file == other_file and start < other_end and other_start < end
        for name in (f"a{i}", f"b{j}")
    }
    found = first_shared(
        {f"a{i}": audio for i, audio in enumerate(one)},
        {f"b{i}": audio for i, audio in enumerate(other)},
    )
    assert found in shared if shared else found is None


@given(
    st.integers(2, 5),
    st.integers(0, 3),
    st.lists(st.sets(st.integers(0, 3)), min_size=5, max_size=40),
)
def test_every_fold_has_its_share_of_the_rarest_labels(
    num_folds: int, seed: int, labels: list[set[int]]
) -> None:
    truth = np.array([[i in found for i in range(4)] for found in labels])
    files = [f"f{i}" for i in range(len(labels))]
    folds = assign_folds(truth, files, num_folds, seed)
    assert {*folds.tolist()} == {*range(num_folds)}
    totals = truth.sum(axis=0)
    rarest = [min(found, key=lambda i: (totals[i], i), default=-1) for found in labels]
    for label in {*rarest}:
        members = np.array([x == label for x in rarest])
        counts = np.bincount(folds[members], minlength=num_folds)
        assert counts.max() - counts.min() <= 1
    assert (folds == assign_folds(truth, files, num_folds, seed)).all()


def test_clips_of_one_file_are_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((60, 5)) < 0.3
    files = [f"f{i % 12}" for i in range(60)]
    folds = assign_folds(truth, files, 3, 0)
    assert len({*zip(files, folds.tolist(), strict=True)}) == 12
    assert np.bincount(folds).tolist() == [20, 20, 20]
    assert (folds != assign_folds(truth, files, 3, 1)).any()


@pytest.mark.parametrize("num_folds", [-1, 0, 1, 5])
def test_a_number_of_folds_that_files_do_not_allow_is_refused(num_folds: int) -> None:
    with pytest.raises(ConfigError, match=f"folds is {num_folds}, expected 2 to 4 "):
        assign_folds(np.ones((5, 1), bool), ["a", "b", "c", "d", "d"], num_folds, 0)
