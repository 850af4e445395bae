"""How much a model's embedding changes when its input is shifted by a few frames.

The change of an embedding e(x) by a shift of x is

    || e(shifted x) - e(x) || / || e(x) ||        (Euclidean norms)

0 for a shift-invariant model. Fonseca, Ferraro and Serra (arXiv 2107.00623) ask how
often the top label stays the same (classification consistency, after Zhang, arXiv
1904.11486); this is the same question to the embeddings, without a threshold.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
Embed = Callable[[FloatArray], FloatArray]
Axis = Literal["time", "frequency"]
_AXES: dict[Axis, int] = {"time": 1, "frequency": 2}


def embedding_changes(
    embed: Embed, patches: FloatArray, shifts: Sequence[int], axis: Axis
) -> FloatArray:
    """Changes by circular shifts: what leaves a patch at its end enters at its start.

    Args:
        embed: From patches to embeddings [num_patches, embedding_size].
        patches: [num_patches, frames, bands].
        shifts: In frames or bands, of either sign.

    Returns:
        float64 [num_patches, num_shifts].
    """
    before = embed(patches)
    changes = [
        _relative_change(before, embed(np.roll(patches, shift, _AXES[axis])))
        for shift in shifts
    ]
    return np.stack(changes, axis=1)


def embedding_changes_in_clip(
    embed: Embed,
    log_mel: FloatArray,
    shifts: Sequence[int],
    patch_frames: int = 101,
    hop_frames: int = 50,
) -> FloatArray:
    """Changes by real shifts in time: patches that start at frame t and at t + shift.

    Real sounds are not circular: other frames enter at one end than leave at the other.

    Args:
        embed: From patches [num_patches, patch_frames, bands] to embeddings.
        log_mel: [num_frames, bands] of one clip.
        shifts: In frames, not negative.
        hop_frames: From one t to the next.

    Returns:
        float64 [num_patches, num_shifts], for all t at which the largest shift fits;
        empty if there is none.

    Raises:
        ValueError: if a shift is negative.
    """
    if min(shifts) < 0:
        raise ValueError(f"got shifts {list(shifts)}, expected none below 0")
    starts = range(0, len(log_mel) - patch_frames - max(shifts) + 1, hop_frames)
    if not starts:
        return np.empty((0, len(shifts)))

    def embed_from(shift: int) -> FloatArray:
        cuts = [log_mel[t + shift : t + shift + patch_frames] for t in starts]
        return embed(np.stack(cuts))

    before = embed_from(0)
    changes = [_relative_change(before, embed_from(shift)) for shift in shifts]
    return np.stack(changes, axis=1)


def _relative_change(before: FloatArray, after: FloatArray) -> FloatArray:
    """Of every row. An embedding of zeros changes by 0 if it stays so, else by inf."""
    change = np.linalg.norm(after.astype(np.float64) - before, axis=1)
    size = np.linalg.norm(before.astype(np.float64), axis=1)
    otherwise = np.where(change > 0, np.inf, 0.0)
    return np.divide(change, size, out=otherwise, where=size > 0)
