"""The initialisers of an ONNX graph as arrays, read as the protobuf that it is, without a library of ONNX."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

GRAPH, INITIALISER = 7, 5
DIMENSIONS, TYPE, NAME, RAW = 1, 2, 8, 9
TYPES = {1: np.dtype("<f4"), 6: np.dtype("<i4"), 7: np.dtype("<i8")}


def initialisers(model: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """Every tensor of the graph whose values stand in the file itself, by name."""
    found = {}
    for number, graph in _fields(memoryview(model)):
        if number == GRAPH:
            for inner, tensor in _fields(graph):
                if inner == INITIALISER:
                    name, values = _tensor(tensor)
                    found[name] = values
    return found


def _tensor(tensor: memoryview) -> tuple[str, npt.NDArray[np.generic]]:
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(tensor):
        if number == DIMENSIONS:
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif number == TYPE:
            kind = value
        elif number == NAME:
            name = bytes(value).decode()
        elif number == RAW:
            raw = value
    if kind not in TYPES or len(raw) != math.prod(shape) * TYPES[kind].itemsize:
        return name, np.zeros(0)
    return name, np.frombuffer(raw, TYPES[kind]).reshape(shape)


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[wire]
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
