"""Reading frozen graphs without TensorFlow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import graph_writer as attr
from training.graph_writer import GraphWriter
from transforms.graphdef import read_graph


def test_nodes_come_back_with_inputs_and_shapes() -> None:
    writer = GraphWriter()
    x = writer.node("Placeholder", "x", (), shape=attr.shape([-1, 101, 96, 1]))
    kernel = writer.constant("kernel", np.zeros((3, 4), np.float32))
    scalar = writer.constant("scalar", 1)
    writer.node("MatMul", "product", [f"{x}:0", kernel, f"^{scalar}"])
    nodes = read_graph(writer.to_bytes())
    assert nodes["x"].shape == (-1, 101, 96, 1)
    assert nodes["kernel"].shape == (3, 4)
    assert nodes["scalar"].shape == ()
    assert nodes["product"].inputs == ("x", "kernel")
    assert nodes["product"].op == "MatMul"


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read_but_never_crash(data: bytes) -> None:
    try:
        nodes = read_graph(data)
    except ValueError as error:
        assert "not a TensorFlow GraphDef" in str(error)
    else:
        assert nodes


@given(st.integers(min_value=1))
def test_a_cut_off_graph_is_refused_or_lacks_nodes(position: int) -> None:
    writer = GraphWriter()
    for index in range(3):
        writer.constant(f"c{index}", np.arange(5))
    data = writer.to_bytes()
    try:
        nodes = read_graph(data[: position % len(data)])
    except ValueError:
        return
    assert len(nodes) <= 3


def test_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not a TensorFlow GraphDef"):
        read_graph(b"<html>404 not found</html>")
