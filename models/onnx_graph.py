"""The nodes and the values of an ONNX graph, read as protobuf, for graphs with their values inside.

Nothing is run, and no library of ONNX is needed: `models/exact.py` runs wherever numpy does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

GRAPH, NODE, INITIALIZER = 7, 1, 5
TYPES = {1: "<f4", 7: "<i8", 6: "<i4", 11: "<f8"}


class Node(NamedTuple):
    """An operation: its inputs and outputs by name, integers and floats of its attributes."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, list[int] | float]


class Graph(NamedTuple):
    """Operations in order, and values by name."""

    nodes: tuple[Node, ...]
    values: dict[str, np.ndarray]


def read_graph(model: bytes) -> Graph:
    """Read a model file. Raises ValueError where it holds what is not read here."""
    (graph,) = [value for field, value in _fields(model) if field == GRAPH]
    nodes = tuple(_node(value) for field, value in _fields(graph) if field == NODE)
    return Graph(nodes, dict(_value(value) for field, value in _fields(graph) if field == INITIALIZER))


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            size = {1: 8, 5: 4}[tag & 7]
            yield tag >> 3, message[at : at + size]
            at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _node(message: bytes) -> Node:
    parts: dict[int, list[bytes]] = {}
    for field, value in _fields(message):
        parts.setdefault(field, []).append(value)
    texts = [tuple(one.decode() for one in parts.get(field, [])) for field in (1, 2)]
    attributes = dict(_attribute(one) for one in parts.get(5, []))
    return Node(parts[4][0].decode(), texts[0], texts[1], attributes)


def _attribute(message: bytes) -> tuple[str, list[int] | float]:
    name, integers, single = "", [], 0.0
    for field, value in _fields(message):
        if field == 1:
            name = value.decode()
        elif field in (3, 8) and isinstance(value, int):
            integers.append(value)
        elif field == 8:
            integers += [number for number, _ in _packed(value)]
        elif field == 2:
            (single,) = struct.unpack("<f", value)
    return name, integers or single


def _packed(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value, at


def _value(message: bytes) -> tuple[str, np.ndarray]:
    shape, kind, name, raw = [], 0, "", None
    for field, value in _fields(message):
        if field == 1:
            shape += [value] if isinstance(value, int) else [number for number, _ in _packed(value)]
        elif field == 2:
            kind = value
        elif field == 8:
            name = value.decode()
        elif field == 9:
            raw = value
    if raw is None or kind not in TYPES:
        raise ValueError(f"the values of {name} are not inside, or of a type that is not read here")
    return name, np.frombuffer(raw, dtype=TYPES[kind]).reshape(shape)
