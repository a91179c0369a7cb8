"""ONNX graphs, read as the protobuf that they are (onnx.proto3): which files beside it hold their values.

No library of ONNX is needed, and no value is read: fields that hold no tensor are passed over.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.hub.weight_reader import Reader, bad, truncated

MOST_FIELDS: Final = 2_000_000
DEEPEST: Final = 64
MOST_TEXT: Final = 4_096
NEWEST: Final = 64
"""IR versions that are thought of."""

MODEL, GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, TRAINING, FUNCTION, PAIR = range(9)
INSIDE: Final[dict[int, dict[int, int]]] = {
    MODEL: {7: GRAPH, 20: TRAINING, 25: FUNCTION},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    TENSOR: {13: PAIR},
    SPARSE: {1: TENSOR, 2: TENSOR},
    TRAINING: {1: GRAPH, 2: GRAPH},
    FUNCTION: {7: NODE, 11: ATTRIBUTE},
    PAIR: {},
}
"""The fields of each message in which a tensor can be, and the message that each of them is."""
GRAPH_FIELD: Final = 7
OPSETS_FIELD: Final = 8
FIXED: Final = {1: 8, 5: 4}
SECOND: Final = frozenset((0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42))


def begins(head: bytes) -> bool:
    """Whether a file may be an ONNX model: its IR version comes first, then a field that a model has."""
    return len(head) > 2 and head[0] == 8 and 0 < head[1] <= NEWEST and head[2] in SECOND


def external_data(reader: Reader) -> tuple[str, ...] | None:
    """The files beside a model where its values are, as it names them; None when it is no ONNX model.

    Raises InvalidInput `weights_truncated`, `bad_weights`, and `external_data_outside` for a name that leaves
    the model's folder.
    """
    return _Walk(reader).run()


class _Walk:
    """One pass over a model. `_open` are the messages around the place, each with its end."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._open = [(MODEL, reader.size)]
        self._fields: set[int] = set()
        self._files: dict[str, None] = {}
        self._key = ""

    def run(self) -> tuple[str, ...] | None:
        reader, left = self._reader, MOST_FIELDS
        while self._open:
            kind, end = self._open[-1]
            if reader.at >= end:
                self._open.pop()
                continue
            left -= 1
            if not left:
                raise bad("An ONNX graph has more parts than are looked at.")
            tag = self._varint()
            self._field(kind, tag >> 3, tag & 7, end)
        if GRAPH_FIELD not in self._fields:
            return None
        if OPSETS_FIELD not in self._fields:
            raise bad("An ONNX model does not say which operators it is made of.")
        return tuple(self._files)

    def _field(self, kind: int, number: int, wire: int, end: int) -> None:
        if kind == MODEL:
            self._fields.add(number)
        if wire == 0:
            self._varint()
        elif wire in FIXED:
            self._reader.skip(FIXED[wire])
        elif wire == 2 and number:
            length = self._varint()
            if length > end - self._reader.at:
                raise truncated() if end == self._reader.size else bad("Parts of an ONNX graph overlap.")
            self._enter(kind, number, length)
        else:
            raise bad("An ONNX graph is not the protobuf that it begins as.")

    def _enter(self, kind: int, number: int, length: int) -> None:
        inside = INSIDE[kind].get(number)
        if inside is not None:
            if len(self._open) == DEEPEST:
                raise bad("An ONNX graph is nested too deeply.")
            self._open.append((inside, self._reader.at + length))
        elif kind == PAIR and number in (1, 2) and length <= MOST_TEXT:
            text = self._reader.take(length).decode("utf-8", "replace")
            if number == 1:
                self._key = text
            elif self._key == "location":
                self._files[_inside_folder(text)] = None
        else:
            self._reader.skip(length)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._reader.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise bad("An ONNX graph is not the protobuf that it begins as.")


def _inside_folder(location: str) -> str:
    parts = location.replace("\\", "/").split("/")
    if not location.isprintable() or ":" in parts[0] or any(part in ("", "..") for part in parts):
        raise InvalidInput(
            "external_data_outside",
            "An ONNX graph takes values from a file outside of its own folder.",
            "Save it with its values inside, or in a file beside it.",
        )
    return location
