"""What people say of answers, as entries of a little network."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry, decode
from hallmark.core.outcomes import EVALUATION, TEXT, Basis, text_digest
from hallmark.core.statements import Outcome, Said
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.testing.network import CHAIN_ID, LittleNetwork

TOLD = Basis(TEXT, hex0x(text_digest(bytes(32), "the digit is a four")))
NAMED = Basis(EVALUATION, hex0x(bytes(32)), "digits-1000")


def outcome(
    net: LittleNetwork,
    by: Key,
    position: int,
    said: Said = Said.WRONG,
    basis: Basis = TOLD,
    **changes: Any,
) -> Entry:
    """What `by` says of the receipt at `position`; `changes` replace fields before it is signed."""
    receipt = decode(net.entry_bytes(position)).statement
    statement = Outcome(
        net.genesis.network, by.address, receipt.struct_hash(), position, said, basis.digest(), net.now
    )
    statement = msgspec.structs.replace(statement, **changes)
    return Entry(statement, (sign_statement(statement, CHAIN_ID, by),), (basis.encode(),))
