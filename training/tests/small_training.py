"""A training of seconds, for tests.

Usage: python -m training.tests.small_training FOLDER
As a program, it trains in FOLDER, prints a line after the second checkpoint and then
waits until it is killed.
"""

import argparse
import pathlib
import sys

import numpy as np
import tensorflow as tf

from training.network.batches import Sounds, read_sounds
from training.network.synthetic_mels import synthetic_log_mels
from training.train import TrainingPlan, train

NAME = "small"
# Four steps with short patches, then four with whole patches.
PLAN = TrainingPlan(
    0.125, "tlpf_aps", 8, batch_size=4, short_part=0.5, seed=5, checkpoint_steps=2
)
SAVED = "saved twice"


def small_sounds(folder: pathlib.Path) -> tuple[Sounds, Sounds]:
    """Writes log-mels like `training.render` and reads them back.

    Returns:
        Sounds to train on, and sounds for calibration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("piano-fluid", "snare_drum-fluid", "hum-other")):
        _write(folder / f"{name}.npz", seed)
    calibration = folder / "calibration"
    calibration.mkdir(exist_ok=True)
    _write(calibration / "recorded_strange-other.npz", 3)
    return read_sounds([folder]), read_sounds([calibration])


def _write(path: pathlib.Path, seed: int) -> None:
    mels = synthetic_log_mels(4, 120, seed).reshape(2, 2, 120, 96)
    np.savez(path, mels=mels.astype(np.float16))


def _wait_after_second_save() -> None:
    save = tf.train.CheckpointManager.save
    count = 0

    def save_and_wait(manager: tf.train.CheckpointManager) -> str:
        nonlocal count
        path: str = save(manager)
        count += 1
        if count == 2:
            print(SAVED, flush=True)
            sys.stdin.read()
        return path

    tf.train.CheckpointManager.save = save_and_wait


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    tf.config.experimental.enable_op_determinism()
    _wait_after_second_save()
    train(NAME, PLAN, *small_sounds(folder / "mels"), folder)


if __name__ == "__main__":
    main()
