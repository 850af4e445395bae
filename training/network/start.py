"""Sets a network to the weights of an exported graph, to train the model further."""

import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from training.graphs.export import CONVOLUTIONS, LOW_PASSES, UNTRAINED_BIAS
from training.graphs.sinet_graph import BATCH_NORM_EPSILON


def set_to_graph(
    network: keras.Model, path: pathlib.Path, label_indices: Sequence[int]
) -> None:
    """Sets all weights to those of a graph of `training.graphs.sinet_graph`.

    A graph has no batch normalisation, because it is folded into the convolutions. The
    network keeps its normalisation layers. They are set so that they change nothing in
    inference mode, and their scale and offset can be trained.

    Args:
        network: Network of `model.build_network` with the graph's architecture.
        path: Path of the graph.
        label_indices: Index of the graph's class for each output of the network.

    Raises:
        ValueError: if the graph has another architecture.
    """
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    values = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const"
    }
    layers = {layer.name: layer for layer in network.layers}
    for name in CONVOLUTIONS:
        node = f"model/{name.replace('_', '/')}"
        norm = layers[f"{name}_norm"]
        _assign(layers[name].kernel, values, f"{node}/kernel")
        _assign(norm.beta, values, f"{node}/bias")
        norm.gamma.assign(np.full(norm.gamma.shape, np.sqrt(1 + BATCH_NORM_EPSILON)))
    for name in LOW_PASSES:
        if name in layers:
            taps = f"model/{name.replace('_low_pass', '/pool')}/taps"
            values[taps] = np.log(values[taps].reshape(25, -1))
            _assign(layers[name].logits, values, taps)
    head = layers["predictions"]
    is_known = values["model/predictions/bias"][label_indices] != UNTRAINED_BIAS
    for variable, name in ((head.kernel, "kernel"), (head.bias, "bias")):
        node = f"model/predictions/{name}"
        # Classes that the graph was not trained on keep their initial weights.
        known = values[node][..., label_indices]
        values[node] = np.where(is_known, known, variable.numpy())
        _assign(variable, values, node)


def _assign(variable: keras.Variable, values: dict[str, np.ndarray], name: str) -> None:
    expected, found = tuple(variable.shape), values[name].shape
    if found != expected:
        raise ValueError(
            f"graph does not fit the network: got {name} of shape {found}, expected "
            f"{expected}; choose a graph of the same architecture"
        )
    variable.assign(values[name])
