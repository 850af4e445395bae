"""Reads a frozen TensorFlow graph (GraphDef protobuf) without TensorFlow.

Only what the pipeline asks of a graph: its nodes with operation, inputs, shapes. Field
numbers are those of tensorflow/core/framework/{graph,node_def,attr_value,tensor,
tensor_shape}.proto.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a graph.

    Attributes:
        name: Unique in the graph.
        op: Operation, for instance Conv2D.
        inputs: Names of the nodes it reads, without output index and control inputs.
        shape: Of a Placeholder (-1 where open) or a Const; None where unknown.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] | None


def read_graph(data: bytes) -> dict[str, Node]:
    """The nodes of a serialized GraphDef, by name.

    Raises:
        ValueError: if `data` is not a GraphDef.
    """
    try:
        view = memoryview(data)
        nodes = [_read_node(value) for field, value in _fields(view) if field == 1]
    except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a TensorFlow GraphDef ({error})") from error
    if not nodes or not all(node.name and node.op for node in nodes):
        raise ValueError("not a TensorFlow GraphDef (no named nodes found)")
    return {node.name: node for node in nodes}


def _read_node(data: memoryview) -> Node:
    name = op = ""
    inputs: list[str] = []
    shape = None
    for field, value in _fields(data):
        if field == 1:
            name = _text(value)
        elif field == 2:
            op = _text(value)
        elif field == 3 and not _text(value).startswith("^"):
            inputs.append(_text(value).split(":")[0])
        elif field == 5:
            found = _shape_of_attribute(value)
            shape = shape if found is None else found
    return Node(name, op, tuple(inputs), shape)


def _shape_of_attribute(entry: memoryview) -> tuple[int, ...] | None:
    """The shape held by attribute `shape` (field 7) or tensor `value` (field 8, 2)."""
    attribute = dict(_fields(entry))
    key = _text(attribute[1])
    content = dict(_fields(attribute[2])) if 2 in attribute else {}
    if key == "shape" and 7 in content:
        return _read_shape(content[7])
    if key == "value" and 8 in content:
        tensor = dict(_fields(content[8]))
        return _read_shape(tensor[2]) if 2 in tensor else ()
    return None


def _read_shape(data: memoryview) -> tuple[int, ...] | None:
    sizes = []
    for field, value in _fields(data):
        if field == 3 and value:
            return None
        if field == 2:
            size = dict(_fields(value)).get(1, 0)
            sizes.append(size - (1 << 64) if size >> 63 else size)
    return tuple(sizes)


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise IndexError(f"wire type {kind} at byte {position}")
        if position + size > len(data):
            raise IndexError(f"field of {size} bytes at byte {position} is cut off")
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise IndexError(f"number at byte {position} is too long")


def _text(value: memoryview) -> str:
    if not isinstance(value, memoryview):
        raise TypeError("a number where a name belongs")
    return bytes(value).decode("utf-8")
