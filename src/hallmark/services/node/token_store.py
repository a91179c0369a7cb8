"""What is to be settled with the issuer of tokens, until the issuer has said that it is."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.store.raw import RawDatabase, Transaction

MOST_KEPT_MS: Final = 7 * 86_400_000


class DueTokens(msgspec.Struct, frozen=True):
    """A settle message (its exact bytes) of a request, by the receipt's 32-byte digest of it; `at` is
    since when it is due (unix ms).
    """

    request: bytes
    body: bytes
    at: int


def create(transaction: Transaction) -> None:
    """The table of version 1."""
    transaction.execute(
        "CREATE TABLE tokens_due (request BLOB PRIMARY KEY, body BLOB NOT NULL, at INTEGER NOT NULL)"
    )


class TokenStore:
    """The rows, in a database that nobody else writes them to."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("node_tokens", (create,))

    async def keep(self, due: DueTokens) -> None:
        """From now on it will be settled, whatever happens to host and enclave."""
        insert = "INSERT INTO tokens_due VALUES (?, ?, ?) ON CONFLICT (request) DO NOTHING"
        values = (due.request, due.body, due.at)
        await self._database.async_write(lambda t: t.execute(insert, values), brief=True)

    async def over(self, request: bytes) -> None:
        """The issuer has said."""
        delete = "DELETE FROM tokens_due WHERE request = ?"
        await self._database.async_write(lambda t: t.execute(delete, (request,)), brief=True)

    async def waiting(self, now: int) -> list[DueTokens]:
        """Everything that is due; what is older than any hold is thrown away."""

        def work(transaction: Transaction) -> list[DueTokens]:
            transaction.execute("DELETE FROM tokens_due WHERE at < ?", (now - MOST_KEPT_MS,))
            rows = transaction.fetch("SELECT request, body, at FROM tokens_due ORDER BY at")
            return [DueTokens(bytes(request), bytes(body), at) for request, body, at in rows]

        return await self._database.async_write(work)
