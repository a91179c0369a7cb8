"""Just enough of protobuf and ONNX to write tiny models without the `onnx` package.

Field numbers are those of onnx.proto (ONNX IR version 8, opset 17): ModelProto, GraphProto, NodeProto,
AttributeProto, TensorProto, ValueInfoProto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float64": 11}

Array = npt.NDArray[np.generic]
Shape = Sequence[int | str]


def varint(value: int) -> bytes:
    """Base-128 varint of a non-negative integer (negative ones as 64-bit two's complement)."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """A varint field."""
    return varint(field << 3) + varint(value)


def message(field: int, data: bytes | str) -> bytes:
    """A length-delimited field: bytes, text or an embedded message."""
    raw = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def tensor(name: str, array: Array) -> bytes:
    """A TensorProto with raw little-endian data."""
    dims = b"".join(number(1, size) for size in array.shape)
    return dims + number(2, ELEMENT_TYPES[str(array.dtype)]) + message(8, name) + message(9, array.tobytes())


def value_info(name: str, kind: str, shape: Shape) -> bytes:
    """A ValueInfoProto of a tensor; text dimensions are symbolic."""
    dims = b"".join(
        message(1, number(1, size) if isinstance(size, int) else message(2, size)) for size in shape
    )
    return message(1, name) + message(2, message(1, number(1, ELEMENT_TYPES[kind]) + message(2, dims)))


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | Sequence[int]) -> bytes:
    """A NodeProto; attributes are integers or lists of integers."""
    parts = [message(1, name) for name in inputs] + [message(2, name) for name in outputs]
    parts += [message(3, f"{op}_{outputs[0]}"), message(4, op)]
    for key, value in attributes.items():
        if isinstance(value, int):
            body = message(1, key) + number(3, value) + number(20, 2)
        else:
            body = message(1, key) + b"".join(number(8, item) for item in value) + number(20, 7)
        parts.append(message(5, body))
    return b"".join(parts)


def model(
    nodes: Sequence[bytes],
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, tuple[str, Shape]],
    weights: Mapping[str, Array],
) -> bytes:
    """A ModelProto. `inputs` and `outputs` map name to (element type, shape); `weights` are initializers."""
    graph = [message(1, item) for item in nodes] + [message(2, "tiny")]
    graph += [message(5, tensor(name, array)) for name, array in weights.items()]
    graph += [message(11, value_info(name, *info)) for name, info in inputs.items()]
    graph += [message(12, value_info(name, *info)) for name, info in outputs.items()]
    opset = message(1, "") + number(2, 17)
    return number(1, 8) + message(2, "hallmark-tests") + message(7, b"".join(graph)) + message(8, opset)
