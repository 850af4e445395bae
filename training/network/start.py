"""Sets a network to the weights of a graph that was exported, to train it further."""

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

    Batch normalisation is folded in a graph. It stays in the network, and changes
    nothing as long as it runs as in inference: what it multiplies with and adds can be
    trained.

    Args:
        network: From `model.build_network`, of the graph's architecture.
        path: Of the graph.
        label_indices: Which class of the graph each output of the network is.

    Raises:
        ValueError: if the graph is of another architecture.
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
        # What the graph does not know starts as in a new network.
        known = values[node][..., label_indices]
        values[node] = np.where(is_known, known, variable.numpy())
        _assign(variable, values, node)


def _assign(variable: keras.Variable, values: dict[str, np.ndarray], name: str) -> None:
    expected, found = tuple(variable.shape), values[name].shape
    if found != expected:
        raise ValueError(f"{name} is {found}, expected {expected}")
    variable.assign(values[name])
