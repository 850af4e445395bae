"""Biases are lowered until sounds without a label are below 0.5, and no further."""

import numpy as np

from training.network.calibrate import MOST_LOWERED, lowered_bias, surely_false
from training.recipes.recipe import recorded

BIAS = np.array([-1.0, 0.5, 2.0], np.float32)
# With a `silent_part` of 0 the second step of the calibration changes nothing.
ANY = 0.0


def test_the_highest_false_score_is_lowered_to_a_half() -> None:
    logits = np.array([[-2.0, 1.0, 3.0], [-3.0, 2.0, 0.0]])
    is_false = np.ones_like(logits, bool)
    lowered = BIAS - lowered_bias(BIAS, logits, is_false, 1.0, ANY)
    # A label that is below 0.5 already is not lowered.
    np.testing.assert_allclose(lowered, [0, 2, 3])


def test_patches_that_may_have_a_label_do_not_count_for_it() -> None:
    logits = np.array([[1.0, 3.0, 1.0], [2.0, 1.0, 3.5]])
    is_false = np.array([[True, False, True], [True, True, False]])
    lowered = BIAS - lowered_bias(BIAS, logits, is_false, 1.0, ANY)
    np.testing.assert_allclose(lowered, [2, 1, 1])


def test_a_few_patches_may_stay_over_a_half() -> None:
    logits = np.tile(np.arange(101.0)[:, np.newaxis] / 50, 3)
    is_false = np.ones_like(logits, bool)
    lowered = BIAS - lowered_bias(BIAS, logits, is_false, 0.9, ANY)
    np.testing.assert_allclose(lowered, 1.8)


def test_no_label_is_silenced() -> None:
    logits = np.full((4, 3), 50.0)
    lowered = BIAS - lowered_bias(BIAS, logits, np.ones_like(logits, bool), 1.0, 1.0)
    np.testing.assert_allclose(lowered, 2 * MOST_LOWERED)


def test_labels_that_are_seldom_wrong_one_by_one_are_lowered_together() -> None:
    # Each label is wrong for one patch of ten, and any label for three of ten.
    logits = np.full((10, 3), -5.0)
    logits[[0, 1, 2], [0, 1, 2]] = [1, 2, 3]
    is_false = np.ones_like(logits, bool)
    alone = lowered_bias(BIAS, logits, is_false, 0.85, ANY)
    np.testing.assert_allclose(alone, BIAS)
    together = lowered_bias(BIAS, logits, is_false, 0.85, 0.9)
    is_wrong = (logits + together - BIAS > 0).any(axis=1)
    assert is_wrong.sum() == 1
    assert np.ptp(BIAS - together) < 1e-6


def test_a_label_that_may_be_true_does_not_lower_the_others() -> None:
    logits = np.array([[9.0, -1.0, -2.0]] * 4)
    is_false = np.array([[False, True, True]] * 4)
    is_false[0, 0] = True
    logits[0] = -1.0
    np.testing.assert_allclose(lowered_bias(BIAS, logits, is_false, 1.0, 1.0), BIAS)


def test_a_label_that_may_always_be_true_is_lowered_with_the_others_only() -> None:
    logits = np.array([[9.0, 1.0, 2.0], [9.0, 3.0, -1.0]])
    is_false = np.array([[False, True, True]] * 2)
    lowered = BIAS - lowered_bias(BIAS, logits, is_false, 1.0, 1.0)
    np.testing.assert_allclose(lowered, [0, 3, 2])
    # The third label is wrong for one of two patches, so that only the second step
    # lowers the biases.
    is_false[:, 1] = False
    lowered = BIAS - lowered_bias(BIAS, logits - [0, 0, 1], is_false, 0.5, 1.0)
    np.testing.assert_allclose(lowered, [1, 1, 1])


def test_true_and_unknown_labels_and_their_parents_are_not_false() -> None:
    recipe = recorded("x", "Snare drum", unknown=("Bark",))
    labels = ("Snare drum", "Percussion", "Bark", "Animal", "Speech")
    assert surely_false(recipe, labels).tolist() == [False] * 4 + [True]
