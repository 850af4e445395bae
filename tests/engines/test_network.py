"""Layers are read from all forms of graphs of FSD-SINets; other graphs are refused."""

import dataclasses
import pathlib
from typing import Any, get_args

import numpy as np
import pytest

from tests.engines.graph_forms import build_unfolded_graph, random_unfolded_weights
from tests.support.predictions import TOLERANCE, assert_close
from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter
from training.graphs.random_graphs import random_weights
from training.graphs.sinet_graph import Pooling, SinetWeights, build_graph
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.graphdef import Node, read_graph
from transforms.engines.network import (
    Network,
    UnknownLayerError,
    _softmax,
    read_network,
)
from transforms.engines.winograd.engine import WinogradEngine
from transforms.models.loading import load_model

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
LAST = "model/predictions/Sigmoid"
WIDTH = 0.125


def nodes_of(pooling: Pooling) -> dict[str, Node]:
    return read_graph(build_graph(random_weights(WIDTH, 0), pooling))


def unfolded_nodes(pooling: Pooling) -> dict[str, Node]:
    return read_graph(build_unfolded_graph(random_unfolded_weights(0), pooling))


def assert_holds(
    network: Network, weights: SinetWeights, pooling: Pooling, tolerance: float
) -> None:
    """Asserts that a network has these weights, and the layers of this pooling."""

    def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
        assert actual.dtype == np.float64
        stored = expected.astype(np.float32)
        np.testing.assert_allclose(actual, stored, rtol=tolerance, atol=tolerance)

    pairs = zip(network.convolutions, weights.convolutions, strict=True)
    for layer, (kernel, bias) in pairs:
        assert_close(layer.kernel, kernel)
        assert_close(layer.bias, bias)
    for pool, taps in zip(network.subsamplings, weights.filters, strict=True):
        assert pool.is_adaptive == (pooling in ("aps", "tlpf_aps"))
        assert (pool.taps is None) == (pooling in ("max", "aps"))
        if pool.taps is not None:
            assert_close(pool.taps, taps)
    for actual, expected in zip(network.dense, weights.dense, strict=True):
        assert_close(actual, expected)


def assert_engines_agree(path: pathlib.Path) -> None:
    spec = load_model(str(path))
    rng = np.random.default_rng(0)
    patches = rng.standard_normal((3, 101, 96)).astype(np.float32) - 1
    theirs, ours = EssentiaEngine(spec).run(patches), WinogradEngine(spec).run(patches)
    assert_close(ours, theirs)
    # The comparison is only useful if activations differ between patches.
    assert theirs.activations.std(axis=0).max() > 100 * TOLERANCE


def changed(nodes: dict[str, Node], name: str, **changes: Any) -> dict[str, Node]:
    """A copy of a graph in which one node has another op, inputs or attributes."""
    node = nodes[name]
    if "attributes" in changes:
        added = {key: memoryview(v) for key, v in changes["attributes"].items()}
        changes["attributes"] = {**node.attributes, **added}
    return nodes | {name: dataclasses.replace(node, **changes)}


