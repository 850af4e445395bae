"""Prints how much embeddings change with shifts of the input, as a markdown table.

Without arguments: of the four poolings, with random weights and circular padding, where
there are no borders. Needs the environment that trains. Usage:
python -m training.shift_table

With graphs and sounds: as patches of real clips, through Essentia. Needs the main
environment. MELS.npz has arrays of log-mel [num_frames, 96], one a clip. Usage:
python -m training.shift_table --mels MELS.npz MODEL.pb...
"""

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from training.graphs.sinet_graph import NUM_MELS, Pooling
from training.network.synthetic_mels import synthetic_log_mels
from training.shift_invariance import (
    Axis,
    embedding_changes,
    embedding_changes_in_clip,
)

POOLINGS: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")
TIME_SHIFTS, FREQUENCY_SHIFTS = range(1, 8), range(1, 4)


def circular_changes(
    width: float, pooling: Pooling, shifts: Sequence[int], axis: Axis
) -> np.ndarray:
    """Changes [num_patches, num_shifts] of a random network with circular padding.

    With as many frames as bands, 96, which three sub-samplings divide without rest, and
    batch normalisation by the statistics of the patches, as in a trained network:
    otherwise what all embeddings have in common hides how they change.
    """
    # Here, because the other use of this module runs where it is not installed.
    from training.network.model import build_network

    model = build_network(
        width, pooling, padding="circular", patch_frames=NUM_MELS, momentum=0
    )
    patches = synthetic_log_mels(4, NUM_MELS, seed=0)
    model(patches[..., np.newaxis], training=True)

    def embed(x: np.ndarray) -> np.ndarray:
        return model(x[..., np.newaxis])[1].numpy()

    return embedding_changes(embed, patches, shifts, axis)


def changes_in_clips(model: str, log_mels: Sequence[np.ndarray]) -> np.ndarray:
    """Changes [num_patches, num_shifts] of a graph's embeddings by shifts in time."""
    # Here, because Essentia's TensorFlow and the one that trains exclude each other.
    from transforms.engines.essentia import EssentiaEngine
    from transforms.models.loading import load_model

    engine = EssentiaEngine(load_model(model))
    return np.concatenate(
        [
            embedding_changes_in_clip(
                lambda x: engine.run(x).embeddings, log_mel, TIME_SHIFTS
            )
            for log_mel in log_mels
        ]
    )


def row(name: str, changes: np.ndarray) -> str:
    """Mean change for each shift."""
    cells = [f"{change:.2g}" for change in changes.mean(axis=0)]
    return "| " + " | ".join([name, *cells]) + " |"


def header(shifts: Sequence[str]) -> str:
    return f"| | {' | '.join(shifts)} |\n|---|{'---|' * len(shifts)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL.pb")
    parser.add_argument("--mels", metavar="MELS.npz")
    arguments = parser.parse_args()
    if bool(arguments.models) != bool(arguments.mels):
        parser.error("graphs need --mels, and --mels needs graphs")
    time = [f"time {shift}" for shift in TIME_SHIFTS]
    if arguments.models:
        print(header(time))
        log_mels = list(np.load(arguments.mels).values())
        for model in arguments.models:
            print(row(pathlib.Path(model).stem, changes_in_clips(model, log_mels)))
        return
    print(header([*time, *(f"frequency {shift}" for shift in FREQUENCY_SHIFTS)]))
    for pooling in POOLINGS:
        in_time = circular_changes(1, pooling, TIME_SHIFTS, "time")
        in_frequency = circular_changes(1, pooling, FREQUENCY_SHIFTS, "frequency")
        print(row(pooling, np.concatenate([in_time, in_frequency], axis=1)))


if __name__ == "__main__":
    main()
