"""Writes trained networks as the graphs and metadata that Essentia reads.

This module needs numpy only: it reads a network by the names and variables of its
layers.
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

# With this bias an untrained class always scores 6e-6, below any useful threshold.
UNTRAINED_BIAS = -12.0
CONVOLUTIONS = ("conv0", *(f"block{b}_conv{c}" for b in range(1, 5) for c in (1, 2)))
LOW_PASSES = tuple(f"block{b}_low_pass" for b in range(1, 4))


def label_indices(labels: Sequence[str]) -> list[int]:
    """Indices of labels among the published classes."""
    return [published_labels().index(label) for label in labels]


def to_sinet_weights(
    model: "keras.Model",
    label_indices: Sequence[int] | None = None,
    num_classes: int = NUM_CLASSES,
) -> SinetWeights:
    """Folds batch normalisation into kernels and the softmax into taps.

    Args:
        model: Network from `training.network.model.build_network`.
        label_indices: Index, among the `num_classes` classes, of each output of the
            model; by default the model has all classes, in order. The other classes get
            zero weights and UNTRAINED_BIAS.
        num_classes: Number of classes of the graph.

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
    """Kernel [3, 3, in, out] and bias [out] of a convolution with its normalisation."""
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
    """The dense layer for all classes, made from the layer for the trained classes.

    Args:
        kernel: [embedding_size, num_outputs].
        bias: [num_outputs].
        label_indices: As in `to_sinet_weights`.
        num_classes: Number of classes of the result.

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
        path: Path of the graph.
        weights: Weights of the graph.
        pooling: Subsampling method of the graph.
        metadata: Facts about the model (see `write_metadata`).
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
        path: Path of the graph; its stem is the model's name.
        weights: Weights of the graph.
        facts: `description`, `classes` (all classes, in the order of the activations)
            and `trained_classes` (the classes that the model knows). Optional are
            `version`, `link`, `author`, `framework_version`, `model_types`, `dataset`,
            `license`, `citation` and any other fact.

    Raises:
        ValueError: if `classes` do not fit the graph, or `trained_classes` are not
            among `classes`.
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
    """Values of a variable in float64; rounding to float32 comes last."""
    return np.asarray(variable, np.float64)
