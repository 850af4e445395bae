"""Writes graphs of the model family in the form before folding, for tests.

Batch normalisation and the softmax of the taps are nodes of their own, variables are
constants read through Identity, and adaptive polyphase sampling uses gather nodes.
"""

import dataclasses

import numpy as np

from training.graphs import export
from training.graphs import graph_writer as attr
from training.graphs import sinet_graph as family
from training.graphs.graph_writer import GraphWriter
from training.graphs.sinet_graph import Array, Pooling, SinetWeights

CHANNELS = 4


@dataclasses.dataclass(frozen=True)
class UnfoldedWeights:
    """All weights of an unfolded graph.

    Attributes:
        kernels: Nine kernels [3, 3, in, out].
        norms: Nine arrays [4, out] of gamma, beta, mean and variance.
        logits: Three arrays [25, channels] of the taps before the softmax.
        dense: Kernel and bias of the dense layer.
    """

    kernels: tuple[Array, ...]
    norms: tuple[Array, ...]
    logits: tuple[Array, ...]
    dense: tuple[Array, Array]

    def folded(self) -> SinetWeights:
        convolutions = [
            export.folded(kernel, *norm)
            for kernel, norm in zip(self.kernels, self.norms, strict=True)
        ]
        return SinetWeights(
            tuple(convolutions), tuple(map(export.taps, self.logits)), self.dense
        )


def random_unfolded_weights(seed: int) -> UnfoldedWeights:
    """Random weights that float32 represents exactly, with CHANNELS channels."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32).astype(np.float64)

    kernels = [normal(3, 3, size, CHANNELS) / 4 for size in (1, *[CHANNELS] * 8)]
    norms = [np.abs(normal(4, CHANNELS)) + 0.5 for _ in kernels]
    logits = [normal(family.FILTER_SIZE**2, CHANNELS) for _ in range(3)]
    dense = normal(CHANNELS, family.NUM_CLASSES) / 4, normal(family.NUM_CLASSES) / 4
    return UnfoldedWeights(tuple(kernels), tuple(norms), tuple(logits), dense)


def build_unfolded_graph(
    weights: UnfoldedWeights,
    pooling: Pooling,
    *,
    is_softmax_over_taps: bool = True,
    is_by_channel: bool = False,
) -> bytes:
    """The serialized GraphDef.

    Args:
        is_softmax_over_taps: True for a softmax over the taps, which is right; False
            for one over the channels.
        is_by_channel: True to compare phases by the largest sum of a channel, which
            is a matrix norm; False to compare them by the sum of all channels.
    """
    g = GraphWriter()
    sizes = family.PATCH_FRAMES, family.NUM_MELS
    shape = attr.shape([-1, *sizes, 1])
    y = g.node("Placeholder", "x", (), dtype=attr.type_float(), shape=shape)
    layers = zip(weights.kernels, weights.norms, strict=True)
    y = _convolution(g, y, "conv0", *next(layers))
    for block in range(4):
        name = f"block{block}"
        y = _convolution(g, y, f"{name}/conv1", *next(layers))
        if block < 3:
            y = family._max_pool(g, y, f"{name}/intra", size=3, stride=1)
        y = _convolution(g, y, f"{name}/conv2", *next(layers))
        if block == 3:
            break
        y = family._max_pool(
            g, y, f"{name}/max", size=2, stride=2 if pooling == "max" else 1
        )
        if pooling in ("tlpf", "tlpf_aps"):
            order = _softmax_order(g, f"{name}/order") if is_softmax_over_taps else None
            taps = _taps(g, f"{name}/taps", weights.logits[block], order)
            y = _low_pass(g, y, f"{name}/low_pass", taps, 2 if pooling == "tlpf" else 1)
        if pooling in ("aps", "tlpf_aps"):
            y = _adaptive_polyphase(g, y, f"{name}/aps", sizes, is_by_channel)
        sizes = -(-sizes[0] // 2), -(-sizes[1] // 2)
    family._head(g, y, *weights.dense)
    return g.to_bytes()


def _node(g: GraphWriter, op: str, name: str, *inputs: str, **types: bytes) -> str:
    return g.node(op, name, inputs, **{"T": attr.type_float()} | types)


def _int_node(g: GraphWriter, op: str, name: str, *inputs: str, **types: bytes) -> str:
    return _node(g, op, name, *inputs, T=attr.type_int32(), **types)


def _variable(g: GraphWriter, name: str, value: Array) -> str:
    return _node(g, "Identity", f"{name}/read", g.constant(name, value))


def _reshape(g: GraphWriter, x: str, name: str, shape: list[int]) -> str:
    return _node(g, "Reshape", name, x, g.constant(f"{name}/shape", shape))


def _convolution(g: GraphWriter, x: str, name: str, kernel: Array, norm: Array) -> str:
    inputs = [x, _variable(g, f"{name}/kernel", kernel)]
    y = g.node("Conv2D", f"{name}/Conv2D", inputs, **family._window(stride=1))
    keys = ("gamma", "beta", "mean", "variance")
    parameters = [
        _variable(g, f"{name}/{key}", value)
        for key, value in zip(keys, norm, strict=True)
    ]
    y = _node(
        g,
        "FusedBatchNormV3",
        f"{name}/norm",
        y,
        *parameters,
        U=attr.type_float(),
        epsilon=attr.real(family.BATCH_NORM_EPSILON),
        is_training=attr.boolean(False),
    )
    return _node(g, "Relu", f"{name}/Relu", y)


def _low_pass(g: GraphWriter, x: str, name: str, kernel: str, stride: int) -> str:
    return g.node(
        "DepthwiseConv2dNative", name, [x, kernel], **family._window(stride=stride)
    )


def _taps(g: GraphWriter, name: str, logits: Array, order: str | None) -> str:
    """A softmax of the logits.

    Args:
        g: Graph that gets the nodes.
        name: Prefix of the names of the nodes.
        logits: Array [25, channels].
        order: Node of the permutation that swaps axis 0 of [25, channels, 1] with the
            last axis, for a softmax over the taps; None for one over the channels.
    """
    size, count = family.FILTER_SIZE, logits.shape[1]
    y = _variable(g, f"{name}/logits", logits.reshape(size, size, count, 1))
    if order is None:
        y = _reshape(g, y, f"{name}/flat", [size**2, count])
        y = _node(g, "Softmax", f"{name}/softmax", y)
    else:
        y = _reshape(g, y, f"{name}/flat", [size**2, count, 1])
        y = _node(g, "Transpose", f"{name}/swapped", y, order)
        y = _node(g, "Softmax", f"{name}/softmax", y)
        y = _node(g, "Transpose", f"{name}/swapped_back", y, order)
    return _reshape(g, y, name, [size, size, count, 1])


def _softmax_order(g: GraphWriter, name: str) -> str:
    """Axes 2, 1, 0, computed from a rank and an axis as in TensorFlow's softmax."""
    zero, one, rank = (g.constant(f"{name}/{n}", n) for n in (0, 1, 3))
    last = _int_node(g, "Sub", f"{name}/last", rank, one)
    parts = [
        g.node("Range", f"{name}/before", [zero, zero, one]),
        _int_node(g, "Pack", f"{name}/packed", last, N=attr.integer(1)),
        g.node("Range", f"{name}/between", [one, last, one]),
        g.constant(f"{name}/axis", [0]),
    ]
    return _int_node(g, "ConcatV2", name, *parts, zero, N=attr.integer(4))


