"""Measures how much an embedding changes when the input is shifted by a few frames.

The change of an embedding e(x) by a shift of x is

    || e(shifted x) - e(x) || / || e(x) ||        (Euclidean norms)

It is 0 for a shift-invariant model. Fonseca, Ferraro and Serra (arXiv 2107.00623)
measure how often the top label stays the same (classification consistency, after Zhang,
arXiv 1904.11486). Here the same is measured on embeddings, without a threshold.

As a program, this module prints the changes as a markdown table, for networks with
random weights and circular padding (no borders), one per pooling. It runs in the
training environment. `fsdsinet shift-test` measures graphs on real clips.

python -m training.network.shift_invariance
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.graphs.sinet_graph import NUM_MELS, Pooling
from training.network.synthetic_mels import synthetic_log_mels

FloatArray = npt.NDArray[np.floating]
Embed = Callable[[FloatArray], FloatArray]
Axis = Literal["time", "frequency"]
_AXES: dict[Axis, int] = {"time": 1, "frequency": 2}
POOLINGS: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")
TIME_SHIFTS, FREQUENCY_SHIFTS = range(1, 8), range(1, 4)


def embedding_changes(
    embed: Embed, patches: FloatArray, shifts: Sequence[int], axis: Axis
) -> FloatArray:
    """Changes by circular shifts: what leaves a patch at its end enters at its start.

    Args:
        embed: Function from patches to embeddings [num_patches, embedding_size].
        patches: [num_patches, frames, bands].
        shifts: Shifts in frames or bands, of either sign.
        axis: Axis along which the patches are shifted.

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

    Real sounds are not circular: the frames that enter at one end are not those that
    leave at the other.

    Args:
        embed: Function from patches [num_patches, patch_frames, bands] to embeddings.
        log_mel: [num_frames, bands] of one clip.
        shifts: Shifts in frames, not negative.
        patch_frames: Frames of a patch.
        hop_frames: Frames from one t to the next.

    Returns:
        float64 [num_patches, num_shifts], one row for every t at which the largest
        shift fits; empty if there is no such t.

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
    """The change of every row; from an embedding of zeros it is 0 or infinite."""
    change = np.linalg.norm(after.astype(np.float64) - before, axis=1)
    size = np.linalg.norm(before.astype(np.float64), axis=1)
    otherwise = np.where(change > 0, np.inf, 0.0)
    return np.divide(change, size, out=otherwise, where=size > 0)


def circular_changes(
    width: float, pooling: Pooling, shifts: Sequence[int], axis: Axis
) -> np.ndarray:
    """Changes [num_patches, num_shifts] of a random network with circular padding.

    Patches have as many frames as bands, 96, because three subsamplings divide 96
    without a remainder. Batch normalisation uses the statistics of the patches, as in a
    trained network: otherwise the part that all embeddings share hides the changes.
    """
    # Imported here, because the main environment does not have Keras.
    from training.network.model import build_network

    model = build_network(
        width, pooling, padding="circular", patch_frames=NUM_MELS, momentum=0
    )
    patches = synthetic_log_mels(4, NUM_MELS, seed=0)
    model(patches[..., np.newaxis], training=True)

    def embed(x: np.ndarray) -> np.ndarray:
        return model(x[..., np.newaxis])[1].numpy()

    return embedding_changes(embed, patches, shifts, axis)


def _row(name: str, changes: np.ndarray) -> str:
    """A row of the table: the mean change for each shift."""
    cells = [f"{change:.2g}" for change in changes.mean(axis=0)]
    return "| " + " | ".join([name, *cells]) + " |"


def _header(shifts: Sequence[str]) -> str:
    return f"| | {' | '.join(shifts)} |\n|---|{'---|' * len(shifts)}"


def main() -> None:
    frames = [f"time {shift}" for shift in TIME_SHIFTS]
    bands = [f"frequency {shift}" for shift in FREQUENCY_SHIFTS]
    print(_header([*frames, *bands]))
    for pooling in POOLINGS:
        in_time = circular_changes(1, pooling, TIME_SHIFTS, "time")
        in_frequency = circular_changes(1, pooling, FREQUENCY_SHIFTS, "frequency")
        print(_row(pooling, np.concatenate([in_time, in_frequency], axis=1)))


if __name__ == "__main__":
    main()
