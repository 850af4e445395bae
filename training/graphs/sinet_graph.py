"""Builds frozen graphs of the FSD-SINet family: VGG41 and VGG42 with TLPF, APS or both.

Architecture: Fonseca, Ferraro and Serra, "Improving sound event classification by
increasing shift invariance in convolutional neural networks" (arXiv 2107.00623). Batch
normalisation is folded into the convolutions; the softmax of the low-pass filters is
folded into their taps. The pooling "max" has neither TLPF nor APS.
"""

import dataclasses
from typing import Literal

import numpy as np

from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter

Pooling = Literal["max", "tlpf", "aps", "tlpf_aps"]
Array = np.ndarray

FIRST_CHANNELS, BLOCK_CHANNELS = 32, (48, 64, 128, 256)
NUM_CLASSES = 200
PATCH_FRAMES, NUM_MELS = 101, 96
FILTER_SIZE = 5
BATCH_NORM_EPSILON = 1e-3


@dataclasses.dataclass(frozen=True)
class SinetWeights:
    """All weights of a graph.

    Attributes:
        convolutions: Nine pairs of kernel [3, 3, in, out] and bias [out].
        filters: Taps [5, 5, channels] of three low-pass filters; the taps of a channel
            are positive and sum to 1. May be empty if the pooling has no filters.
        dense: Kernel [embedding_size, num_classes] and bias [num_classes].
    """

    convolutions: tuple[tuple[Array, Array], ...]
    filters: tuple[Array, ...]
    dense: tuple[Array, Array]


def channels(width: float) -> tuple[int, ...]:
    """Output channels of the first convolution and of the four blocks.

    Args:
        width: Factor for the numbers of channels; 1 is VGG41, 2 is VGG42.
    """
    return tuple(round(width * c) for c in (FIRST_CHANNELS, *BLOCK_CHANNELS))


