"""Struct hashes from packed bytes."""

from __future__ import annotations

import pytest

from hallmark.core.entries import STATEMENTS
from hallmark.core.statements import AnchoredCheckpoint, SignIn, Ticket
from hallmark.core.typed import TypedStruct, signing_digest
from hallmark.verification.packed import struct_hash


@pytest.mark.parametrize(
    "cls", [*STATEMENTS.values(), Ticket, AnchoredCheckpoint, SignIn], ids=lambda c: c.__name__
)
def test_hash_of_packed_bytes_is_the_typed_hash(cls: type[TypedStruct]) -> None:
    """For every statement the short cut gives what EIP-712 encoding field by field gives."""
    size = cls.packed_size()
    for packed in (bytes(size), b"\xff" * size, bytes(i % 251 for i in range(size))):
        statement = cls.unpack(packed)
        assert struct_hash(cls, packed) == statement.struct_hash()
        assert signing_digest(statement.struct_hash(), 31337) == statement.signing_digest(31337)
