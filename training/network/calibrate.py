"""Lowers the answers of a trained network to sounds that it knows nothing of.

A network has heard few of all sounds, and takes unknown ones for what it knows. Here
the bias of each label is lowered until all but a few patches of sounds that were kept
for this, and do not have it, stay below a score of 0.5; then all of them by the same
amount, until all but a few patches have no such label at all: of many labels that are
seldom wrong, some is often. The order of clips within a label hardly changes.
"""

from collections.abc import Sequence

import numpy as np

from training.recipes.recipe import Recipe

Array = np.ndarray

# No label is made so timid that its own sounds cannot reach 0.5.
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
        is_false: bool [num_patches, num_labels], whether a label surely does not apply;
            one that may apply to all patches is lowered only with the others.
        quiet_part: Part of the patches without a label that are to stay below 0.5
            for it.
        silent_part: Part of all patches that are to stay below 0.5 for every label
            that they do not have.

    Returns:
        [num_labels], nowhere above `bias`. MOST_LOWERED limits how far a label is
        lowered by itself, and how far all are.
    """
    masked = np.where(is_false, logits, np.nan)
    is_known = is_false.any(axis=0)
    alone = np.zeros_like(bias)
    alone[is_known] = np.nanquantile(masked[:, is_known], quiet_part, axis=0)
    lowered = bias - np.clip(alone, 0, MOST_LOWERED)
    highest = np.nanmax(masked + lowered - bias, axis=1)
    return lowered - np.clip(np.quantile(highest, silent_part), 0, MOST_LOWERED)


def surely_false(recipe: Recipe, labels: Sequence[str]) -> Array:
    """Which labels a sound does not have: bool [num_labels]."""
    possible = {*recipe.all_labels, *recipe.unknown}
    return np.array([label not in possible for label in labels])
