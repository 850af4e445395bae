"""Reads the layers of an FSD-SINet from its frozen graph.

The reader walks back from the activations to the input. It is strict: any node that is
not part of a layer of the family (arXiv 2107.00623), in one of the forms in which such
graphs are written, is refused by name. Batch normalisation may be a node or be folded
into the convolution. The softmax of the low-pass filters may be nodes or be folded into
the taps. Adaptive polyphase sampling may consist of gathers or of strided slices.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from transforms.engines.contract import ModelSpec
from transforms.engines.graphdef import Node, read_graph

Array = np.ndarray


class UnknownLayerError(ValueError):
    """A graph is not an FSD-SINet. The message names the node that differs."""


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A 3x3 convolution with stride 1 and zero padding, then a bias and ReLU.

    Attributes:
        weights: float32 [3, 3, in, out], as in the graph. In float64, the weights of
            all layers would take 20 MB more while a worker loads.
        scale: float64 [out]. Scale of batch normalisation.
        bias: float64 [out]. Bias, with batch normalisation folded in.
    """

    weights: Array
    scale: Array
    bias: Array

    @property
    def kernel(self) -> Array:
        """Weights as float64 [3, 3, in, out], with batch normalisation folded in."""
        return self.weights * self.scale


@dataclasses.dataclass(frozen=True)
class Subsampling:
    """Halves time and frequency: a 2x2 maximum, which may be filtered and adaptive.

    Attributes:
        taps: float64 [5, 5, channels]. Low-pass filters; None if there are none.
        is_adaptive: Whether the strongest of the four phases is kept (APS), instead of
            the first.
        is_by_channel: Whether the strongest phase is the one with the strongest channel
            (TensorFlow's l1 norm of a matrix), instead of the one with the largest sum.
    """

    taps: Array | None
    is_adaptive: bool
    is_by_channel: bool = False


@dataclasses.dataclass(frozen=True)
class Network:
    """The layers of an FSD-SINet.

    Attributes:
        convolutions: Nine convolutions: the first one, then two in each of four blocks.
        subsamplings: Three subsamplings, at the end of the first three blocks. These
            blocks also have a 3x3 maximum of stride 1 between their convolutions.
        dense: Weights float64 [embedding_size, num_classes] and bias [num_classes].
        embeddings_node: Name of the node before the dense layer, which gives the
            embedding.
    """

    convolutions: tuple[Convolution, ...]
    subsamplings: tuple[Subsampling, ...]
    dense: tuple[Array, Array]
    embeddings_node: str


def read_network_of(spec: ModelSpec) -> Network:
    """Reads the layers of a model.

    Raises:
        UnknownLayerError: if a node is not part of an FSD-SINet.
    """
    nodes = read_graph(spec.graph_file().read_bytes())
    network = read_network(nodes, spec.activations_node)
    if network.embeddings_node != spec.embeddings_node:
        raise UnknownLayerError(
            f"activations are computed from node {network.embeddings_node}, expected "
            f"the embeddings node {spec.embeddings_node}"
        )
    return network


def read_network(nodes: Mapping[str, Node], activations_node: str) -> Network:
    """Reads the layers that lead to the activations.

    Raises:
        UnknownLayerError: if a node is not part of an FSD-SINet.
    """
    reader = _Reader(nodes, activations_node)
    dense = reader.take_dense()
    embeddings = reader.take_reduction("Max", 1)
    reader.take_reduction("Mean", 2)
    # The walk goes back to the input, so the last layer comes first.
    convolutions, subsamplings = [reader.take_convolution()], list[Subsampling]()
    convolutions.append(reader.take_convolution())
    for _ in range(3):
        subsamplings.append(reader.take_subsampling())
        convolutions.append(reader.take_convolution())
        reader.take_maximum(size=3, stride=1)
        convolutions.append(reader.take_convolution())
    convolutions.append(reader.take_convolution())
    reader.take_input()
    layers = tuple(convolutions[::-1]), tuple(subsamplings[::-1])
    return Network(*layers, dense, embeddings.name)


