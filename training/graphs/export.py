"""Writes trained networks as the graphs and metadata that Essentia reads.

Needs numpy only: a network is read by its layers' names and variables.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.graphs.sinet_graph import (
    BATCH_NORM_EPSILON,
    FILTER_SIZE,
    NUM_CLASSES,
    NUM_MELS,
    PATCH_FRAMES,
    Array,
    Pooling,
    SinetWeights,
    build_graph,
)
from transforms.models.registry import published_labels

if TYPE_CHECKING:
    import keras

# An untrained class answers 6e-6 to everything: no threshold shows it.
UNTRAINED_BIAS = -12.0
CONVOLUTIONS = ("conv0", *(f"block{b}_conv{c}" for b in range(1, 5) for c in (1, 2)))
LOW_PASSES = tuple(f"block{b}_low_pass" for b in range(1, 4))


def label_indices(labels: Sequence[str]) -> list[int]:
    """Which of the published classes the labels are."""
    return [published_labels().index(label) for label in labels]


def to_sinet_weights(
    model: "keras.Model",
    label_indices: Sequence[int] | None = None,
    num_classes: int = NUM_CLASSES,
) -> SinetWeights:
    """Folds batch normalisation into kernels and the softmax into taps.

    Args:
        model: From `training.network.model.build_network`.
        label_indices: Which of the `num_classes` classes each output of the model is;
            by default the model has them all, in order. The other classes get zero
            weights and UNTRAINED_BIAS.
        num_classes: Of the graph.

    Raises:
        ValueError: if `label_indices` do not name every output by a class of its own.
    """
    layers = {layer.name: layer for layer in model.layers}
    convolutions = tuple(
        folded(
            _values(layers[name].kernel),
            *(
                _values(getattr(layers[f"{name}_norm"], key))
                for key in ("gamma", "beta", "mean", "variance")
            ),
        )
        for name in CONVOLUTIONS
    )
    filters = tuple(
        taps(_values(layers[name].logits)) for name in LOW_PASSES if name in layers
    )
    head = layers["predictions"]
    dense = expanded(
        _values(head.kernel), _values(head.bias), label_indices, num_classes
    )
    return SinetWeights(convolutions, filters, dense)


def folded(
    kernel: Array, gamma: Array, beta: Array, mean: Array, variance: Array
) -> tuple[Array, Array]:
    """Kernel [3, 3, in, out] and bias [out] of a convolution and its normalisation."""
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    return kernel * scale, beta - mean * scale


def taps(logits: Array) -> Array:
    """The taps [5, 5, channels] of low-pass filters with logits [25, channels]."""
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).reshape(FILTER_SIZE, FILTER_SIZE, -1)


def expanded(
    kernel: Array,
    bias: Array,
    label_indices: Sequence[int] | None = None,
    num_classes: int = NUM_CLASSES,
) -> tuple[Array, Array]:
    """The dense layer of all classes, from that of the trained ones.

    Raises:
        ValueError: if `label_indices` do not name every output by a class of its own.
    """
    indices = np.arange(num_classes) if label_indices is None else label_indices
    indices = np.asarray(indices, np.int64)
    fits = len(indices) == kernel.shape[1] == len(np.unique(indices))
    if not fits or indices.min() < 0 or indices.max() >= num_classes:
        raise ValueError(
            f"got {len(indices)} label indices for {kernel.shape[1]} outputs, expected "
            f"one for each, all different, from 0 to {num_classes - 1}"
        )
    all_kernels = np.zeros((kernel.shape[0], num_classes))
    all_biases = np.full(num_classes, UNTRAINED_BIAS)
    all_kernels[:, indices], all_biases[indices] = kernel, bias
    return all_kernels, all_biases


def write_model(
    path: pathlib.Path,
    weights: SinetWeights,
    pooling: Pooling,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a graph (.pb) and, beside it, its metadata (.json).

    Args:
        metadata: Facts about the model, see `write_metadata`.
    """
    graph = build_graph(weights, pooling)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_metadata(path, weights, metadata)
    path.write_bytes(graph)


def write_metadata(
    path: pathlib.Path, weights: SinetWeights, facts: Mapping[str, Any]
) -> None:
    """Writes the JSON file beside a graph, in Essentia's format.

    Args:
        path: Of the graph; its stem is the model's name.
        weights: Of the graph.
        facts: `description`, `classes` (all, in the order of the activations) and
            `trained_classes` (those that the model knows); where they apply also
            `version`, `link`, `author`, `framework_version`, `model_types`, `dataset`,
            `license`, `citation`, and any other.

    Raises:
        ValueError: if `classes` or `trained_classes` do not fit.
    """
    embedding_size, num_classes = weights.dense[0].shape
    classes, trained = facts["classes"], facts["trained_classes"]
    if len(classes) != num_classes or not set(trained) <= set(classes):
        raise ValueError(
            f"got {len(classes)} classes and {len(trained)} trained ones for a graph "
            f"with {num_classes} classes; expected as many, and the trained among them"
        )
    x = ["batch", PATCH_FRAMES, NUM_MELS, 1]
    outputs = [
        _output("model/predictions/Sigmoid", "predictions", num_classes),
        _output("model/global_max_pooling1d/Max", "embeddings", embedding_size),
    ]
    metadata = {
        "name": path.stem,
        "type": "multi-label classifier",
        "version": "1",
        "framework": "tensorflow",
        "model_types": ["frozen_model"],
        **facts,
        "schema": {
            "inputs": [{"name": "x", "type": "float", "shape": x}],
            "outputs": outputs,
        },
        "inference": {"sample_rate": 22050, "algorithm": "TensorflowPredictFSDSINet"},
    }
    path.with_suffix(".json").write_text(json.dumps(metadata, indent=1) + "\n")


def _output(name: str, purpose: str, size: int) -> dict[str, object]:
    shape = ["batch", size]
    return {"name": name, "type": "float", "shape": shape, "output_purpose": purpose}


def _values(variable: Any) -> Array:
    """A variable's values in float64: rounding to float32 comes last."""
    return np.asarray(variable, np.float64)
