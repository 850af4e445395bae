"""Reads a frozen TensorFlow graph (GraphDef protobuf) without TensorFlow.

Field numbers are those of tensorflow/core/framework/{graph,node_def,attr_value,tensor,
tensor_shape,types}.proto.
"""

import dataclasses
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# By the value of DataType (types.proto): the numpy type, and the field number of a
# tensor that lists values of this type.
_TYPES = {1: ("<f4", 5), 2: ("<f8", 6), 3: ("<i4", 7), 9: ("<i8", 10)}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass(frozen=True)
class Node:
    """One node of a graph.

    Attributes:
        name: Name, unique in the graph.
        op: Operation, for instance Conv2D.
        inputs: Names of the nodes it reads, without output indices and control inputs.
        shape: Shape of a Placeholder (-1 for an open size) or of a Const; None if
            unknown.
        attributes: Serialized AttrValue messages, by name.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] | None
    attributes: Mapping[str, memoryview] = dataclasses.field(repr=False)

    def integers(self, key: str) -> tuple[int, ...]:
        """An attribute that lists integers, such as strides; empty if not set."""
        content = self._attribute(key).get(1)
        return () if content is None else tuple(_repeated(content, 3, "<i8").tolist())

    def text(self, key: str) -> str:
        """An attribute that is a string, such as padding; empty if not set."""
        content = self._attribute(key).get(2)
        return "" if content is None else _text(content)

    def boolean(self, key: str) -> bool:
        """An attribute that is a flag; False if not set."""
        return bool(self._attribute(key).get(5, 0))

    def real(self, key: str) -> float:
        """An attribute that is a float; 0 if not set."""
        content = self._attribute(key).get(4)
        return 0.0 if content is None else float(struct.unpack("<f", content)[0])

    def tensor(self) -> np.ndarray:
        """The value of a Const, in its own type.

        Raises:
            ValueError: if the node is not a Const, has a type that no layer has, or has
                another size than its shape. The message names the node.
        """
        content = self._attribute("value").get(8)
        if content is None:
            raise ValueError(f"node {self.name} holds no tensor")
        fields = dict(_fields(content))
        if fields.get(1) not in _TYPES:
            raise ValueError(f"node {self.name} has values of type {fields.get(1)}")
        dtype, listed = _TYPES[fields[1]]
        shape = (_read_shape(fields[2]) if 2 in fields else ()) or ()
        size, raw = math.prod(shape), fields.get(4, b"")
        if not len(raw):
            values = _filled(_repeated(content, listed, dtype), size)
        elif len(raw) == size * np.dtype(dtype).itemsize:
            values = np.frombuffer(raw, dtype)
        else:
            raise ValueError(f"node {self.name} has {len(raw)} bytes for shape {shape}")
        return values.reshape(shape)

    def _attribute(self, key: str) -> dict[int, Any]:
        content = self.attributes.get(key)
        return {} if content is None else dict(_fields(content))


def read_graph(data: bytes) -> dict[str, Node]:
    """Reads the nodes of a serialized GraphDef, by name.

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
    attributes: dict[str, memoryview] = {}
    for field, value in _fields(data):
        if field == 1:
            name = _text(value)
        elif field == 2:
            op = _text(value)
        elif field == 3 and not _text(value).startswith("^"):
            inputs.append(_text(value).split(":")[0])
        elif field == 5:
            entry = dict(_fields(value))
            attributes[_text(entry[1])] = entry.get(2, memoryview(b""))
    return Node(name, op, tuple(inputs), _shape(attributes), attributes)


def _shape(attributes: Mapping[str, memoryview]) -> tuple[int, ...] | None:
    """The shape held by attribute `shape` (field 7) or tensor `value` (field 8, 2)."""
    shape = dict(_fields(attributes.get("shape", memoryview(b""))))
    if 7 in shape:
        return _read_shape(shape[7])
    value = dict(_fields(attributes.get("value", memoryview(b""))))
    if 8 in value:
        tensor = dict(_fields(value[8]))
        return _read_shape(tensor[2]) if 2 in tensor else ()
    return None


def _filled(values: np.ndarray, size: int) -> np.ndarray:
    """Fills missing values as TensorFlow does: with the last value, or else with 0."""
    if not len(values):
        return np.zeros(size, values.dtype)
    return values[np.minimum(np.arange(size), len(values) - 1)]


def _repeated(content: memoryview, number: int, dtype: str) -> np.ndarray:
    """The values of a repeated field, which may be packed, single, or mixed."""
    parts = [value for field, value in _fields(content) if field == number]
    return np.concatenate([np.empty(0, dtype), *(_values(p, dtype) for p in parts)])


def _values(part: memoryview | int, dtype: str) -> np.ndarray:
    """The values of one field: a single varint, or packed numbers."""
    if isinstance(part, memoryview) and np.dtype(dtype).kind == "f":
        return np.frombuffer(part, dtype)
    numbers = [_signed(part)] if isinstance(part, int) else [*_varints(part)]
    return np.array(numbers, np.int64).astype(dtype)


def _varints(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield _signed(value)


def _signed(value: int) -> int:
    """Decodes a negative number, which is written as an unsigned 64-bit number."""
    return value - (1 << 64) if value >> 63 else value


def _read_shape(data: memoryview) -> tuple[int, ...] | None:
    sizes = []
    for field, value in _fields(data):
        if field == 3 and value:
            return None
        if field == 2:
            sizes.append(_signed(dict(_fields(value)).get(1, 0)))
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
        raise TypeError("got a number, expected a name")
    return bytes(value).decode("utf-8")
