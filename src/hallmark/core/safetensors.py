"""The safetensors format: named tensors in one file, nothing in it that can run.

    u64le length || JSON {name: {dtype, shape, data_offsets}, "__metadata__": {text: text}} || data

Source: https://github.com/huggingface/safetensors, "Format". Data is little-endian, in row-major order,
without gaps or overlaps. What is not exactly so is refused, duplicate names included.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

MOST_HEADER: Final = 100_000_000
"""Bytes of a header, as the format's own library allows."""
BITS: Final = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "BOOL": 8, "U8": 8, "I8": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
MEMORY: Final = {
    "BOOL": "?", "U8": "B", "I8": "b", "U16": "H", "I16": "h", "U32": "I", "I32": "i", "U64": "Q", "I64": "q",
    "F16": "e", "F32": "f", "F64": "d",
}  # fmt: skip
"""Element types that Python reads, by their letters in `struct`."""
ALIGNMENT: Final = 8
MOST_DIMENSIONS: Final = 64
MOST_EMPTY: Final = 1_000_000
"""Lists that a tensor without a value may become: its length bounds them no more."""


class NotSafetensors(ValueError):
    """A file that is no safetensors, in words; `cut` where it ends too early."""

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


class Tensor(msgspec.Struct, frozen=True):
    """One tensor of a header: element type, shape, and where its bytes begin and end in the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(msgspec.Struct, frozen=True):
    """What a file says of itself: its tensors as listed, free texts, and where the data begins."""

    tensors: tuple[Tensor, ...]
    about: dict[str, str]
    data_at: int


class StoredTensor(msgspec.Struct, frozen=True):
    """A tensor with its bytes, little-endian and in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview

    def lists(self) -> Any:
        """Nested lists of numbers. Raises NotSafetensors for element types that Python does not have, and for
        shapes that are more lists than numbers.
        """
        if self.dtype not in MEMORY:
            raise NotSafetensors(f"Python has no numbers of the type {self.dtype}.")
        if len(self.shape) > MOST_DIMENSIONS:
            raise NotSafetensors(f"A tensor has more than {MOST_DIMENSIONS} dimensions.")
        if 0 in self.shape:
            if math.prod(self.shape[: self.shape.index(0)]) > MOST_EMPTY:
                raise NotSafetensors("A tensor without a value has too many rows.")
            return _empty(self.shape)
        values = struct.unpack(f"<{math.prod(self.shape)}{MEMORY[self.dtype]}", self.data)
        return _nested(values, self.shape) if self.shape else values[0]


def header_length(head: bytes) -> int:
    """How long the header is that begins behind these first nine bytes; 0 where they begin no safetensors."""
    length = int.from_bytes(head[:8], "little")
    return length if head[8:9] == b"{" and 2 <= length <= MOST_HEADER else 0


def read_header(text: bytes, size: int) -> Header:
    """What the header of a file of `size` bytes says, and that sizes add up. Raises NotSafetensors."""
    try:
        listed = json.loads(text.decode(), object_pairs_hook=_once)
    except NotSafetensors:
        raise
    except (ValueError, RecursionError) as error:
        raise NotSafetensors("The header of a safetensors file is not JSON.") from error
    about = listed.pop("__metadata__", {})
    tensors = tuple(_entry(name, entry) for name, entry in listed.items())
    at = 0
    for one in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if one.begin != at:
            raise NotSafetensors("The tensors of a safetensors file overlap, or leave gaps.")
        at = one.end
    if 8 + len(text) + at > size:
        raise NotSafetensors("The file ends before its last tensor.", cut=True)
    if 8 + len(text) + at < size:
        raise NotSafetensors("A safetensors file goes on behind its last tensor.")
    texts = {str(key): str(value) for key, value in about.items()} if isinstance(about, dict) else {}
    return Header(tensors, texts, 8 + len(text))


def read_tensors(data: bytes) -> dict[str, StoredTensor]:
    """Every tensor of a file, without copying. Raises NotSafetensors."""
    length = header_length(data[:9])
    if not length:
        raise NotSafetensors("The bytes do not begin as a safetensors file does.")
    if 8 + length > len(data):
        raise NotSafetensors("The file ends within its header.", cut=True)
    header, view = read_header(data[8 : 8 + length], len(data)), memoryview(data)
    return {
        one.name: StoredTensor(
            one.dtype, one.shape, view[header.data_at + one.begin : header.data_at + one.end]
        )
        for one in header.tensors
    }


def write_tensors(tensors: Mapping[str, StoredTensor]) -> bytes:
    """A file of these tensors, in order of their names: the same tensors give the same bytes."""
    listed, parts, at = dict[str, object](), list[bytes](), 0
    for name, one in sorted(tensors.items()):
        data = bytes(one.data)
        listed[name] = {"dtype": one.dtype, "shape": one.shape, "data_offsets": (at, at + len(data))}
        parts.append(data)
        at += len(data)
    text = msgspec.json.encode(listed)
    text += b" " * (-len(text) % ALIGNMENT)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _entry(name: str, entry: object) -> Tensor:
    try:
        known = msgspec.convert(entry, type=_Entry)
    except msgspec.ValidationError as error:
        raise NotSafetensors("A tensor of a safetensors file has no type, shape or place.") from error
    begin, end = known.data_offsets
    if known.dtype not in BITS or min((*known.shape, begin)) < 0:
        raise NotSafetensors("A tensor of a safetensors file has an unknown type, or a length below zero.")
    if 8 * (end - begin) != math.prod(known.shape) * BITS[known.dtype]:
        raise NotSafetensors("A tensor of a safetensors file has another length than its shape.")
    return Tensor(name, known.dtype, known.shape, begin, end)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotSafetensors("The header of a safetensors file names one thing twice.")
    return found


def _nested(flat: Sequence[Any], shape: Sequence[int]) -> Any:
    for size in reversed(shape[1:]):
        flat = [list(flat[at : at + size]) for at in range(0, len(flat), size)]
    return list(flat)


def _empty(shape: Sequence[int]) -> Any:
    return [] if not shape[0] else [_empty(shape[1:]) for _ in range(shape[0])]
