"""Trains a member of the FSD-SINet family on rendered log-mels.

Usage: python -m training.train NAME [--short] [--sounds FOLDER] [--output FOLDER]

NAME is one of MODELS. Run this in the training environment (TensorFlow), after
`training.render`. It prints its progress and writes build/training/<NAME>/<NAME>.pb
with its metadata. It saves a checkpoint every few minutes; a later run continues from
the last checkpoint. FOLDER replaces build/training.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from training.graphs.export import label_indices, to_sinet_weights, write_model
from training.graphs.sinet_graph import NUM_MELS, PATCH_FRAMES, Pooling
from training.network.batches import (
    Batch,
    Sounds,
    draw_batch,
    read_sounds,
    whole_patches,
)
from training.network.calibrate import lowered_bias, surely_false
from training.network.model import build_network
from training.network.start import set_to_graph
from transforms.models.registry import published_labels

FOLDER = pathlib.Path("build/training")
_BATCHES_AHEAD = 4


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How a model is trained.

    Attributes:
        width: Factor for the numbers of channels; 1 is VGG41.
        pooling: Subsampling method.
        num_steps: Number of batches. The length is a number of steps and not a time,
            so that two trainings with the same seed give the same weights.
        batch_size: Patches in a batch.
        learning_rate: Highest learning rate of Adam. The rate rises in the first 6 % of
            the steps and falls to 0 along a cosine.
        short_part: Fraction of the steps, at the beginning, that use patches of half
            the length. The network accepts any length and learns nearly twice as fast
            from short patches.
        seed: Seed of weights and batches.
        checkpoint_steps: Steps between checkpoints.
        splits: Splits of `training.render` to train on.
        calibration: Splits whose sounds calibrate the biases.
        quiet_part: Fraction of the calibration patches that must score below 0.5 for a
            label that they do not have, for each label.
        silent_part: Fraction of the calibration patches that must score below 0.5 for
            all labels that they do not have.
        starts_from: Name of the model whose weights the training starts from, or None
            for random weights. If it is given, the statistics of batch normalisation
            are not updated.
        frozen: Prefixes of the names of layers that are not trained.
    """

    width: float
    pooling: Pooling
    num_steps: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    short_part: float = 0.75
    seed: int = 0
    checkpoint_steps: int = 200
    splits: tuple[str, ...] = ("trained",)
    calibration: tuple[str, ...] = ("calibration",)
    quiet_part: float = 0.99
    silent_part: float = 0.995
    starts_from: str | None = None
    frozen: tuple[str, ...] = ()


_FIRST_PHASES = {
    "fsd-sinet-vgg41-tlpf-first": TrainingPlan(1, "tlpf", 9500),
    "fsd-sinet-vgg41-half-tlpf_aps-first": TrainingPlan(0.5, "tlpf_aps", 6000),
}


def _second_phase(first: str, num_steps: int, silent_part: float) -> TrainingPlan:
    return dataclasses.replace(
        _FIRST_PHASES[first],
        num_steps=num_steps,
        learning_rate=8e-4,
        seed=1,
        splits=("trained", "added"),
        calibration=("calibration", "added_calibration"),
        quiet_part=0.998,
        silent_part=silent_part,
        starts_from=first,
        frozen=("conv0", "block1"),
    )


MODELS = _FIRST_PHASES | {
    # With 0.995 a held-out recording of an owl scores 0.53 for "Human voice".
    "fsd-sinet-vgg41-tlpf-demo": _second_phase(
        "fsd-sinet-vgg41-tlpf-first", 3200, silent_part=0.998
    ),
    "fsd-sinet-vgg41-half-tlpf_aps-demo": _second_phase(
        "fsd-sinet-vgg41-half-tlpf_aps-first", 2000, silent_part=0.995
    ),
}


def graph_of(name: str, output: pathlib.Path) -> pathlib.Path:
    """Path of a model's graph in a folder of models."""
    return output / name / f"{name}.pb"


def shortened(plan: TrainingPlan) -> TrainingPlan:
    """A plan for tests: a quarter of the width, trained in seconds."""
    return dataclasses.replace(
        plan, width=plan.width / 4, num_steps=12, batch_size=8, checkpoint_steps=4
    )


