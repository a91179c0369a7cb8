"""The protobuf wire format, as far as an ONNX file needs it: fields by number, nothing interpreted.

Source: protobuf's "Encoding" page. A file may be a stranger's, so every length is checked before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from hallmark.core.errors import InvalidInput

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT: Final = 10
Field = tuple[int, int | bytes]


def fields(data: bytes) -> Iterator[Field]:
    """Field number and value (an integer or bytes) one after another. Raises InvalidInput `bad_onnx`."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise _bad()
        if at + size > len(data):
            raise _bad()
        yield number, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """One base-128 number and where the next thing begins. Raises InvalidInput `bad_onnx`."""
    value = 0
    for index in range(MAX_VARINT):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), at + index + 1
    raise _bad()


def signed(value: int | bytes) -> int:
    """A varint read as int64. Raises InvalidInput `bad_onnx`."""
    if isinstance(value, bytes):
        raise _bad()
    return value - 2**64 if value >= 2**63 else value


def blob(value: int | bytes) -> bytes:
    """A field that must be bytes. Raises InvalidInput `bad_onnx`."""
    if not isinstance(value, bytes):
        raise _bad()
    return value


def text(value: int | bytes) -> str:
    """A field that must be UTF-8 text. Raises InvalidInput `bad_onnx`."""
    try:
        return blob(value).decode()
    except UnicodeDecodeError as error:
        raise _bad() from error


def numbers(value: int | bytes) -> list[int]:
    """A repeated int64 field, packed or not. Raises InvalidInput `bad_onnx`."""
    if not isinstance(value, bytes):
        return [signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(signed(number))
    return found


def float32(value: int | bytes) -> float:
    """A fixed32 field read as a float. Raises InvalidInput `bad_onnx`."""
    data = blob(value)
    if len(data) != 4:
        raise _bad()
    found: float = struct.unpack("<f", data)[0]
    return found


def _bad() -> InvalidInput:
    return InvalidInput("bad_onnx", "The bytes are not an ONNX file.")