def with_constant(nodes: dict[str, Node], name: str, value: Any) -> dict[str, Node]:
    writer = GraphWriter()
    writer.constant(name, value)
    return nodes | read_graph(writer.to_bytes())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_weights_of_a_folded_graph_are_read(pooling: Pooling) -> None:
    weights = random_weights(WIDTH, 0)
    network = read_network(read_graph(build_graph(weights, pooling)), LAST)
    assert_holds(network, weights, pooling, tolerance=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_weights_of_an_unfolded_graph_are_folded(
    pooling: Pooling, tmp_path: pathlib.Path
) -> None:
    weights = random_unfolded_weights(0)
    path = tmp_path / "unfolded.pb"
    path.write_bytes(build_unfolded_graph(weights, pooling))
    network = read_network(read_graph(path.read_bytes()), LAST)
    assert_holds(network, weights.folded(), pooling, tolerance=1e-6)
    assert_engines_agree(path)


def test_adaptive_sampling_by_channel_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "by-channel.pb"
    weights = random_unfolded_weights(0)
    path.write_bytes(build_unfolded_graph(weights, "aps", is_by_channel=True))
    network = read_network(read_graph(path.read_bytes()), LAST)
    assert all(layer.is_by_channel for layer in network.subsamplings)
    assert_engines_agree(path)


def test_adaptive_sampling_by_another_norm_is_refused() -> None:
    nodes = changed(nodes_of("aps"), f"{POOL}/aps/phase_t0f0/norm", op="Max")
    with pytest.raises(UnknownLayerError, match="is no adaptive polyphase sampling"):
        read_network(nodes, LAST)


def test_taps_with_softmax_over_channels_are_read(
    tmp_path: pathlib.Path,
) -> None:
    weights = random_unfolded_weights(1)
    path = tmp_path / "over-channels.pb"
    path.write_bytes(build_unfolded_graph(weights, "tlpf", is_softmax_over_taps=False))
    network = read_network(read_graph(path.read_bytes()), LAST)
    for layer, logits in zip(network.subsamplings, weights.logits, strict=True):
        powers = np.exp(logits)
        over_channels = powers / powers.sum(axis=1, keepdims=True)
        assert layer.taps is not None
        np.testing.assert_allclose(layer.taps.reshape(25, -1), over_channels, rtol=1e-6)
    assert_engines_agree(path)


def test_softmax_is_over_the_last_axis() -> None:
    logits = np.array([[0.0, np.log(3)], [1000.0, 0.0]])
    np.testing.assert_allclose(_softmax(logits), [[0.25, 0.75], [1.0, 0.0]])


def test_additions_and_products_are_folded_in_order() -> None:
    nodes = nodes_of("max")
    relu, bias = "model/conv0/Relu", "model/conv0/BiasAdd"
    (name,) = nodes[relu].inputs
    assert name == bias
    before = read_network(nodes, LAST).convolutions[0]
    nodes["twice"] = Node("twice", "Mul", (bias, "factor"), None, {})
    nodes["more"] = Node("more", "AddV2", ("twice", "term"), None, {})
    nodes["same"] = Node("same", "Identity", ("more",), None, {})
    for key, value in (("factor", 2.0), ("term", [1.0, 2, 3, 4])):
        nodes = with_constant(nodes, key, np.array(value))
    after = read_network(changed(nodes, relu, inputs=("same",)), LAST).convolutions[0]
    np.testing.assert_array_equal(after.kernel, 2 * before.kernel)
    np.testing.assert_array_equal(after.bias, 2 * before.bias + [1, 2, 3, 4])


CONV, POOL = "model/block2/conv1", "model/block2/pool"


@pytest.mark.parametrize(
    ("pooling", "name", "changes", "message"),
    [
        ("max", f"{CONV}/Relu", {"op": "Elu"}, "is Elu, expected Relu"),
        ("max", f"{CONV}/BiasAdd", {"op": "Neg"}, "is Neg, expected Conv2D"),
        ("max", "x", {"op": "Const"}, "is Const, expected Placeholder"),
        ("tlpf", f"{POOL}/low_pass", {"op": "Conv2D"}, "is Conv2D, expected MaxPool"),
        (
            "max",
            f"{CONV}/Conv2D",
            {"attributes": {"strides": attr.integers([1, 2, 2, 1])}},
            r"has strides \(1, 2, 2, 1\)",
        ),
        (
            "tlpf_aps",
            f"{POOL}/low_pass",
            {"attributes": {"strides": attr.integers([1, 2, 2, 1])}},
            r"has strides \(1, 2, 2, 1\), expected \(1, 1, 1, 1\)",
        ),
        (
            "max",
            f"{CONV}/Conv2D",
            {"attributes": {"padding": attr.string("VALID")}},
            "has padding VALID",
        ),
        (
            "max",
            f"{CONV}/Conv2D",
            {"attributes": {"data_format": attr.string("NCHW")}},
            "has layout NCHW",
        ),
        (
            "max",
            f"{CONV}/Conv2D",
            {"attributes": {"dilations": attr.integers([1, 2, 2, 1])}},
            "has dilations",
        ),
        (
            "max",
            "model/block2/intra_block_pool",
            {"attributes": {"ksize": attr.integers([1, 2, 2, 1])}},
            r"has sizes \(1, 2, 2, 1\)",
        ),
        ("max", f"{CONV}/Conv2D", {"inputs": ("x", "x")}, "input x .* not constant"),
        ("max", f"{CONV}/Conv2D", {"inputs": ("x",)}, "has no input 1"),
        (
            "max",
            "model/frequency_mean",
            {"attributes": {"keep_dims": attr.boolean(True)}},
            "keeps its dimensions",
        ),
        (
            "max",
            "model/predictions/MatMul",
            {"attributes": {"transpose_b": attr.boolean(True)}},
            "transposes its inputs",
        ),
        ("aps", f"{POOL}/aps/strongest", {"op": "ArgMin"}, "expected one"),
        ("aps", f"{POOL}/aps/pad", {"op": "Pad"}, "is Pad, expected MaxPool"),
        (
            "aps",
            f"{POOL}/aps/pad",
            {"attributes": {"mode": attr.string("SYMMETRIC")}},
            "has mode SYMMETRIC",
        ),
        # The Frobenius norm instead of the l1 norm.
        ("aps", f"{POOL}/aps/phase_t0f0/abs", {"op": "Square"}, "expected one"),
    ],
)
def test_error_names_the_changed_node(
    pooling: Pooling, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnknownLayerError, match=message) as caught:
        read_network(changed(nodes_of(pooling), name, **changes), LAST)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        (f"{CONV}/Relu", (), "the graph lacks its first layers"),
        (f"{CONV}/Relu", ("gone",), "node gone is missing"),
        (f"{CONV}/Conv2D", ("x", "gone"), "node gone is missing"),
        (f"{POOL}/aps/pad", ("gone",), "node gone is missing"),
        (f"{POOL}/aps/strongest", (f"{POOL}/aps/pad",), "is no adaptive polyphase"),
    ],
)
def test_graph_with_a_missing_node_is_refused(
    name: str, inputs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UnknownLayerError, match=message):
        read_network(changed(nodes_of("aps"), name, inputs=inputs), LAST)