class Training:
    """A model in training: network, optimiser and number of finished steps."""

    def __init__(
        self, plan: TrainingPlan, sounds: Sounds, folder: pathlib.Path
    ) -> None:
        keras.utils.set_random_seed(plan.seed)
        self.plan, self.sounds = plan, sounds
        self.network = build_network(
            plan.width,
            plan.pooling,
            len(sounds.labels),
            seed=plan.seed,
            patch_frames=None,
            taps_start="binomial",
        )
        if plan.starts_from:
            graph = graph_of(plan.starts_from, folder.parent)
            set_to_graph(self.network, graph, label_indices(sounds.labels))
        self._trained = [
            variable
            for layer in self.network.layers
            if not layer.name.startswith(plan.frozen)
            for variable in layer.trainable_variables
        ]
        self._optimiser = keras.optimizers.Adam(plan.learning_rate, clipnorm=1.0)
        self._optimiser.build(self._trained)
        self._step = tf.Variable(0, dtype=tf.int64)
        checkpoint = tf.train.Checkpoint(
            network=self.network, optimiser=self._optimiser, step=self._step
        )
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(folder / "checkpoints"), max_to_keep=2
        )
        self._manager.restore_or_initialize()

    @property
    def step(self) -> int:
        """Number of batches trained on so far."""
        return int(self._step.numpy())

    def run(self) -> Iterator[float]:
        """Trains to the last step and yields the loss of every batch."""
        self._trace_first_step()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for batch in self._batches(pool):
                rate = learning_rate(self.plan, self.step)
                self._optimiser.learning_rate.assign(rate)
                loss = float(self._train(batch.patches, batch.targets, batch.known))
                self._step.assign_add(1)
                at_end = self.step == self.plan.num_steps
                if at_end or self.step % self.plan.checkpoint_steps == 0:
                    self._manager.save()
                yield loss

    def _batches(self, pool: concurrent.futures.Executor) -> Iterator[Batch]:
        """Remaining batches, drawn in another thread while the network is trained."""
        ahead: collections.deque[concurrent.futures.Future[Batch]] = collections.deque()
        for index in range(self.step, self.plan.num_steps):
            ahead.append(
                pool.submit(
                    draw_batch,
                    self.sounds,
                    self.plan.batch_size,
                    self.plan.seed,
                    index,
                    num_frames(self.plan, index),
                )
            )
            if len(ahead) > _BATCHES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def _trace_first_step(self) -> None:
        """Traces the training function for the first step, even if that step is done.

        For a second patch length TensorFlow makes a graph for any length. Its results
        differ in the last bits from those of a graph for one length, so a continued
        training must trace the same graphs in the same order.
        """
        size, num_labels = self.plan.batch_size, len(self.sounds.labels)
        patches = (size, num_frames(self.plan, 0), NUM_MELS, 1)
        shapes = (patches, (size, num_labels), (size, num_labels))
        self._train.get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes))

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def _train(self, patches: tf.Tensor, targets: tf.Tensor, known: tf.Tensor):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            is_first = self.plan.starts_from is None
            logits, _ = self.network(patches, training=is_first)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(tf.reduce_sum(losses * known, axis=1))
        gradients = tape.gradient(loss, self._trained)
        self._optimiser.apply_gradients(zip(gradients, self._trained, strict=True))
        return loss


def learning_rate(plan: TrainingPlan, step: int) -> float:
    """Learning rate of a step: warm-up, then a cosine to 0."""
    position = step / plan.num_steps
    warm_up = min(1.0, position / 0.06 + 0.02)
    return plan.learning_rate * warm_up * (0.5 + 0.5 * math.cos(math.pi * position))


def num_frames(plan: TrainingPlan, step: int) -> int:
    """Frames of the patches of a step."""
    is_short = step < plan.short_part * plan.num_steps
    return (PATCH_FRAMES + 1) // 2 if is_short else PATCH_FRAMES


def calibrate(
    network: keras.Model, labels: Sequence[str], kept: Sounds, plan: TrainingPlan
) -> None:
    """Lowers the biases of a trained network (see `training.network.calibrate`)."""
    logits, is_false = [], []
    for recipe, patches in whole_patches(kept):
        logits.append(network(patches[..., np.newaxis], training=False)[0].numpy())
        is_false += [surely_false(recipe, labels)] * len(patches)
    bias = network.get_layer("predictions").bias
    lowered = lowered_bias(
        bias.numpy(),
        np.concatenate(logits),
        np.stack(is_false),
        plan.quiet_part,
        plan.silent_part,
    )
    bias.assign(lowered)