def build_graph(weights: SinetWeights, pooling: Pooling) -> bytes:
    """The serialized GraphDef, with the node names that Essentia expects.

    Raises:
        ValueError: if `pooling` needs filters and `weights` has none.
    """
    if pooling in ("tlpf", "tlpf_aps") and len(weights.filters) != 3:
        raise ValueError(
            f"got {len(weights.filters)} filters, pooling {pooling} needs 3"
        )
    graph = GraphWriter()
    x = graph.node(
        "Placeholder",
        "x",
        (),
        dtype=attr.type_float(),
        shape=attr.shape([-1, PATCH_FRAMES, NUM_MELS, 1]),
    )
    sizes = (PATCH_FRAMES, NUM_MELS)
    y = _convolution(graph, x, "model/conv0", *weights.convolutions[0])
    for block in range(4):
        name = f"model/block{block + 1}"
        y = _convolution(
            graph, y, f"{name}/conv1", *weights.convolutions[1 + 2 * block]
        )
        if block < 3:
            y = _max_pool(graph, y, f"{name}/intra_block_pool", size=3, stride=1)
        y = _convolution(
            graph, y, f"{name}/conv2", *weights.convolutions[2 + 2 * block]
        )
        if block < 3:
            taps = weights.filters[block] if weights.filters else np.empty(0)
            y = _subsample(graph, y, f"{name}/pool", pooling, taps, sizes)
            sizes = (-(-sizes[0] // 2), -(-sizes[1] // 2))
    _head(graph, y, *weights.dense)
    return graph.to_bytes()


def _convolution(g: GraphWriter, x: str, name: str, kernel: Array, bias: Array) -> str:
    y = g.node(
        "Conv2D",
        f"{name}/Conv2D",
        [x, g.constant(f"{name}/kernel", kernel)],
        **_window(stride=1),
        dilations=attr.integers([1, 1, 1, 1]),
    )
    y = _add_bias(g, y, name, bias)
    return g.node("Relu", f"{name}/Relu", [y], T=attr.type_float())


def _add_bias(g: GraphWriter, x: str, name: str, bias: Array) -> str:
    return g.node(
        "BiasAdd",
        f"{name}/BiasAdd",
        [x, g.constant(f"{name}/bias", bias)],
        T=attr.type_float(),
        data_format=attr.string("NHWC"),
    )


def _window(stride: int) -> dict[str, bytes]:
    return {
        "T": attr.type_float(),
        "strides": attr.integers([1, stride, stride, 1]),
        "padding": attr.string("SAME"),
        "data_format": attr.string("NHWC"),
    }


def _max_pool(g: GraphWriter, x: str, name: str, size: int, stride: int) -> str:
    ksize = attr.integers([1, size, size, 1])
    return g.node("MaxPool", name, [x], **_window(stride), ksize=ksize)


def _subsample(
    g: GraphWriter,
    x: str,
    name: str,
    pooling: Pooling,
    taps: Array,
    sizes: tuple[int, int],
) -> str:
    """Halves time and frequency."""
    if pooling == "max":
        return _max_pool(g, x, f"{name}/max", size=2, stride=2)
    y = _max_pool(g, x, f"{name}/max", size=2, stride=1)
    if pooling in ("tlpf", "tlpf_aps"):
        stride = 2 if pooling == "tlpf" else 1
        y = g.node(
            "DepthwiseConv2dNative",
            f"{name}/low_pass",
            [y, g.constant(f"{name}/taps", taps[..., np.newaxis])],
            **_window(stride),
            dilations=attr.integers([1, 1, 1, 1]),
        )
    if pooling in ("aps", "tlpf_aps"):
        y = _adaptive_polyphase(g, y, f"{name}/aps", sizes)
    return y


def _adaptive_polyphase(
    g: GraphWriter, x: str, name: str, sizes: tuple[int, int]
) -> str:
    """Keeps the one of the four phase grids that has the largest l1 norm.

    An axis of odd length is first extended by its reflection. Among equal norms the
    first grid is kept.
    """
    odd = [[0, 0], [0, sizes[0] % 2], [0, sizes[1] % 2], [0, 0]]
    float_type, int_type = attr.type_float(), attr.type_int32()
    x = g.node(
        "MirrorPad",
        f"{name}/pad",
        [x, g.constant(f"{name}/paddings", np.array(odd))],
        T=float_type,
        Tpaddings=int_type,
        mode=attr.string("REFLECT"),
    )
    phases = [
        _phase(g, x, f"{name}/phase_t{time}f{frequency}", time, frequency)
        for time, frequency in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    stack = {"T": float_type, "N": attr.integer(4), "axis": attr.integer(1)}
    norms = g.node("Pack", f"{name}/norms", [_l1_norm(g, p) for p in phases], **stack)
    axis = g.constant(f"{name}/axis", 1)
    strongest = g.node(
        "ArgMax",
        f"{name}/strongest",
        [norms, axis],
        T=float_type,
        Tidx=int_type,
        output_type=int_type,
    )
    return g.node(
        "GatherV2",
        f"{name}/gather",
        [g.node("Pack", f"{name}/phases", phases, **stack), strongest, axis],
        Tparams=float_type,
        Tindices=int_type,
        Taxis=int_type,
        batch_dims=attr.integer(1),
    )


def _phase(g: GraphWriter, x: str, name: str, time: int, frequency: int) -> str:
    corners = {
        "begin": [0, time, frequency, 0],
        "end": [0] * 4,
        "strides": [1, 2, 2, 1],
    }
    inputs = [g.constant(f"{name}/{k}", np.array(v)) for k, v in corners.items()]
    # TensorFlow ignores begin and end where their mask bit is set: here begin counts
    # for time and frequency only, and end never counts.
    return g.node(
        "StridedSlice",
        name,
        [x, *inputs],
        T=attr.type_float(),
        Index=attr.type_int32(),
        begin_mask=attr.integer(0b1001),
        end_mask=attr.integer(0b1111),
    )


def _l1_norm(g: GraphWriter, x: str) -> str:
    magnitude = g.node("Abs", f"{x}/abs", [x], T=attr.type_float())
    return _reduce(g, "Sum", f"{x}/norm", magnitude, [1, 2, 3])


def _reduce(g: GraphWriter, op: str, name: str, x: str, axes: int | list[int]) -> str:
    return g.node(
        op,
        name,
        [x, g.constant(f"{name}/axes", np.array(axes))],
        T=attr.type_float(),
        Tidx=attr.type_int32(),
        keep_dims=attr.boolean(False),
    )


def _head(g: GraphWriter, x: str, kernel: Array, bias: Array) -> None:
    y = _reduce(g, "Mean", "model/frequency_mean", x, 2)
    y = _reduce(g, "Max", "model/global_max_pooling1d/Max", y, 1)
    y = g.node(
        "MatMul",
        "model/predictions/MatMul",
        [y, g.constant("model/predictions/kernel", kernel)],
        T=attr.type_float(),
        transpose_a=attr.boolean(False),
        transpose_b=attr.boolean(False),
    )
    y = _add_bias(g, y, "model/predictions", bias)
    g.node("Sigmoid", "model/predictions/Sigmoid", [y], T=attr.type_float())
