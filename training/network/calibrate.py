"""Lowers the biases of a trained network, so that unknown sounds get no labels.

A network is trained on few kinds of sounds and gives their labels to unknown sounds.
Calibration uses sounds that are not trained on. First, the bias of each label is
lowered until nearly all patches that do not have the label score below 0.5 for it. Then
the biases of all labels are lowered by one amount, until nearly all patches have no
wrong label above 0.5. The second step is needed because, of many labels that are each
seldom wrong, at least one is often wrong. Calibration hardly changes the order of clips
by the score of a label.
"""

from collections.abc import Sequence

import numpy as np

from training.recipes.recipe import Recipe

Array = np.ndarray

# Limit of each of the two steps, so that sounds that have a label can still reach 0.5.
MOST_LOWERED = 4.0


def lowered_bias(
    bias: Array,
    logits: Array,
    is_false: Array,
    quiet_part: float,
    silent_part: float,
) -> Array:
    """The bias of a dense layer after calibration.

    Args:
        bias: [num_labels].
        logits: [num_patches, num_labels].
        is_false: bool [num_patches, num_labels], whether a label is surely false. A
            label that may be true for all patches is lowered in the second step only.
        quiet_part: Fraction of the patches without a label that must score below 0.5
            for this label.
        silent_part: Fraction of all patches that must score below 0.5 for every label
            that they do not have.

    Returns:
        [num_labels], nowhere above `bias`. Each step lowers a bias by at most
        MOST_LOWERED.
    """
    masked = np.where(is_false, logits, np.nan)
    is_known = is_false.any(axis=0)
    alone = np.zeros_like(bias)
    alone[is_known] = np.nanquantile(masked[:, is_known], quiet_part, axis=0)
    lowered = bias - np.clip(alone, 0, MOST_LOWERED)
    highest = np.nanmax(masked + lowered - bias, axis=1)
    return lowered - np.clip(np.quantile(highest, silent_part), 0, MOST_LOWERED)


def surely_false(recipe: Recipe, labels: Sequence[str]) -> Array:
    """Whether each label is surely false for a recipe's sounds: bool [num_labels]."""
    possible = {*recipe.all_labels, *recipe.unknown}
    return np.array([label not in possible for label in labels])
