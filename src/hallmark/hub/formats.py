"""Weights told by what they hold, never by their name: ONNX, safetensors, GGUF.

Only headers are read, with every length compared with what is left of the file, and so many parts at most
that a made-up file costs seconds. Of what a header names, sizes must add up: what is cut off is found.

    safetensors   see `core.safetensors`
    GGUF          see `core.gguf`, which reads whole bytes strictly for an engine; here a file may hold what
                  no engine takes (other architectures, lists in lists, tensors in any order)
    ONNX          a protobuf `ModelProto` (onnx.proto3), see `hub.onnx_file`
"""

from __future__ import annotations

import enum
import math
import struct
from typing import BinaryIO, Final

import msgspec

from hallmark.core.gguf import ALIGNMENT, BLOCKS, LIST, MAGIC, PLAIN, TEXT, VERSIONS
from hallmark.core.safetensors import NotSafetensors, header_length, read_header
from hallmark.hub import onnx_file
from hallmark.hub.weight_reader import Reader, bad, truncated

MOST_PARTS: Final = 4_000_000
MOST_DIMENSIONS: Final = 8
DEEPEST: Final = 4


class Format(enum.StrEnum):
    """What weights can be."""

    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    GGUF = "gguf"


class Weights(msgspec.Struct, frozen=True):
    """Weights that are whole. `external` are the files beside it where an ONNX graph keeps values; `tensors`
    name, type and shape of what the header lists (not of an ONNX graph), `about` a few of its own words.
    """

    format: Format
    external: tuple[str, ...] = ()
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    about: dict[str, str] = {}


def read_weights(file: BinaryIO, size: int) -> Weights | None:
    """What weights a file holds; None when it is something else.

    Raises InvalidInput `weights_truncated`, `bad_weights`, `external_data_outside`.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(MAGIC):
        return _gguf(Reader(file, size))
    if length := header_length(head):
        return _safetensors(file, size, length)
    if onnx_file.begins(head):
        external = onnx_file.external_data(Reader(file, size))
        return None if external is None else Weights(Format.ONNX, external)
    return None


def _safetensors(file: BinaryIO, size: int, length: int) -> Weights:
    if 8 + length > size:
        raise truncated()
    file.seek(8)
    try:
        header = read_header(file.read(length), size)
    except NotSafetensors as error:
        raise truncated() if error.cut else bad(str(error)) from error
    tensors = tuple((one.name, one.dtype, one.shape) for one in header.tensors)
    return Weights(Format.SAFETENSORS, tensors=tensors, about=header.about)


class _Parts:
    """Counts what a GGUF file lists."""

    def __init__(self) -> None:
        self.left = MOST_PARTS

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise bad("A GGUF file lists more than is looked at.")


def _gguf(reader: Reader) -> Weights:
    reader.skip(len(MAGIC))
    (version,) = reader.unpack("<I")
    if version not in VERSIONS:
        raise bad(f"A GGUF file has the unknown version {version}.")
    tensors, pairs = reader.unpack("<QQ")
    parts = _Parts()
    parts.take(tensors + pairs)
    about = {}
    for _ in range(pairs):
        key = _text(reader)
        value = _value(reader, parts, reader.unpack("<I")[0], 0)
        if value is not None:
            about[key] = str(value)
    listed, spans = [], []
    for _ in range(tensors):
        name = _text(reader)
        (dimensions,) = reader.unpack("<I")
        if dimensions > MOST_DIMENSIONS:
            raise bad("A tensor of a GGUF file has too many dimensions.")
        shape = reader.unpack(f"<{dimensions}Q")
        kind, offset = reader.unpack("<IQ")
        values, length = BLOCKS.get(kind, (1, 0))
        spans.append(offset + -(-math.prod(shape) // values) * length)
        listed.append((name, f"type {kind}", shape))
    said = about.get("general.alignment", str(ALIGNMENT))
    alignment = int(said) if said.isdecimal() and said.isascii() and len(said) < 12 else 0
    if alignment <= 0:
        raise bad("A GGUF file's alignment is not a number of bytes.")
    start = -(-reader.at // alignment) * alignment
    if spans and start + max(spans) > reader.size:
        raise truncated()
    return Weights(Format.GGUF, tensors=tuple(listed), about=about)


def _text(reader: Reader) -> str:
    (length,) = reader.unpack("<Q")
    if length > 1 << 20:
        reader.skip(length)
        return ""
    return reader.take(length).decode("utf-8", "replace")


def _value(reader: Reader, parts: _Parts, kind: int, depth: int) -> str | int | None:
    """A text or a whole number; None for anything else, which is passed over."""
    if kind in PLAIN:
        (value,) = reader.unpack(PLAIN[kind])
        return value if isinstance(value, int) else None
    if kind == TEXT:
        return _text(reader)
    if kind != LIST or depth == DEEPEST:
        raise bad("A GGUF file has a value of an unknown type.")
    of, count = reader.unpack("<IQ")
    if of in PLAIN:
        reader.skip(count * struct.calcsize(PLAIN[of]))
        return None
    parts.take(count)
    for _ in range(count):
        if of == TEXT:
            reader.skip(*reader.unpack("<Q"))
        else:
            _value(reader, parts, of, depth + 1)
    return None
