"""Compares predictions of two engines, and writes a model whose result is simple."""

import pathlib

import numpy as np

from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter
from training.graphs.random_graphs import random_weights
from training.graphs.sinet_graph import Pooling, build_graph
from transforms.elements import Prediction
from transforms.engines.contract import ModelSpec
from transforms.models.loading import load_model

TOLERANCE = 1e-5
POOLINGS: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")


def assert_close(actual: Prediction, expected: Prediction) -> None:
    """Two predictions differ by at most TOLERANCE.

    The tolerance of embeddings is relative to the largest embedding, if that is above
    1.
    """
    assert actual.activations.dtype == actual.embeddings.dtype == np.float32
    np.testing.assert_allclose(
        actual.activations, expected.activations, rtol=0, atol=TOLERANCE
    )
    largest = max(1.0, float(np.abs(expected.embeddings).max(initial=0)))
    np.testing.assert_allclose(
        actual.embeddings, expected.embeddings, rtol=0, atol=TOLERANCE * largest
    )


def random_model(folder: pathlib.Path, width: float, pooling: Pooling) -> ModelSpec:
    """Writes a graph with random weights, and reads it as a model."""
    path = folder / "model.pb"
    path.write_bytes(build_graph(random_weights(width, 5), pooling))
    return load_model(str(path))


def write_model(path: pathlib.Path, weight: float, last_op: str) -> None:
    """Writes a graph that multiplies the largest input by a weight.

    Args:
        path: File to write.
        weight: Weight of all 200 outputs.
        last_op: TensorFlow operation of the last node, for example Sigmoid.
    """
    writer = GraphWriter()
    kind = {"T": attr.type_float()}
    sizes = attr.shape([-1, 101, 96, 1])
    writer.node("Placeholder", "x", (), dtype=attr.type_float(), shape=sizes)
    writer.constant("axes", [1, 2])
    writer.node(
        "Max",
        "model/global_max_pooling1d/Max",
        ["x", "axes"],
        Tidx=attr.type_int32(),
        **kind,
    )
    writer.constant("kernel", np.full((1, 200), weight))
    source = ["model/global_max_pooling1d/Max", "kernel"]
    writer.node("MatMul", "dense", source, **kind)
    writer.node(last_op, "model/predictions/Sigmoid", ["dense"], **kind)
    path.write_bytes(writer.to_bytes())
