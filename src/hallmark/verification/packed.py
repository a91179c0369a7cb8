"""EIP-712 struct hashes straight from the packed bytes of the log, without a field-by-field re-encoding.

The packed form is the fields in order, big-endian; EIP-712 pads each to 32 bytes on the left. A test holds
this against `TypedStruct.struct_hash` for every statement.
"""

from __future__ import annotations

import functools

from hallmark.core.hashing import keccak256
from hallmark.core.typed import TypedStruct


@functools.cache
def _plan(cls: type[TypedStruct]) -> tuple[bytes, tuple[tuple[bytes, int, int], ...]]:
    """Type hash, and (zero padding, start, end) of each run of fields that needs none between them."""
    runs: list[tuple[bytes, int, int]] = []
    at = 0
    for field in cls.fields():
        end = at + field.size
        padding = bytes(32 - field.size)
        if runs and not padding:
            before, start, _ = runs.pop()
            runs.append((before, start, end))
        else:
            runs.append((padding, at, end))
        at = end
    return keccak256(cls.type_string().encode()), tuple(runs)


@functools.cache
def packed_size(cls: type[TypedStruct]) -> int:
    """Length of the packed form in bytes."""
    return cls.packed_size()


def struct_hash(cls: type[TypedStruct], packed: bytes) -> bytes:
    """EIP-712 `hashStruct` of a packed statement of exactly `cls.packed_size()` bytes; 32 bytes."""
    type_hash, runs = _plan(cls)
    return keccak256(type_hash + b"".join([padding + packed[start:end] for padding, start, end in runs]))
