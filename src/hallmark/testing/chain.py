"""A chain without a chain: what `hallmark.services.anchor` asks of one, with its misfortunes on demand."""

from __future__ import annotations

import msgspec

from hallmark.core.hashing import keccak256
from hallmark.services.anchor.chain import EMPTY, Rejected, Submission, View
from hallmark.services.chain.contract import Stored
from hallmark.services.chain.transactions import Fees, Signed


class Transaction(msgspec.Struct, frozen=True):
    """A fake transaction; its raw form is its JSON."""

    size: int
    root: bytes
    nonce: int
    fee: int


class FakeChain:
    """An Anchor contract with a mempool of one account.

    `mine` makes a block of what waits; `lose_tail` forgets the newest blocks; `forget_waiting` empties the
    mempool; `refuse` makes the contract refuse with an error name; `takes` False makes sending fail.
    """

    def __init__(self) -> None:
        self.blocks: list[tuple[Transaction, ...]] = []
        self.waiting: dict[int, Transaction] = {}
        self.anchored_by_others: dict[int, list[Stored]] = {}
        self.refuse = ""
        self.takes = True
        self.sent = 0
        self._asked = 0

    def mine(self, count: int = 1) -> None:
        """Make blocks; the first takes every waiting transaction whose nonce is next."""
        for _ in range(count):
            nonce, taken = self._nonce(), []
            while nonce in self.waiting:
                taken.append(self.waiting.pop(nonce))
                nonce += 1
            self.blocks.append(tuple(taken))

    def lose_tail(self, count: int) -> None:
        """Forget the newest `count` blocks and everything in the mempool."""
        del self.blocks[max(0, len(self.blocks) - count) :]
        self.anchored_by_others = {b: s for b, s in self.anchored_by_others.items() if b <= len(self.blocks)}
        self.waiting.clear()

    def forget_waiting(self) -> None:
        """Drop every waiting transaction."""
        self.waiting.clear()

    def anchor_by_other(self, size: int, root: bytes) -> None:
        """Somebody else's submission gets into a block of its own."""
        self.blocks.append(())
        block = len(self.blocks)
        stored = Stored(size, root, block, block, self._all()[-1].size)
        self.anchored_by_others.setdefault(block, []).append(stored)

    def use_nonce(self) -> None:
        """Another transaction of our account takes the next nonce."""
        self.waiting.pop(self._nonce(), None)
        self.blocks.append((Transaction(0, b"", self._nonce(), 0),))

    async def view(self) -> View:
        """The chain now."""
        return View(len(self.blocks), self._all()[-1], self._nonce())

    async def stored(self, size: int) -> Stored | None:
        """The checkpoint of exactly `size`."""
        return next((s for s in self._all() if s.size == size and size > 0), None)

    async def transaction_of(self, stored: Stored) -> bytes:
        """Hash of the transaction of that size in that block."""
        for t in self.blocks[stored.block - 1]:
            if t.size == stored.size:
                return keccak256(msgspec.msgpack.encode(t))
        return b""

    async def fees(self) -> Fees:
        """A little other each time, as the base fee is."""
        self._asked += 1
        return Fees(100 + self._asked % 5, 10)

    async def build(self, submission: Submission, nonce: int, fees: Fees) -> Signed:
        """A fake transaction. Raises Rejected as told, or as the contract would."""
        if self.refuse:
            raise Rejected(self.refuse)
        if submission.size <= self._all()[-1].size:
            raise Rejected("NotLarger")
        if not submission.signatures:
            raise Rejected("TooFewSignatures")
        transaction = Transaction(submission.size, submission.root, nonce, fees.limit)
        raw = msgspec.msgpack.encode(transaction)
        return Signed(raw, keccak256(raw))

    async def send(self, raw: bytes) -> bool:
        """Into the mempool, unless its nonce is used or a waiting one pays as much."""
        transaction = msgspec.msgpack.decode(raw, type=Transaction)
        waiting = self.waiting.get(transaction.nonce)
        underpriced = waiting is not None and waiting.fee * 11 // 10 > transaction.fee
        if not self.takes or transaction.nonce < self._nonce() or underpriced:
            return False
        self.waiting[transaction.nonce] = transaction
        self.sent += 1
        return True

    async def knows(self, transaction: bytes) -> bool:
        """Mined or waiting."""
        mined = [t for block in self.blocks for t in block]
        return any(
            keccak256(msgspec.msgpack.encode(t)) == transaction for t in (*mined, *self.waiting.values())
        )

    def _nonce(self) -> int:
        return sum(len(block) for block in self.blocks)

    def _all(self) -> list[Stored]:
        """Checkpoints in order; a transaction whose size is not larger than the newest reverted."""
        found = [EMPTY]
        for number, block in enumerate(self.blocks, 1):
            for stored in self.anchored_by_others.get(number, []):
                found.append(stored)
            for t in block:
                if t.size > found[-1].size:
                    found.append(Stored(t.size, t.root, number, number, found[-1].size))
        return found