class _Reader:
    """Walks back from a node to the input, one layer after the other."""

    def __init__(self, nodes: Mapping[str, Node], last: str) -> None:
        self._nodes = nodes
        self._name: str | None = last
        # Number of channels that the layer read last takes as input.
        self._channels = 0

    def take(self, *ops: str) -> Node:
        """Returns the current node, which must be one of `ops`; moves to its input."""
        node = self._current(f"expected {' or '.join(ops)}")
        if node.op not in ops:
            raise UnknownLayerError(
                f"node {node.name} is {node.op}, expected {' or '.join(ops)}"
            )
        self._name = node.inputs[0] if node.inputs else None
        return node

    def take_if(self, *ops: str) -> Node | None:
        """As `take`; None, without moving, if the current node is not one of `ops`."""
        node = self._current(f"expected {' or '.join(ops)} or another layer")
        return self.take(*ops) if node.op in ops else None

    def take_input(self) -> None:
        self._check_channels(self.take("Placeholder"), 1)

    def take_dense(self) -> tuple[Array, Array]:
        self.take("Sigmoid")
        addition = self.take("BiasAdd", "AddV2", "Add")
        node = self.take("MatMul")
        kernel, bias = self.operand(node, 1), self.operand(addition, 1)
        is_transposed = node.boolean("transpose_a") or node.boolean("transpose_b")
        _require(not is_transposed, node, "transposes its inputs")
        _require(kernel.ndim == 2, node, f"has a kernel of {kernel.shape}")
        fits = bias.shape == kernel.shape[1:]
        _require(fits, addition, f"adds {bias.shape} to {kernel.shape[1:]}")
        self._channels = kernel.shape[0]
        return kernel, bias

    def take_reduction(self, op: str, axis: int) -> Node:
        node = self.take(op)
        axes = np.atleast_1d(self.operand(node, 1)).tolist()
        _require(axes == [axis], node, f"is over axes {axes}, expected {axis}")
        _require(not node.boolean("keep_dims"), node, "keeps its dimensions")
        return node

    def take_maximum(self, size: int, stride: int) -> None:
        node = self.take("MaxPool")
        sizes, strides = node.integers("ksize"), node.integers("strides")
        expected = (1, size, size, 1), (1, stride, stride, 1)
        _require(
            (sizes, strides) == expected,
            node,
            f"has sizes {sizes} and strides {strides}, expected {expected}",
        )
        _check_window(node)

    def take_convolution(self) -> Convolution:
        self.take("Relu")
        steps = list[Node]()
        while step := self.take_if(*_AFFINE):
            steps.append(step)
        node = self.take("Conv2D")
        kernel = self.operand(node, 1)
        strides = node.integers("strides")
        is_3x3 = kernel.ndim == 4 and kernel.shape[:2] == (3, 3)
        _require(is_3x3, node, f"has a kernel of {kernel.shape}")
        _require(strides == (1, 1, 1, 1), node, f"has strides {strides}")
        _check_window(node)
        inputs, outputs = kernel.shape[2:]
        self._check_channels(node, outputs)
        self._channels = inputs
        scale, shift = np.ones(outputs), np.zeros(outputs)
        for step in steps[::-1]:
            a, b = _AFFINE[step.op](self, step)
            fits = {a.shape, b.shape} <= {(), (1,), (outputs,)}
            _require(fits, step, f"needs one value for each of {outputs} channels")
            _check_layout(step)
            scale, shift = a * scale, a * shift + b
        return Convolution(kernel.astype(np.float32), scale, shift)

    def take_subsampling(self) -> Subsampling:
        polyphase = self._take_polyphase()
        flags = bool(polyphase), "Max" in polyphase
        node = self.take_if("DepthwiseConv2dNative")
        stride = 1 if polyphase else 2
        if node is None:
            self.take_maximum(size=2, stride=stride)
            return Subsampling(None, *flags)
        taps = self.operand(node, 1)
        strides = node.integers("strides")
        expected = (1, stride, stride, 1)
        _require(
            strides == expected, node, f"has strides {strides}, expected {expected}"
        )
        is_filter = taps.shape[:2] == (5, 5) and taps.shape[3:] == (1,)
        _require(is_filter, node, f"has a kernel of {taps.shape}")
        _check_window(node)
        self._check_channels(node, taps.shape[2])
        self.take_maximum(size=2, stride=1)
        return Subsampling(taps[..., 0], *flags)

    def _take_polyphase(self) -> list[str]:
        """Operations of adaptive polyphase sampling; empty if it does not come next.

        Its nodes are between two layers and choose one of four phase grids by its l1
        norm.
        """
        first = self._current("expected a pooling layer")
        region, entries = dict[str, Node](), set[str]()
        waiting = [first.name]
        while waiting:
            node = self._node(waiting.pop())
            if node.op in _POLYPHASE:
                region[node.name] = node
                waiting += [name for name in node.inputs if name not in region]
            elif not self._depends_on_constants(node):
                entries.add(node.name)
        if not region:
            return []
        _require(len(entries) == 1, first, f"reads {sorted(entries)}, expected one")
        ops = [node.op for node in region.values()]
        num_sums = ops.count("Sum")
        is_known = ops.count("ArgMax") == 1 and "Abs" in ops and num_sums > 0
        is_known &= ops.count("Max") in (0, num_sums)
        _require(is_known, first, "is no adaptive polyphase sampling by the l1 norm")
        for node in region.values():
            mode = node.text("mode")
            _require(mode in ("", "REFLECT"), node, f"has mode {mode}")
        self._name = entries.pop()
        return ops

    def _depends_on_constants(self, node: Node) -> bool:
        """Whether a node gives the same value for every input of the graph."""
        if not node.inputs:
            return node.op == "Const"
        return all(self._depends_on_constants(self._node(i)) for i in node.inputs)

    def operand(self, node: Node, index: int) -> Array:
        """Value of an input of a node, which must be constant, as float64."""
        _require(index < len(node.inputs), node, f"has no input {index}")
        name = node.inputs[index]
        try:
            value = self._constant(name)
        except ValueError as error:
            raise UnknownLayerError(
                f"input {name} of node {node.name} cannot be computed: {error}"
            ) from error
        if value is None:
            raise UnknownLayerError(f"input {name} of node {node.name} is not constant")
        return value

    def _check_channels(self, node: Node, given: int) -> None:
        """Checks that a layer gives as many channels as the layer after it takes."""
        taken = self._channels
        problem = f"gives {given} channels, expected {taken} as the next layer takes"
        _require(given == taken, node, problem)

    def _constant(self, name: str) -> Array | None:
        """Value of a node that depends on constants only; None if it does not."""
        node = self._node(name)
        if node.op == "Const":
            return node.tensor().astype(np.float64)
        if node.op not in _FOLDED:
            return None
        values = [self._constant(source) for source in node.inputs]
        known = [value for value in values if value is not None]
        return _FOLDED[node.op](*known) if len(known) == len(values) else None

    def _current(self, problem: str) -> Node:
        if self._name is None:
            raise UnknownLayerError(f"the graph lacks its first layers, {problem}")
        node = self._node(self._name)
        while node.op == "Identity" and node.inputs:
            node = self._node(node.inputs[0])
        return node

    def _node(self, name: str) -> Node:
        if name not in self._nodes:
            raise UnknownLayerError(f"node {name} is missing")
        return self._nodes[name]

    def batch_norm(self, node: Node) -> tuple[Array, Array]:
        # The defaults are another epsilon and training mode, so both must be set.
        is_used = "is_training" in node.attributes and not node.boolean("is_training")
        _require(is_used, node, "is in training")
        _require("epsilon" in node.attributes, node, "has no epsilon")
        parameters = [self.operand(node, index) for index in range(1, 5)]
        shapes = [parameter.shape for parameter in parameters]
        _require(len(set(shapes)) == 1, node, f"has parameters of {shapes}")
        gamma, beta, mean, variance = parameters
        scale = gamma / np.sqrt(variance + node.real("epsilon"))
        return scale, beta - mean * scale


