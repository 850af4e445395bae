"""Adds an engine: runs models with low-pass filters in ONNX Runtime.

    python examples/onnx_engine.py demo/clips/siren.wav

Needs `pip install onnx onnxruntime`. docs/engines.md explains the steps.
"""

import sys
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from transforms import ClipError, ModelSpec, Prediction, Tagger, register_engine
from transforms.engines.network import Network, read_network_of

# ONNX's name for TensorFlow's padding SAME.
_SAME: dict[str, Any] = {"auto_pad": "SAME_UPPER"}


class OnnxEngine:
    """Runs one model in ONNX Runtime, on one core."""

    def __init__(self, spec: ModelSpec) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = onnx_graph(read_network_of(spec))
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(graph, options, providers)

    def run(self, patches: np.ndarray) -> Prediction:
        """Predicts patches, float32 [num_patches, 101, 96]."""
        # Patches are a view with overlapping rows, and ONNX Runtime needs an array.
        inputs = {"patches": np.ascontiguousarray(patches)}
        return Prediction(*self._session.run(["activations", "embeddings"], inputs))


class _Writer:
    """Collects nodes and constants. A node has the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(value, np.float32)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def maximum(self, at: str, size: int) -> str:
        sizes: dict[str, Any] = {"kernel_shape": [size, size], "strides": [1, 1]}
        return self.add("MaxPool", at, **sizes, **_SAME)


def onnx_graph(network: Network) -> bytes:
    """The layers as an ONNX graph: patches in, activations and embeddings out.

    Raises:
        ValueError: if the network uses adaptive polyphase sampling (APS).
    """
    writer = _Writer()

    def convolution(at: str, index: int) -> str:
        layer = network.convolutions[index]
        # [3, 3, in, out] to [out, in, 3, 3].
        kernel = writer.constant(layer.kernel.transpose(3, 2, 0, 1))
        convolved = writer.add("Conv", at, kernel, writer.constant(layer.bias), **_SAME)
        return writer.add("Relu", convolved)

    def subsampling(at: str, index: int) -> str:
        taps = network.subsamplings[index].taps
        if taps is None or network.subsamplings[index].is_adaptive:
            raise ValueError("this engine runs models with low-pass filters only")
        # [5, 5, channels] to [channels, 1, 5, 5].
        filters = writer.constant(taps.transpose(2, 0, 1)[:, np.newaxis])
        sizes: dict[str, Any] = {"strides": [2, 2], "group": taps.shape[2]}
        return writer.add("Conv", writer.maximum(at, 2), filters, **sizes, **_SAME)

    # [n, 101, 96] to [n, 1, 101, 96].
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    writer.constants.append(axis)
    at = convolution(writer.add("Unsqueeze", "patches", "axis"), 0)
    for block in range(3):
        at = writer.maximum(convolution(at, 2 * block + 1), 3)
        at = subsampling(convolution(at, 2 * block + 2), block)
    at = convolution(convolution(at, 7), 8)
    at = writer.add("ReduceMean", at, axes=[3], keepdims=0)
    at = writer.add("ReduceMax", at, axes=[2], keepdims=0, output="embeddings")
    kernel, bias = map(writer.constant, network.dense)
    logits = writer.add("Gemm", at, kernel, bias)
    writer.add("Sigmoid", logits, output="activations")
    return _serialise(writer)


def _serialise(writer: _Writer) -> bytes:
    def value(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", *shape))

    graph = helper.make_graph(
        writer.nodes,
        "fsd-sinet",
        [value("patches", 101, 96)],
        [value("activations", "classes"), value("embeddings", "size")],
        writer.constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    content: bytes = model.SerializeToString()
    return content


register_engine("onnx", OnnxEngine)

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: onnx_engine.py FILE ...")
    tagger = Tagger("fsd-sinet-vgg41-tlpf-demo", engine="onnx")
    for path in sys.argv[1:]:
        try:
            print(path, tagger.file(path))
        except ClipError as error:
            sys.exit(f"onnx_engine.py: {error}")
