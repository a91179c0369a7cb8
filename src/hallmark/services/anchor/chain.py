"""What the anchoring state machine asks of a chain, and nothing more; a fake is in
`hallmark.testing.chain`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from hallmark.core.hashing import ZERO32
from hallmark.services.chain.contract import Stored
from hallmark.services.chain.transactions import Fees, Signed

EMPTY = Stored(0, ZERO32, 0, 0, 0)


class View(msgspec.Struct, frozen=True):
    """The chain at one moment, read in this order: newest block, newest anchored checkpoint, our next
    nonce.
    """

    head: int
    latest: Stored
    nonce: int


class Submission(msgspec.Struct, frozen=True):
    """A checkpoint with its quorum's signatures, ascending by signer."""

    size: int
    root: bytes
    signatures: tuple[bytes, ...]


class Rejected(Exception):
    """The contract would refuse the submission; `name` is its error's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class AnchorChain(Protocol):
    """One Anchor contract, and one account that submits to it.

    Every method raises Unavailable `chain_unreachable` when the chain does not answer.
    """

    async def view(self) -> View:
        """The chain now."""
        ...

    async def stored(self, size: int) -> Stored | None:
        """The checkpoint of exactly `size`, if it is anchored."""
        ...

    async def transaction_of(self, stored: Stored) -> bytes:
        """Hash of the transaction that anchored a checkpoint, whoever sent it; empty when unknown."""
        ...

    async def fees(self) -> Fees:
        """Fees that get a transaction into one of the next blocks."""
        ...

    async def build(self, submission: Submission, nonce: int, fees: Fees) -> Signed:
        """A signed transaction, not sent. Raises Rejected when the contract would refuse it now."""
        ...

    async def send(self, raw: bytes) -> bool:
        """Hand a transaction over, any number of times; False when the chain does not take it."""
        ...

    async def knows(self, transaction: bytes) -> bool:
        """True while a transaction is mined or waits to be."""
        ...
