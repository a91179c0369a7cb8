"""What was made from what, as entries of a little network."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.derivations import Figure, Making
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Derivation
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.testing.network import CHAIN_ID, LittleNetwork

MADE = Making(
    "models/exact.py",
    "1",
    "int16 columns",
    (Figure("held-out images told", 448, "images", 450), Figure("images told alike", 450, "images", 450)),
)


def derivation(
    net: LittleNetwork, by: Key, source: bytes, derived: bytes, making: Making = MADE, **changes: Any
) -> Entry:
    """What `by` says that manifest `derived` was made from; `changes` replace fields before it is signed."""
    statement = Derivation(net.genesis.network, by.address, source, derived, ZERO32, making.digest(), net.now)
    statement = msgspec.structs.replace(statement, **changes)
    return Entry(statement, (sign_statement(statement, CHAIN_ID, by),), (making.encode(),))
