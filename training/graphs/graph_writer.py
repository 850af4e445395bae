"""Writes frozen TensorFlow graphs (GraphDef) with numpy and the protobuf wire format.

Field numbers are those of tensorflow/core/framework/{graph,node_def,attr_value,tensor,
tensor_shape}.proto. `transforms.engines.graphdef` reads what this module writes.
"""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

_FLOAT, _INT32 = 1, 3
# The graph versions that TensorFlow 2.5 writes and requires.
_PRODUCER, _MIN_CONSUMER = 716, 12


class GraphWriter:
    """Collects nodes. Every method adds one node and returns its name."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []

    def to_bytes(self) -> bytes:
        """The serialized GraphDef."""
        versions = _number(1, _PRODUCER) + _number(2, _MIN_CONSUMER)
        return b"".join(self._nodes) + _message(4, versions)

    def node(
        self, op: str, name: str, inputs: Iterable[str], **attributes: bytes
    ) -> str:
        body = _text(1, name) + _text(2, op)
        body += b"".join(_text(3, source) for source in inputs)
        for key in sorted(attributes):
            body += _message(5, _text(1, key) + _message(2, attributes[key]))
        self._nodes.append(_message(1, body))
        return name

    def constant(self, name: str, value: np.ndarray | Sequence[int] | int) -> str:
        array = np.asarray(value)
        is_float = array.dtype.kind == "f"
        kind = _FLOAT if is_float else _INT32
        array = np.ascontiguousarray(array.astype("<f4" if is_float else "<i4"))
        tensor = _number(1, kind) + _message(2, _shape(np.shape(value)))
        tensor += _message(4, array.tobytes())
        return self.node(
            "Const", name, (), dtype=_number(6, kind), value=_message(8, tensor)
        )


def type_float() -> bytes:
    return _number(6, _FLOAT)


def type_int32() -> bytes:
    return _number(6, _INT32)


def string(value: str) -> bytes:
    return _text(2, value)


def boolean(value: bool) -> bytes:
    return _number(5, int(value))


def integer(value: int) -> bytes:
    return _number(3, value)


def integers(values: Iterable[int]) -> bytes:
    return _message(1, _message(3, b"".join(map(_varint, values))))


def real(value: float) -> bytes:
    return _varint(4 << 3 | 5) + struct.pack("<f", value)


def shape(sizes: Iterable[int]) -> bytes:
    return _message(7, _shape(sizes))


def _shape(sizes: Iterable[int]) -> bytes:
    return b"".join(_message(2, _number(1, size)) for size in sizes)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode("utf-8"))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])