def test_missing_activations_node_is_refused() -> None:
    with pytest.raises(UnknownLayerError, match="node other is missing"):
        read_network(nodes_of("max"), "other")


@pytest.mark.parametrize(
    ("pooling", "constant", "value", "message"),
    [
        (
            "max",
            f"{CONV}/kernel",
            np.zeros((5, 5, 6, 8)),
            rf"node {CONV}/Conv2D .* has a kernel of \(5, 5, 6, 8\)",
        ),
        (
            "max",
            f"{CONV}/kernel",
            np.zeros((3, 3, 6)),
            rf"node {CONV}/Conv2D .* has a kernel of \(3, 3, 6\)",
        ),
        (
            "max",
            f"{CONV}/kernel",
            np.zeros((3, 3, 6, 7)),
            f"node {CONV}/Conv2D .* gives 7 channels, expected 8",
        ),
        (
            "max",
            f"{CONV}/kernel",
            np.zeros((3, 3, 5, 8)),
            "node model/block1/conv2/Conv2D .* gives 6 channels, expected 5",
        ),
        (
            "max",
            "model/conv0/kernel",
            np.zeros((3, 3, 2, 4)),
            "node x .* gives 1 channels, expected 2",
        ),
        (
            "max",
            f"{CONV}/bias",
            np.zeros(7),
            f"node {CONV}/BiasAdd .* needs one value for each of 8",
        ),
        (
            "tlpf",
            f"{POOL}/taps",
            np.zeros((5, 5, 7, 1)),
            f"node {POOL}/low_pass .* gives 7 channels, expected 8",
        ),
        (
            "tlpf",
            f"{POOL}/taps",
            np.zeros((3, 3, 8, 1)),
            f"node {POOL}/low_pass .* has a kernel of",
        ),
        (
            "tlpf",
            f"{POOL}/taps",
            np.zeros((5, 5, 8, 2)),
            f"node {POOL}/low_pass .* has a kernel of",
        ),
        (
            "max",
            "model/frequency_mean/axes",
            1,
            r"node model/frequency_mean .* is over axes \[1",
        ),
        (
            "max",
            "model/predictions/kernel",
            np.zeros((31, 200)),
            "node model/block4/conv2/Conv2D .* gives 32 channels, expected 31",
        ),
        (
            "max",
            "model/predictions/kernel",
            np.zeros(32),
            "node model/predictions/MatMul .* has a kernel of",
        ),
        (
            "max",
            "model/predictions/bias",
            np.zeros(1),
            r"node model/predictions/BiasAdd .* adds \(1,\) to \(200,\)",
        ),
    ],
)
def test_error_names_the_layer_of_a_constant_of_wrong_size(
    pooling: Pooling, constant: str, value: Any, message: str
) -> None:
    with pytest.raises(UnknownLayerError, match=message):
        read_network(with_constant(nodes_of(pooling), constant, value), LAST)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"is_training": attr.boolean(True)}, "is in training"),
        # TensorFlow's default of is_training is true.
        ({"is_training": None}, "is in training"),
        ({"epsilon": None}, "has no epsilon"),
        ({"data_format": attr.string("NCHW")}, "has layout NCHW"),
    ],
)
def test_unsuitable_batch_normalisation_is_refused(
    attributes: dict[str, bytes | None], message: str
) -> None:
    nodes, name = unfolded_nodes("max"), "block1/conv1/norm"
    merged = {**nodes[name].attributes, **attributes}
    given = {key: memoryview(v) for key, v in merged.items() if v is not None}
    nodes[name] = dataclasses.replace(nodes[name], attributes=given)
    with pytest.raises(UnknownLayerError, match=f"node {name} .* {message}"):
        read_network(nodes, LAST)


def test_batch_normalisation_with_parameters_of_wrong_size_is_refused() -> None:
    nodes = with_constant(
        unfolded_nodes("max"), "block1/conv1/gamma", np.ones(3, np.float32)
    )
    with pytest.raises(UnknownLayerError, match="block1/conv1/norm .* has parameters"):
        read_network(nodes, LAST)


def test_taps_that_cannot_be_computed_are_refused() -> None:
    nodes = with_constant(unfolded_nodes("tlpf"), "block1/taps/shape", [5, 5, 3, 1])
    with pytest.raises(
        UnknownLayerError, match="block1/taps of node block1/low_pass cannot"
    ):
        read_network(nodes, LAST)
