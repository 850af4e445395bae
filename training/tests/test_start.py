"""A training can start from the weights of a graph."""

import dataclasses
import pathlib

import numpy as np
import pytest

from training.graphs.export import label_indices, to_sinet_weights, write_model
from training.graphs.sinet_graph import PATCH_FRAMES, Pooling
from training.network.batches import Sounds
from training.network.model import build_network
from training.network.start import set_to_graph
from training.network.synthetic_mels import synthetic_log_mels
from training.tests.small_training import NAME, PLAN, small_sounds
from training.train import Training, demo_facts, graph_of, train

FROZEN = ("conv0", "block1")
FURTHER = dataclasses.replace(
    PLAN, seed=7, learning_rate=1e-3, starts_from=NAME, frozen=FROZEN
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sounds, Sounds]:
    return small_sounds(tmp_path_factory.mktemp("mels"))


@pytest.fixture(scope="module")
def models(
    sounds: tuple[Sounds, Sounds], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A folder of models with the model of a first phase."""
    folder = tmp_path_factory.mktemp("models")
    train(NAME, PLAN, *sounds, folder / NAME)
    return folder


@pytest.mark.parametrize("pooling", ["max", "tlpf", "aps", "tlpf_aps"])
def test_a_network_set_to_a_graph_gives_the_outputs_of_the_exported_network(
    pooling: Pooling, tmp_path: pathlib.Path
) -> None:
    labels = ("Piano", "Bark", "Wind")
    first, second = (
        build_network(0.25, pooling, len(labels), seed=seed) for seed in (1, 2)
    )
    rng = np.random.default_rng(0)
    for layer in first.layers:
        for weight in layer.weights:
            # Also change the statistics of normalisation, which initially do nothing.
            scale = rng.uniform(0.7, 1.3, weight.shape)
            weight.assign(weight.numpy() * scale + 0.01 * (rng.random() - 0.5))
    path = tmp_path / "model.pb"
    indices = label_indices(labels)
    facts = demo_facts(labels, ("trained",), (0, 0))
    write_model(path, to_sinet_weights(first, indices), pooling, facts)
    patches = synthetic_log_mels(3, PATCH_FRAMES, seed=0)[..., np.newaxis]
    written = first(patches, training=False)[0].numpy()
    assert np.abs(second(patches, training=False)[0].numpy() - written).max() > 0.1
    set_to_graph(second, path, indices)
    read = second(patches, training=False)[0].numpy()
    np.testing.assert_allclose(read, written, rtol=0, atol=1e-4)


def test_a_graph_of_another_width_is_refused(models: pathlib.Path) -> None:
    network = build_network(0.25, "tlpf_aps", 3)
    with pytest.raises(ValueError, match="got model/conv0/kernel of .*, expected "):
        set_to_graph(network, graph_of(NAME, models), [0, 1, 2])


def test_frozen_layers_are_not_trained(
    sounds: tuple[Sounds, Sounds], models: pathlib.Path
) -> None:
    training = Training(FURTHER, sounds[0], models / "further")
    start = {v.path: v.numpy() for v in training.network.trainable_variables}
    losses = list(training.run())
    assert len(losses) == FURTHER.num_steps and np.isfinite(losses).all()
    for variable in training.network.trainable_variables:
        is_same = np.array_equal(variable.numpy(), start[variable.path])
        assert is_same == variable.path.startswith(FROZEN), variable.path


def test_a_stopped_training_continues_from_its_checkpoint_and_not_from_the_graph(
    sounds: tuple[Sounds, Sounds], models: pathlib.Path
) -> None:
    whole = Training(FURTHER, sounds[0], models / "whole")
    losses = list(whole.run())
    first = Training(FURTHER, sounds[0], models / "stopped")
    begun = [loss for loss, _ in zip(first.run(), range(4), strict=False)]
    second = Training(FURTHER, sounds[0], models / "stopped")
    assert second.step in (2, 4)
    rest = list(second.run())
    assert [*begun[: second.plan.num_steps - len(rest)], *rest] == losses
