"""Nullifiers of spent tokens, by epoch. A row has no time and nobody's name; it goes with its epoch."""

from __future__ import annotations

from hallmark.core.errors import Conflict
from hallmark.store.errors import ConstraintBroken
from hallmark.store.raw import RawDatabase, Transaction


def _create(transaction: Transaction) -> None:
    transaction.execute(
        "CREATE TABLE spent (epoch INTEGER NOT NULL, nullifier BLOB NOT NULL, PRIMARY KEY (epoch, nullifier))"
    )


class Spent:
    """The rows, in a database that nobody else writes."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        self._oldest = -1
        database.migrate("relay", (_create,))

    async def spend(self, epoch: int, nullifier: bytes) -> None:
        """Write a token down as spent, durably. Raises Conflict `relay_token_spent`, and what the store
        raises.
        """

        def work(transaction: Transaction) -> None:
            transaction.execute("INSERT INTO spent VALUES (?, ?)", (epoch, nullifier))

        try:
            await self._database.async_write(work, brief=True)
        except ConstraintBroken:
            error = Conflict("relay_token_spent", "The token was used before.", "Use each token once.")
            error.retry = False
            raise error from None

    async def forget(self, before: int) -> None:
        """Forget every epoch before this one."""
        if before == self._oldest:
            return

        def work(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM spent WHERE epoch < ?", (before,))

        await self._database.async_write(work)
        self._oldest = before
