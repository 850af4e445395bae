"""Writes an FSD-SINet with low-pass filters as ONNX, for ONNX Runtime.

ONNX Runtime does not read frozen graphs of TensorFlow. `save_layers` runs in the main
environment, which has the reader of graphs. `build` runs in the environment of the
peers, which has onnx.
"""

import pathlib
from typing import Any

import numpy as np

# ONNX's name for TensorFlow's padding SAME.
_SAME = {"auto_pad": "SAME_UPPER"}
_OPSET, _IR_VERSION = 17, 10


def save_layers(model: str, path: pathlib.Path) -> bool:
    """Writes the layers of a frozen graph to a file.

    Returns:
        Whether the file was written; False for a graph with adaptive sampling.
    """
    from transforms.engines.network import read_network_of
    from transforms.models.loading import load_model

    network = read_network_of(load_model(model))
    if any(layer.is_adaptive for layer in network.subsamplings):
        return False
    arrays = {"dense_kernel": network.dense[0], "dense_bias": network.dense[1]}
    for index, layer in enumerate(network.convolutions):
        arrays |= {f"kernel_{index}": layer.kernel, f"bias_{index}": layer.bias}
    for index, subsampling in enumerate(network.subsamplings):
        assert subsampling.taps is not None
        arrays[f"taps_{index}"] = subsampling.taps
    singles: dict[str, Any] = {n: a.astype(np.float32) for n, a in arrays.items()}
    np.savez(path, **singles)
    return True


class _Writer:
    """Collects nodes; the name of a node is the name of its output."""

    def __init__(self, layers: str) -> None:
        with np.load(layers) as arrays:
            self._layers = dict(arrays)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, *axes: int) -> str:
        """Adds an array of the layers, with its axes in ONNX's order."""
        from onnx import numpy_helper

        value = self._layers[name]
        value = np.ascontiguousarray(value.transpose(axes) if axes else value)
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, at: str, index: int) -> str:
        kernel = self.constant(f"kernel_{index}", 3, 2, 0, 1)
        bias = self.constant(f"bias_{index}")
        return self.add("Relu", self.add("Conv", at, kernel, bias, **_SAME))

    def maximum(self, at: str, size: int) -> str:
        sizes: dict[str, Any] = {"kernel_shape": [size, size], "strides": [1, 1]}
        return self.add("MaxPool", at, **sizes, **_SAME)

    def subsampling(self, at: str, index: int) -> str:
        channels = self._layers[f"taps_{index}"].shape[2]
        # [5, 5, channels] to [channels, 1, 5, 5].
        self._layers[f"taps_{index}"] = self._layers[f"taps_{index}"][:, :, np.newaxis]
        taps = self.constant(f"taps_{index}", 3, 2, 0, 1)
        sizes: dict[str, Any] = {"strides": [2, 2], "group": channels}
        return self.add("Conv", self.maximum(at, 2), taps, **sizes, **_SAME)


def build(layers: str) -> bytes:
    """The ONNX graph, from patches [n, 101, 96, 1] to activations and embeddings."""
    writer = _Writer(layers)
    at = writer.convolution(writer.add("Transpose", "patches", perm=[0, 3, 1, 2]), 0)
    for block in range(3):
        at = writer.maximum(writer.convolution(at, 2 * block + 1), 3)
        at = writer.subsampling(writer.convolution(at, 2 * block + 2), block)
    at = writer.convolution(writer.convolution(at, 7), 8)
    at = writer.add("ReduceMean", at, axes=[3], keepdims=0)
    at = writer.add("ReduceMax", at, axes=[2], keepdims=0, output="embeddings")
    dense = map(writer.constant, ("dense_kernel", "dense_bias"))
    writer.add("Sigmoid", writer.add("Gemm", at, *dense), output="activations")
    return _serialise(writer)


def _serialise(writer: _Writer) -> bytes:
    from onnx import TensorProto, helper

    def value(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", *shape))

    outputs = [value("activations", "classes"), value("embeddings", "size")]
    inputs = [value("patches", 101, 96, 1)]
    graph = helper.make_graph(
        writer.nodes, "fsd-sinet", inputs, outputs, writer.constants
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    content: bytes = model.SerializeToString()
    return content
