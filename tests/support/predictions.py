"""Compares predictions of two engines, and writes a model whose result is simple."""

import pathlib

import numpy as np

from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter
from transforms.elements import Prediction

TOLERANCE = 1e-5


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
