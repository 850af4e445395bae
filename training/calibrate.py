"""Lowers the answers of a trained network to sounds that it knows nothing of.

A network has heard few of all sounds, and takes unknown ones for what it knows. Here
the bias of each label is lowered until all but a few patches of sounds that were kept
for this stay below a score of 0.5. The order of clips within a label hardly changes.
"""

import numpy as np

Array = np.ndarray

# No label is made so timid that its own sounds cannot reach 0.5.
MOST_LOWERED = 4.0


def lowered_bias(bias: Array, unknown_logits: Array, quiet_part: float) -> Array:
    """The bias of a dense layer after calibration.

    Args:
        bias: [num_labels].
        unknown_logits: [num_patches, num_labels], of patches to which no label applies.
        quiet_part: Part of these patches that are to stay below 0.5.

    Returns:
        [num_labels], nowhere above `bias` nor more than MOST_LOWERED below it.
    """
    highest = np.quantile(unknown_logits, quiet_part, axis=0)
    return bias - np.clip(highest, 0, MOST_LOWERED)
