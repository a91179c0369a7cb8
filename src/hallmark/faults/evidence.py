"""Evidence of a fault, as bytes that travel alone.

    u8   version = 1
    u8   form                      (see Form; numbers are for ever)
    u8   number of parts           then u32be length and bytes each

A signed part is a packed statement and one signature: statement (fixed size) || r || s || v, 65 bytes.
Nothing outside these bytes is needed but which network and chain they are judged for.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, TypeVar

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.typed import TypedStruct

EVIDENCE_VERSION: Final = 1
MAX_EVIDENCE: Final = 65_527
SIGNATURE_SIZE: Final = 65
LENGTH: Final = struct.Struct(">I")
PARTS: Final = 2
"""Parts of every form so far."""
S = TypeVar("S", bound=TypedStruct)


class Form(enum.IntEnum):
    """What the parts are."""

    TWO_RECEIPTS = 1
    TWO_CHECKPOINTS = 2
    RECEIPT_AND_BUNDLE = 3


class Evidence(msgspec.Struct, frozen=True):
    """Evidence taken apart. Nothing in it is verified yet."""

    form: Form
    first: bytes
    second: bytes

    def encode(self) -> bytes:
        """The exact bytes."""
        parts = [bytes((EVIDENCE_VERSION, self.form, PARTS))]
        for part in (self.first, self.second):
            parts += (LENGTH.pack(len(part)), part)
        return b"".join(parts)


def decode(data: bytes) -> Evidence:
    """Read evidence, all of its bytes. Raises InvalidInput `bad_fault_evidence`."""
    try:
        if len(data) > MAX_EVIDENCE or data[0] != EVIDENCE_VERSION or data[2] != PARTS:
            raise ValueError
        form, at, parts = Form(data[1]), 3, list[bytes]()
        for _ in range(PARTS):
            (length,) = LENGTH.unpack_from(data, at)
            at += LENGTH.size
            parts.append(data[at : at + length])
            at += length
        if at != len(data):
            raise ValueError
    except (IndexError, ValueError, struct.error) as error:
        raise unreadable() from error
    return Evidence(form, parts[0], parts[1])


def signed(statement: TypedStruct, signature: bytes) -> bytes:
    """A signed part."""
    return statement.pack() + signature


def read_signed(cls: type[S], part: bytes) -> tuple[S, bytes]:
    """Statement and signature of a signed part. Raises InvalidInput `bad_fault_evidence`."""
    size = cls.packed_size()
    if len(part) != size + SIGNATURE_SIZE:
        raise unreadable()
    return cls.unpack(part[:size]), part[size:]


def unreadable() -> InvalidInput:
    """What is said of bytes that are no evidence."""
    return InvalidInput("bad_fault_evidence", "The bytes are not evidence of a fault.", "See docs/faults.md.")
