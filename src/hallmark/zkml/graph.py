"""An ONNX file as nodes and constants (ModelProto, onnx.proto3), as far as a circuit needs it."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from hallmark.core.errors import InvalidInput
from hallmark.zkml import protobuf as pb

Floats = npt.NDArray[np.float64]
DTYPES: Final = {1: ("<f4", 4), 7: ("<i8", 8), 11: ("<f8", 8)}
MAX_FILE: Final = 4_000_000
MAX_VALUES: Final = 1_000_000
MAX_NODES: Final = 200
MAX_DIMS: Final = 8
Attribute = int | float | list[int] | str


class Node(msgspec.Struct, frozen=True):
    """One operator: its type, what it reads, what it makes, its attributes by name."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


class Graph(msgspec.Struct, frozen=True):
    """Nodes in their order, constants by name, and the names of what enters and leaves."""

    nodes: tuple[Node, ...]
    constants: dict[str, Floats]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read(data: bytes) -> Graph:
    """Read an ONNX file. Raises InvalidInput `bad_onnx`, `zk_model_too_large`."""
    if len(data) > MAX_FILE:
        raise too_large(f"a file of {len(data)} bytes")
    for number, value in pb.fields(data):
        if number == 7:
            return _graph(pb.blob(value))
    raise InvalidInput("bad_onnx", "The file holds no graph.")


def too_large(what: str) -> InvalidInput:
    """The error for a model that no circuit is made for."""
    return InvalidInput(
        "zk_model_too_large", f"No circuit is made for {what}.", "See docs/zkml.md for the limits."
    )


def _graph(data: bytes) -> Graph:
    nodes: list[Node] = []
    constants: dict[str, Floats] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    for number, value in pb.fields(data):
        if number == 1:
            nodes.append(_node(pb.blob(value)))
        elif number == 5:
            name, array = _tensor(pb.blob(value))
            constants[name] = array
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(_name(pb.blob(value)))
    if len(nodes) > MAX_NODES or sum(array.size for array in constants.values()) > MAX_VALUES:
        raise too_large(f"{len(nodes)} operators")
    free = tuple(name for name in inputs if name not in constants)
    return Graph(tuple(nodes), constants, free, tuple(outputs))


def _node(data: bytes) -> Node:
    op, inputs, outputs = "", list[str](), list[str]()
    attributes: dict[str, Attribute] = {}
    for number, value in pb.fields(data):
        if number == 1:
            inputs.append(pb.text(value))
        elif number == 2:
            outputs.append(pb.text(value))
        elif number == 4:
            op = pb.text(value)
        elif number == 5:
            name, found = _attribute(pb.blob(value))
            attributes[name] = found
    return Node(op, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: bytes) -> tuple[str, Attribute]:
    name = ""
    found: Attribute = 0
    integers: list[int] = []
    for number, value in pb.fields(data):
        if number == 1:
            name = pb.text(value)
        elif number == 2:
            found = pb.float32(value)
        elif number == 3:
            found = pb.signed(value)
        elif number == 4:
            found = pb.text(value)
        elif number == 8:
            integers += pb.numbers(value)
    return name, integers or found


def _tensor(data: bytes) -> tuple[str, Floats]:
    name, kind, dims, raw = "", 0, list[int](), b""
    for number, value in pb.fields(data):
        if number == 1:
            dims += pb.numbers(value)
        elif number == 2:
            kind = pb.signed(value)
        elif number == 8:
            name = pb.text(value)
        elif number in (4, 9) or (number == 7 and kind == 7):
            raw = np.array(pb.numbers(value), "<i8").tobytes() if number == 7 else pb.blob(value)
    if kind not in DTYPES or len(dims) > MAX_DIMS:
        raise InvalidInput("bad_onnx", "A constant is of a type or a shape that no circuit is made for.")
    count = math.prod(dims)
    if (
        not all(1 <= size <= MAX_VALUES for size in dims)
        or count > MAX_VALUES
        or len(raw) != count * DTYPES[kind][1]
    ):
        raise InvalidInput("bad_onnx", "A constant's bytes do not fit its shape.")
    array = np.frombuffer(raw, DTYPES[kind][0]).astype(np.float64).reshape(dims)
    if not np.isfinite(array).all():
        raise InvalidInput("bad_onnx", "A constant is not finite.")
    return name, array


def _name(data: bytes) -> str:
    return next((pb.text(value) for number, value in pb.fields(data) if number == 1), "")
