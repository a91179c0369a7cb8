"""What an entry must be to get into the log. Cheap on purpose: full nodes judge, the log orders.

1. The bytes are an entry (`core.entries`), at most 65,527 of them.
2. Its statement is for this network.
3. It carries at least one signature.
4. A receipt's signature recovers to the node it names.

That a receipt's predecessor is in the log before it is the sequencer's to keep.
"""

from __future__ import annotations

import msgspec

from hallmark.core.entries import decode, entry_id
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import recover_statement


class Submission(msgspec.Struct, frozen=True):
    """An entry that may be logged. `node` and `sequence` are a receipt's, else empty and 0."""

    data: bytes
    entry_id: bytes
    node: bytes = b""
    sequence: int = 0


def admit(data: bytes, network: bytes, chain_id: int) -> Submission:
    """Check an entry's bytes as the module docstring says.

    Raises InvalidInput `bad_entry`, `wrong_network`; TooLarge `entry_too_large`; VerificationFailed
    `signature_missing`, `bad_signature`, `wrong_signer`.
    """
    entry = decode(data)
    statement = entry.statement
    if getattr(statement, "network", None) != network:
        raise InvalidInput("wrong_network", "The entry is for another network.")
    if not entry.signatures:
        raise VerificationFailed("signature_missing", "The entry carries no signature.")
    if not isinstance(statement, Receipt):
        return Submission(data, entry_id(data))
    if recover_statement(statement, chain_id, entry.signatures[0]) != statement.node:
        raise VerificationFailed("wrong_signer", "The receipt is not signed by the node that it names.")
    return Submission(data, entry_id(data), statement.node, statement.sequence)


def split_many(body: bytes) -> list[bytes]:
    """Entries of an add-many body: u32be length || entry, repeated. Raises InvalidInput `bad_add_many`."""
    entries: list[bytes] = []
    at, end = 0, len(body)
    while at < end:
        length = int.from_bytes(body[at : at + 4], "big")
        at += 4
        if at + length > end:
            raise InvalidInput("bad_add_many", "The body is cut off.")
        entries.append(body[at : at + length])
        at += length
    return entries


def join_many(entries: list[bytes]) -> bytes:
    """An add-many body."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(4, "big"), entry))