def _adaptive_polyphase(
    g: GraphWriter,
    x: str,
    name: str,
    sizes: tuple[int, int],
    is_by_channel: bool,
) -> str:
    """Gathers four grids by a fixed permutation, then one of the grids per patch."""
    height, width = (-(-size // 2) for size in sizes)
    odd = [[0, 0], [0, sizes[0] % 2], [0, sizes[1] % 2], [0, 0]]
    paddings = g.constant(f"{name}/paddings", np.array(odd))
    x = _node(g, "MirrorPad", f"{name}/pad", x, paddings, mode=attr.string("REFLECT"))
    flat = _reshape(g, x, f"{name}/flat", [-1, 4 * height * width, CHANNELS])
    one = g.constant(f"{name}/one", 1)
    permutation = _permutation(g, f"{name}/permutation", height, width)
    types = {"Tparams": attr.type_float(), "Tindices": attr.type_int32()}
    phases = g.node(
        "GatherV2",
        f"{name}/phases",
        [flat, permutation, one],
        Taxis=attr.type_int32(),
        **types,
    )
    magnitudes = _node(g, "Abs", f"{name}/abs", phases)
    strongest = _node(
        g,
        "ArgMax",
        f"{name}/strongest",
        _norm(g, f"{name}/norm", magnitudes, is_by_channel),
        one,
        output_type=attr.type_int32(),
    )
    indices = [
        _int_node(g, "ExpandDims", f"{name}/indices{i}", part, one)
        for i, part in enumerate([_patch_numbers(g, phases, name), strongest])
    ]
    pairs = _int_node(g, "ConcatV2", f"{name}/pairs", *indices, one, N=attr.integer(2))
    kept = g.node("GatherNd", f"{name}/kept", [phases, pairs], **types)
    return _reshape(g, kept, name, [-1, height, width, CHANNELS])


def _norm(g: GraphWriter, name: str, magnitudes: str, is_by_channel: bool) -> str:
    """Norms [batch, 4] of magnitudes [batch, 4, positions, channels]."""
    if not is_by_channel:
        return family._reduce(g, "Sum", name, magnitudes, [2, 3])
    sums = family._reduce(g, "Sum", f"{name}/sums", magnitudes, [2])
    return family._reduce(g, "Max", name, sums, [2])


def _permutation(g: GraphWriter, name: str, height: int, width: int) -> str:
    """Positions [4, height * width] of the grids, as a sum of constants.

    The order of the grids is (t0, f0), (t1, f0), (t0, f1), (t1, f1).
    """
    row = 2 * width
    grid = 2 * np.arange(height)[:, np.newaxis] * row + 2 * np.arange(width)
    starts = g.constant(f"{name}/starts", np.array([[0], [row], [1], [row + 1]]))
    places = g.constant(f"{name}/places", grid.reshape(1, -1))
    return _int_node(g, "AddV2", name, starts, places)


def _patch_numbers(g: GraphWriter, x: str, name: str) -> str:
    """The number of each patch: 0, 1, ..."""
    zero, one = (g.constant(f"{name}/patch_numbers/{n}", n) for n in (0, 1))
    begin, end = (g.constant(f"{name}/num_patches/{n}", [n]) for n in (0, 1))
    count = _int_node(
        g,
        "StridedSlice",
        f"{name}/num_patches",
        _node(g, "Shape", f"{name}/phases/sizes", x),
        begin,
        end,
        end,
        Index=attr.type_int32(),
        shrink_axis_mask=attr.integer(1),
    )
    return g.node("Range", f"{name}/patch_numbers", [zero, count, one])
