"""Small files of weights, made by hand: no library of their formats is needed."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping

from hallmark.core.gguf import BLOCKS
from hallmark.core.safetensors import BITS
from hallmark.testing import gguf_files
from hallmark.testing.protobuf import varint


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """A safetensors file of zeros: type and shape by name."""
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        end = at + math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def gguf(about: Mapping[str, str], tensors: Mapping[str, tuple[int, tuple[int, ...]]]) -> bytes:
    """A GGUF file of zeros: words about it, and type and shape by name."""
    listed, at = [], 0
    for name, (kind, shape) in tensors.items():
        listed.append(gguf_files.tensor(name, shape, kind, at))
        values, length = BLOCKS[kind]
        at += math.prod(shape) // values * length
    return gguf_files.written([gguf_files.said(*pair) for pair in about.items()], listed, data=at)


def field(number: int, wire: int, value: int | bytes) -> bytes:
    """A field of a protobuf message: a number (wire type 0), or bytes (2)."""
    tag = varint(number << 3 | wire)
    return tag + (varint(value) if isinstance(value, int) else varint(len(value)) + value)


def onnx(external: str = "") -> bytes:
    """An ONNX model with one tensor, which lies in a file where one is named. It cannot be run."""
    pair = field(1, 2, b"location") + field(2, 2, external.encode())
    tensor = field(1, 0, 4) + field(2, 0, 1) + (field(13, 2, pair) if external else field(9, 2, bytes(16)))
    opset = field(2, 0, 17)
    return field(1, 0, 8) + field(2, 2, b"by hand") + field(7, 2, field(5, 2, tensor)) + field(8, 2, opset)
