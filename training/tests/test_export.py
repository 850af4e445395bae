"""Essentia gives the activations of the network, for all architectures."""

import json
import pathlib
import subprocess
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.graphs.export import to_sinet_weights, write_model
from training.graphs.sinet_graph import Pooling
from training.network.model import build_network
from training.network.synthetic_mels import synthetic_log_mels
from transforms.models.registry import published_labels

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
POOLINGS: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")
FACTS = {
    "description": "random",
    "classes": list(published_labels()),
    "trained_classes": [],
}


def randomised(width: float, pooling: Pooling, **options: Any) -> keras.Model:
    """A network with changed initial values in all variables, and varied outputs."""
    model = build_network(width, pooling, seed=7, momentum=0, **options)
    rng = np.random.default_rng(7)
    patches = synthetic_log_mels(8, 101, seed=1)[..., np.newaxis]
    for variable in model.trainable_variables:
        if variable.path.endswith(("gamma", "beta", "logits")):
            noise = 0.2 * rng.standard_normal(variable.shape)
            variable.assign(variable + noise.astype(np.float32))
    model(patches, training=True)  # Sets the moving statistics.
    for variable in model.non_trainable_variables:
        if variable.path.endswith(("mean", "variance")):
            factor = rng.uniform(0.8, 1.25, variable.shape)
            variable.assign(variable * factor.astype(np.float32))
    _, embeddings = model(patches)
    head = model.get_layer("predictions")
    centre = np.mean(embeddings, axis=0)
    spread = np.linalg.norm(embeddings - centre, axis=1).mean()
    kernel = rng.standard_normal(head.kernel.shape) / spread
    head.kernel.assign(kernel)
    head.bias.assign(-centre @ kernel)
    return model


def in_essentia(
    path: pathlib.Path, patches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Activations and embeddings of Essentia, run in the main environment."""
    inputs, output = path.with_name("patches.npy"), path.with_name("out.npz")
    np.save(inputs, patches)
    python = str(ROOT / ".venv" / "bin" / "python")
    files = map(str, (path, inputs, output))
    command = [python, "-m", "training.tests.essentia_forward", *files]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    with np.load(output) as arrays:
        return arrays["activations"], arrays["embeddings"]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("width", [1, 2, 0.125, 0.3])
def test_essentia_computes_what_the_network_computes(
    tmp_path: pathlib.Path, width: float, pooling: Pooling
) -> None:
    model = randomised(width, pooling)
    patches = synthetic_log_mels(6, 101, seed=2)
    path = tmp_path / "model.pb"
    write_model(path, to_sinet_weights(model), pooling, FACTS)
    activations, embeddings = in_essentia(path, patches)
    logits, expected = model(patches[..., np.newaxis])
    expected_activations = tf.sigmoid(logits).numpy()
    # Constant outputs would prove nothing.
    assert np.ptp(expected_activations, axis=0).mean() > 0.1
    assert np.abs(activations - expected_activations).max() <= 1e-5
    size = np.linalg.norm(expected, axis=1)
    assert (np.linalg.norm(embeddings - expected, axis=1) / size).max() <= 1e-5


@pytest.mark.parametrize(("width", "millions"), [(1, 1.3), (2, 4.9)])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_network_has_the_size_given_in_the_paper(
    width: float, pooling: Pooling, millions: float
) -> None:
    model = build_network(width, pooling)
    count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert round(count / 1e6, 1) == millions


def test_network_of_few_labels_becomes_a_graph_of_all_labels(
    tmp_path: pathlib.Path,
) -> None:
    trained = [199, 3, 40]
    model = randomised(0.125, "tlpf", num_classes=3)
    facts = FACTS | {"trained_classes": [published_labels()[i] for i in trained]}
    path = tmp_path / "few.pb"
    write_model(path, to_sinet_weights(model, trained), "tlpf", facts)
    patches = synthetic_log_mels(4, 101, seed=2)
    activations, _ = in_essentia(path, patches)
    expected = tf.sigmoid(model(patches[..., np.newaxis])[0])
    np.testing.assert_allclose(activations[:, trained], expected, atol=1e-5)
    assert np.delete(activations, trained, axis=1).max() < 1e-5
    assert (
        json.loads(path.with_suffix(".json").read_text())["trained_classes"]
        == (facts["trained_classes"])
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_variable_has_a_gradient(pooling: Pooling) -> None:
    model = build_network(0.125, pooling, num_classes=4)
    patches = synthetic_log_mels(4, 101, seed=3)[..., np.newaxis]
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits, _ = model(patches, training=True)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.eye(4), logits)
        loss = tf.reduce_mean(losses)
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path


def test_initial_weights_depend_on_the_seed() -> None:
    first, same, other = (build_network(0.125, "tlpf", seed=s) for s in (1, 1, 2))
    pairs = list(zip(first.get_weights(), same.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in pairs)
    kernels = [m.get_layer("conv0").kernel for m in (first, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    np.testing.assert_allclose(np.mean(kernels[0], axis=(0, 1)), 0, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("num_frames", [51, 101])
def test_network_for_any_length_equals_that_for_one_length(
    pooling: Pooling, num_frames: int
) -> None:
    x = synthetic_log_mels(3, num_frames, seed=1)[..., np.newaxis]
    of_any = build_network(0.125, pooling, patch_frames=None)
    of_one = build_network(0.125, pooling, patch_frames=num_frames)
    for ours, theirs in zip(of_any(x), of_one(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