# For a node that changes x to a x + b: its a and b.
_AFFINE: dict[str, Callable[[_Reader, Node], tuple[Array, Array]]] = {
    **dict.fromkeys(
        ("BiasAdd", "Add", "AddV2"), lambda r, n: (np.ones(1), r.operand(n, 1))
    ),
    "Mul": lambda r, n: (r.operand(n, 1), np.zeros(1)),
    **dict.fromkeys(
        ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _Reader.batch_norm
    ),
}


def _softmax(logits: Array) -> Array:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


# Operations that may stand between constants and a layer. The last four compute the
# order of axes when TensorFlow's softmax is over another axis than the last.
_FOLDED: dict[str, Callable[..., Array]] = {
    "Identity": lambda x: x,
    "Softmax": _softmax,
    "Reshape": lambda x, shape: x.reshape(shape.astype(np.int64)),
    "Transpose": lambda x, order: x.transpose(order.astype(np.int64)),
    "ExpandDims": lambda x, axis: np.expand_dims(x, int(axis)),
    "Sub": np.subtract,
    "Range": np.arange,
    "Pack": lambda *scalars: np.array([x.reshape(()) for x in scalars]),
    "ConcatV2": lambda *parts: np.concatenate(parts[:-1], int(parts[-1])),
}
# Operations of adaptive polyphase sampling, apart from those that depend on constants
# only. Operations of another norm (Mul, Sqrt, Square) or of another padding (Pad) are
# not among them.
_POLYPHASE = frozenset(
    "Abs ArgMax Cast ConcatV2 ExpandDims GatherNd GatherV2 Identity Max MirrorPad Pack "
    "Prod Range Reshape Shape Squeeze StridedSlice Sum Transpose Unpack".split()
)


def _require(is_right: bool, node: Node, problem: str) -> None:
    if not is_right:
        raise UnknownLayerError(f"node {node.name} ({node.op}) {problem}")


def _check_window(node: Node) -> None:
    padding, dilations = node.text("padding"), node.integers("dilations")
    _require(padding == "SAME", node, f"has padding {padding}, expected SAME")
    _require(set(dilations) <= {1}, node, f"has dilations {dilations}")
    _check_layout(node)


def _check_layout(node: Node) -> None:
    layout = node.text("data_format") or "NHWC"
    _require(layout == "NHWC", node, f"has layout {layout}, expected NHWC")
