"""Tests of the export of weights that need numpy only, and no TensorFlow."""

import json
import pathlib

import numpy as np
import pytest

from training.graphs.export import (
    UNTRAINED_BIAS,
    expanded,
    folded,
    taps,
    write_model,
)
from training.graphs.random_graphs import random_weights
from training.graphs.sinet_graph import SinetWeights
from transforms.models.loading import load_model
from transforms.models.registry import published_labels

FACTS = {
    "description": "random",
    "classes": list(published_labels()),
    "trained_classes": ["Bark"],
    "license": "none",
}


def test_normalisation_is_folded_into_the_convolution() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((5, 9)), rng.standard_normal((3, 3, 1, 4))
    gamma, beta, mean, variance = rng.uniform(0.5, 2, (4, 4))
    y = x @ kernel.reshape(9, 4)
    expected = (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    new_kernel, bias = folded(kernel, gamma, beta, mean, variance)
    np.testing.assert_allclose(x @ new_kernel.reshape(9, 4) + bias, expected)


def test_taps_survive_large_logits() -> None:
    logits = np.zeros((25, 2))
    logits[7, 1] = 1000
    np.testing.assert_allclose(taps(logits)[..., 0], 1 / 25)
    assert taps(logits)[1, 2, 1] == 1


def test_untrained_classes_get_zero_weights_and_a_low_bias() -> None:
    kernel, bias = expanded(np.ones((3, 2)), np.array([5.0, 6.0]), [2, 0], 4)
    np.testing.assert_array_equal(bias, [6, UNTRAINED_BIAS, 5, UNTRAINED_BIAS])
    np.testing.assert_array_equal(kernel, [[1, 0, 1, 0]] * 3)


@pytest.mark.parametrize("indices", [[0], [0, 0], [0, 4], [-1, 0], [0, 1, 2], None])
def test_label_indices_that_do_not_fit_are_refused(indices: list[int] | None) -> None:
    with pytest.raises(ValueError, match="label indices for 2 outputs"):
        expanded(np.ones((3, 2)), np.ones(2), indices, 4)


def test_written_model_loads_and_has_its_metadata(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "folder" / "mine.pb"
    weights = random_weights(0.125, 0)
    no_filters = SinetWeights(weights.convolutions, (), weights.dense)
    write_model(path, no_filters, "aps", FACTS)
    spec = load_model(str(path))
    assert (spec.name, spec.embedding_size) == ("mine", 32)
    metadata = json.loads(path.with_suffix(".json").read_text())
    assert metadata["schema"]["inputs"][0]["shape"] == ["batch", 101, 96, 1]
    assert metadata["trained_classes"] == ["Bark"]
    assert metadata["license"] == "none"


def test_model_with_inconsistent_facts_is_not_written(tmp_path: pathlib.Path) -> None:
    weights = random_weights(0.125, 0)
    for facts in ({"classes": ["Bark"]}, {"trained_classes": ["Dodo"]}):
        with pytest.raises(ValueError, match="expected as many, and the trained"):
            write_model(tmp_path / "m.pb", weights, "tlpf", FACTS | facts)
    no_filters = SinetWeights(weights.convolutions, (), weights.dense)
    with pytest.raises(ValueError, match="got 0 filters, pooling tlpf needs 3"):
        write_model(tmp_path / "m.pb", no_filters, "tlpf", FACTS)
    assert not list(tmp_path.iterdir())
