"""Changes of embeddings are right for embeddings whose changes are known."""

import numpy as np
import pytest

from training.network.shift_invariance import (
    Axis,
    embedding_changes,
    embedding_changes_in_clip,
)


def first_frame(patches: np.ndarray) -> np.ndarray:
    return patches[:, 0]


def total(patches: np.ndarray) -> np.ndarray:
    return patches.sum(axis=(1, 2))[:, np.newaxis]


@pytest.mark.parametrize("axis", ["time", "frequency"])
def test_circular_shifts_do_not_change_an_invariant_embedding(axis: Axis) -> None:
    patches = np.arange(1.0, 61).reshape(2, 5, 6)
    changes = embedding_changes(total, patches, [1, 2, -3], axis)
    np.testing.assert_array_equal(changes, np.zeros((2, 3)))


def test_circular_shifts_follow_the_formula() -> None:
    patches = np.array([[[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]]])
    in_time = embedding_changes(first_frame, patches, [0, 1, 2, 3], "time")
    np.testing.assert_allclose(in_time, [[0, 1, 1, 0]])
    in_frequency = embedding_changes(first_frame, patches, [1], "frequency")
    np.testing.assert_allclose(in_frequency, [[np.sqrt(2) / 5]])


def test_embedding_of_zeros_is_unchanged_or_infinitely_changed() -> None:
    patches = np.array([[[0.0], [1.0], [0.0]]])
    changes = embedding_changes(first_frame, patches, [1, 2], "time")
    np.testing.assert_array_equal(changes, [[0, np.inf]])


def test_real_shifts_compare_patches_of_a_clip() -> None:
    log_mel = np.arange(1.0, 11)[:, np.newaxis]
    changes = embedding_changes_in_clip(
        first_frame, log_mel, [1, 3], patch_frames=4, hop_frames=2
    )
    # The largest shift fits at t = 0 and t = 2, where the first frame is 1 and 3.
    np.testing.assert_allclose(changes, [[1.0, 3.0], [1 / 3, 1.0]])


def test_clip_that_is_too_short_has_no_changes() -> None:
    log_mel = np.ones((103, 96))
    assert embedding_changes_in_clip(total, log_mel, [1, 2]).shape == (1, 2)
    assert embedding_changes_in_clip(total, log_mel, [1, 3]).shape == (0, 2)


def test_negative_real_shift_is_refused() -> None:
    with pytest.raises(ValueError, match="expected none below 0"):
        embedding_changes_in_clip(total, np.ones((200, 96)), [1, -1])
