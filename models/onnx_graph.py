"""The nodes and the values of an ONNX graph, for graphs with their values inside.

Nothing is run, and no library of ONNX is needed. What reads graphs for circuits (`hallmark.zkml.graph`) has
bounds that a language model is over, so the two have the wire format in common and no more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hallmark.zkml import protobuf as pb

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
    """Read a model file. Raises InvalidInput where it is none, ValueError where it holds what is not read."""
    (graph,) = _inside(model, GRAPH)
    return Graph(tuple(map(_node, _inside(graph, NODE))), dict(map(_value, _inside(graph, INITIALIZER))))


def _inside(message: bytes, field: int) -> list[bytes]:
    return [pb.blob(value) for number, value in pb.fields(message) if number == field]


def _node(message: bytes) -> Node:
    inputs, outputs, (operation,) = ([one.decode() for one in _inside(message, field)] for field in (1, 2, 4))
    return Node(operation, tuple(inputs), tuple(outputs), dict(map(_attribute, _inside(message, 5))))


def _attribute(message: bytes) -> tuple[str, list[int] | float]:
    name, integers, single = "", [], 0.0
    for field, value in pb.fields(message):
        if field == 1:
            name = pb.text(value)
        elif field in (3, 8):
            integers += pb.numbers(value)
        elif field == 2:
            single = pb.float32(value)
    return name, integers or single


def _value(message: bytes) -> tuple[str, np.ndarray]:
    shape, kind, name, raw = [], 0, "", None
    for field, value in pb.fields(message):
        if field == 1:
            shape += pb.numbers(value)
        elif field == 2:
            kind = value
        elif field == 8:
            name = pb.text(value)
        elif field == 9:
            raw = pb.blob(value)
    if raw is None or kind not in TYPES:
        raise ValueError(f"the values of {name} are not inside, or of a type that is not read here")
    return name, np.frombuffer(raw, dtype=TYPES[kind]).reshape(shape)
