"""Frozen graphs are read without TensorFlow."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter, _message, _number, _shape, _varint
from transforms.engines.graphdef import Node, read_graph

# Values of DataType, and field numbers of TensorProto by type.
FLOAT, DOUBLE, INT32, HALF, INT64 = 1, 2, 3, 19, 9
FIELDS = {FLOAT: 5, DOUBLE: 6, INT32: 7, INT64: 10}
LETTERS = {FLOAT: "f", DOUBLE: "d", INT32: "i", INT64: "q"}


def test_nodes_have_inputs_and_shapes() -> None:
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
def test_truncated_graph_is_refused_or_lacks_nodes(position: int) -> None:
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


def read_node(**attributes: bytes) -> Node:
    writer = GraphWriter()
    writer.node("Const", "c", (), **attributes)
    return read_graph(writer.to_bytes())["c"]


def read_tensor(kind: int, shape: list[int], values: bytes) -> np.ndarray:
    """Reads the value of a Const.

    Args:
        values: Serialized fields of its TensorProto.
    """
    tensor = _number(1, kind) + _message(2, _shape(shape)) + values
    return read_node(value=_message(8, tensor)).tensor()


def packed(kind: int, values: list[float]) -> bytes:
    if kind in (FLOAT, DOUBLE):
        content = struct.pack(f"<{len(values)}{LETTERS[kind]}", *values)
    else:
        content = b"".join(_varint(int(value)) for value in values)
    return _message(FIELDS[kind], content)


def one_by_one(kind: int, values: list[float]) -> bytes:
    if kind not in (FLOAT, DOUBLE):
        return b"".join(_number(FIELDS[kind], int(value)) for value in values)
    key = _varint(FIELDS[kind] << 3 | (5 if kind == FLOAT else 1))
    return b"".join(key + struct.pack(f"<{LETTERS[kind]}", value) for value in values)


def test_attributes_have_the_values_that_were_written() -> None:
    node = read_node(
        strides=attr.integers([1, 2, -1, 300]),
        padding=attr.string("SAME"),
        is_training=attr.boolean(True),
        keep_dims=attr.boolean(False),
        epsilon=attr.real(1e-3),
    )
    assert node.integers("strides") == (1, 2, -1, 300)
    assert node.text("padding") == "SAME"
    assert node.boolean("is_training")
    assert not node.boolean("keep_dims")
    assert node.real("epsilon") == np.float32(1e-3)


def test_unpacked_lists_are_read() -> None:
    unpacked = b"".join(_number(3, value) for value in (1, 2, -1))
    assert read_node(strides=_message(1, unpacked)).integers("strides") == (1, 2, -1)


def test_missing_attributes_are_empty() -> None:
    node = read_node(strides=attr.integers([]))
    assert node.integers("strides") == node.integers("other") == ()
    assert node.text("other") == ""
    assert not node.boolean("other")
    assert node.real("other") == 0


@pytest.mark.parametrize("kind", sorted(FIELDS))
@pytest.mark.parametrize("write", [packed, one_by_one])
def test_listed_tensor_values_may_be_packed_or_single(
    kind: int, write: Callable[[int, list[float]], bytes]
) -> None:
    values = [3.0, -2, 0, 1 << 20, 5, -(1 << 30)]
    tensor = read_tensor(kind, [2, 3], write(kind, values))
    assert tensor.dtype == np.dtype(LETTERS[kind])
    np.testing.assert_array_equal(tensor, np.reshape(values, (2, 3)))
    np.testing.assert_array_equal(
        read_tensor(kind, [3], packed(kind, [1, 2]) + one_by_one(kind, [3])), [1, 2, 3]
    )


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_tensor_values_may_be_raw_bytes(kind: int) -> None:
    content = np.array([[1, -2], [3, 4]], LETTERS[kind]).tobytes()
    tensor = read_tensor(kind, [2, 2], _message(4, content))
    np.testing.assert_array_equal(tensor, [[1, -2], [3, 4]])


@pytest.mark.parametrize("kind", sorted(FIELDS))
@pytest.mark.parametrize("write", [packed, one_by_one])
def test_missing_tensor_values_equal_the_last_value(
    kind: int, write: Callable[[int, list[float]], bytes]
) -> None:
    np.testing.assert_array_equal(
        read_tensor(kind, [2, 2], write(kind, [-7])), [[-7, -7], [-7, -7]]
    )
    np.testing.assert_array_equal(
        read_tensor(kind, [4], write(kind, [1, 2])), [1, 2, 2, 2]
    )
    np.testing.assert_array_equal(read_tensor(kind, [2], b""), [0, 0])
    np.testing.assert_array_equal(
        read_tensor(kind, [2], _message(4, b"") + write(kind, [9])), [9, 9]
    )


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_scalars_and_empty_tensors_are_read(kind: int) -> None:
    for values in (packed(kind, [5]), one_by_one(kind, [5])):
        scalar = read_tensor(kind, [], values)
        assert scalar.shape == () and scalar == 5
    content = np.array(5, LETTERS[kind]).tobytes()
    assert read_tensor(kind, [], _message(4, content)) == 5
    assert read_tensor(kind, [0, 3], b"").shape == (0, 3)


def test_64_bit_integers_are_exact() -> None:
    values: list[float] = [(1 << 62) + 1, -(1 << 63)]
    np.testing.assert_array_equal(
        read_tensor(INT64, [2], packed(INT64, values)), values
    )


def test_errors_of_tensors_name_the_node() -> None:
    with pytest.raises(ValueError, match=f"node c has values of type {HALF}"):
        read_tensor(HALF, [1], b"")
    with pytest.raises(ValueError, match="node c has 6 bytes for shape \\(2,\\)"):
        read_tensor(FLOAT, [2], _message(4, b"abcdef"))
    with pytest.raises(ValueError, match="node c holds no tensor"):
        read_node(value=attr.integer(3)).tensor()