def train(
    name: str,
    plan: TrainingPlan,
    sounds: Sounds,
    calibration: Sounds,
    folder: pathlib.Path,
) -> None:
    """Trains a model, from its last checkpoint if it has one, and writes it.

    Args:
        name: Name of the model.
        plan: Training plan.
        sounds: Sounds to train on.
        calibration: Sounds that calibrate the biases.
        folder: Folder for checkpoints and the model.
    """
    training = Training(plan, sounds, folder)
    first, started = training.step, time.monotonic()
    losses: collections.deque[float] = collections.deque(maxlen=100)
    for loss in training.run():
        losses.append(loss)
        step = training.step
        if step % 50 == 0 or step == plan.num_steps:
            rate = (step - first) / (time.monotonic() - started)
            left_min = (plan.num_steps - step) / rate / 60
            print(
                f"step {step:,} of {plan.num_steps:,}, loss {np.mean(losses):.3f}, "
                f"{rate * plan.batch_size:.0f} patches/s, {left_min:.0f} min left",
                flush=True,
            )
    calibrate(training.network, sounds.labels, calibration, plan)
    weights = to_sinet_weights(training.network, label_indices(sounds.labels))
    facts = demo_facts(sounds.labels, plan.splits, sounds.hours)
    write_model(folder / f"{name}.pb", weights, plan.pooling, facts)
    print(folder / f"{name}.pb")


def demo_facts(
    trained_labels: Sequence[str], splits: Sequence[str], hours: tuple[float, float]
) -> dict[str, Any]:
    """Metadata of a demo model, for `training.graphs.export.write_metadata`.

    Args:
        trained_labels: Labels that the model knows.
        splits: Splits of `training.render` that the model was trained on.
        hours: Hours of clips, and hours of log-mels computed from the clips.
    """
    clips_h, mels_h = hours
    return {
        "version": "1",
        "description": "DEMO model: an FSD-SINet architecture trained on rendered "
        "instruments, drums, effects and synthetic speech. It has never seen FSD50K, "
        "knows only the trained_classes, and is no substitute for a published model.",
        "author": "The fsd-sinet-beam authors",
        "framework_version": "written for 2.5",
        "dataset": {
            "name": "rendered by this project (training/), see the model card",
            "size": f"about {mels_h:.0f} hours of log-mels from {clips_h:.0f} hours of "
            "clips",
            "splits": list(splits),
        },
        "license": "AGPL-3.0-or-later",
        "citation": "Architecture: E. Fonseca, A. Ferraro and X. Serra, Improving "
        "Sound Event Classification by Increasing Shift Invariance in Convolutional "
        "Neural Networks, arXiv 2107.00623",
        "classes": list(published_labels()),
        "trained_classes": list(trained_labels),
    }


def train_model(
    name: str, sounds: pathlib.Path, output: pathlib.Path, *, is_short: bool
) -> None:
    """Trains a model of MODELS. If it starts from a missing model, trains that first.

    Args:
        name: Name of the model.
        sounds: Folder that `training.render` wrote, with one subfolder per split.
        output: Folder for models, with one subfolder per model.
        is_short: Whether to use the short plan for tests.
    """
    plan = shortened(MODELS[name]) if is_short else MODELS[name]
    first = plan.starts_from
    if first and not graph_of(first, output).exists():
        train_model(first, sounds, output, is_short=is_short)
    train(
        name,
        plan,
        read_sounds([sounds / split for split in plan.splits]),
        read_sounds([sounds / split for split in plan.calibration]),
        output / name,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(MODELS))
    parser.add_argument(
        "--short", action="store_true", help="for tests: a training of seconds"
    )
    parser.add_argument("--sounds", type=pathlib.Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER, metavar="FOLDER")
    options = parser.parse_args()
    tf.config.experimental.enable_op_determinism()
    train_model(options.name, options.sounds, options.output, is_short=options.short)


if __name__ == "__main__":
    main()
