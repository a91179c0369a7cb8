"""The tokens of a home: money that belongs to whoever has the file.

    HOME/wallet/tokens.db     mode 0600

A token is `good` until it leaves, and written down as `away` before it does; it comes back only when the
enclave or the issuer says that it was not taken. What takes the blinding off is written down before anything
is sent, so what was bought, and change, can be had after a kill at any point.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.tokens import Token
from hallmark.payments.tokens import Blank
from hallmark.store.raw import RawDatabase, Transaction
from hallmark.store.urls import sqlite_url

FILE: Final = "tokens.db"


class TokenState(enum.StrEnum):
    """See the module docstring; `spent` ones are kept for the record."""

    GOOD = "good"
    AWAY = "away"
    SPENT = "spent"


class KeptToken(msgspec.Struct, frozen=True):
    """A token by its nullifier; `keys` is its key set's digest, `ready` from when it is spent (unix ms)."""

    nullifier: bytes
    keys: bytes
    token: Token
    ready: int
    state: TokenState = TokenState.GOOD


class KeptOrder(msgspec.Struct, frozen=True):
    """A purchase that may not be over: the order's exact bytes, the payment header, the blanks. Without a
    header it is an exchange, which gives the tokens with the nullifiers `gives`.
    """

    id: bytes
    keys: bytes
    body: bytes
    header: str
    blanks: tuple[Blank, ...]
    gives: tuple[bytes, ...] = ()


class KeptSpend(msgspec.Struct, frozen=True):
    """Tokens that left with a request: `id` is the spend's digest, `reserved` what they are worth (atomic
    units, as text: MessagePack has whole numbers of 64 bits), the blanks are for its change.
    """

    id: bytes
    keys: bytes
    nullifiers: tuple[bytes, ...]
    reserved: str
    blanks: tuple[Blank, ...]


def _create(transaction: Transaction) -> None:
    transaction.execute("CREATE TABLE key_sets (digest BLOB PRIMARY KEY, document TEXT NOT NULL)")
    transaction.execute(
        "CREATE TABLE tokens (nullifier BLOB PRIMARY KEY, keys BLOB NOT NULL, token BLOB NOT NULL, "
        "ready INTEGER NOT NULL, state TEXT NOT NULL)"
    )
    for name in ("orders", "spends"):
        transaction.execute(f"CREATE TABLE {name} (id BLOB PRIMARY KEY, data BLOB NOT NULL)")


def _widen(transaction: Transaction) -> None:
    """Version 2: what tokens are worth as text."""
    for name, data in transaction.fetch("SELECT id, data FROM spends"):
        kept = msgspec.msgpack.decode(data)
        kept["reserved"] = str(kept["reserved"])
        transaction.execute("UPDATE spends SET data = ? WHERE id = ?", (msgspec.msgpack.encode(kept), name))


MIGRATIONS: Final = (_create, _widen)


class TokenStore:
    """See the module docstring. Several processes of a home may use it at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = RawDatabase(sqlite_url(folder / FILE))
        self._database.migrate("tokens", MIGRATIONS)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    async def keep_keys(self, digest: bytes, document: bytes) -> None:
        """The exact document of a key set."""
        insert = "INSERT INTO key_sets VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
        await self._database.async_write(lambda t: t.execute(insert, (digest, document.decode())))

    async def keys(self) -> dict[bytes, bytes]:
        """Every key set that is known: its document by its digest."""
        rows = await self._database.async_read(lambda t: t.fetch("SELECT digest, document FROM key_sets"))
        return {bytes(digest): document.encode() for digest, document in rows}

    async def tokens(self, state: TokenState = TokenState.GOOD) -> list[KeptToken]:
        """The tokens in this state."""
        return await self._database.async_read(lambda t: _tokens(t, state))

    async def order(self, one: KeptOrder) -> bool:
        """Write a purchase down before it is paid for. What it gives leaves, unless another process was
        quicker with one of these tokens: then False.
        """

        def work(transaction: Transaction) -> bool:
            if not _leaves(transaction, one.gives):
                return False
            data = msgspec.msgpack.encode(one)
            transaction.execute("INSERT INTO orders VALUES (?, ?)", (one.id, data))
            return True

        return await self._database.async_write(work)

    async def orders(self) -> list[KeptOrder]:
        """Purchases that may not be over."""
        rows = await self._database.async_read(lambda t: t.fetch("SELECT data FROM orders"))
        return [msgspec.msgpack.decode(data, type=KeptOrder) for (data,) in rows]

    async def bought(
        self, order: KeptOrder, tokens: Sequence[KeptToken], given: TokenState = TokenState.GOOD
    ) -> None:
        """A purchase is over, and these are its tokens; none: it came to nothing, and what it was to give is
        in the state `given`.
        """

        def work(transaction: Transaction) -> None:
            if transaction.execute("DELETE FROM orders WHERE id = ?", (order.id,)):
                _mark(transaction, order.gives, TokenState.SPENT if tokens else given)
                _add(transaction, tokens)

        await self._database.async_write(work)

    async def leave(self, spend: KeptSpend) -> bool:
        """Its tokens leave, unless another process was quicker with one of them: then False."""

        def work(transaction: Transaction) -> bool:
            if not _leaves(transaction, spend.nullifiers):
                return False
            data = msgspec.msgpack.encode(spend)
            transaction.execute("INSERT INTO spends VALUES (?, ?)", (spend.id, data))
            return True

        return await self._database.async_write(work)

    async def spends(self) -> list[KeptSpend]:
        """Tokens that are away, by the request that they left with."""
        rows = await self._database.async_read(lambda t: t.fetch("SELECT data FROM spends"))
        return [msgspec.msgpack.decode(data, type=KeptSpend) for (data,) in rows]

    async def over(self, spend: KeptSpend, change: Iterable[KeptToken] | None) -> None:
        """What left was spent, and this is the change; None: it was not taken, and is good again."""

        def work(transaction: Transaction) -> None:
            if not transaction.execute("DELETE FROM spends WHERE id = ?", (spend.id,)):
                return
            back = change is None
            _mark(transaction, spend.nullifiers, TokenState.GOOD if back else TokenState.SPENT)
            _add(transaction, change or ())

        await self._database.async_write(work)


def _leaves(transaction: Transaction, nullifiers: Sequence[bytes]) -> bool:
    """They are away now; False, and nothing is changed, where one of them was not good."""
    for nullifier in nullifiers:
        rows = transaction.fetch("SELECT state FROM tokens WHERE nullifier = ?", (nullifier,))
        if not rows or rows[0][0] != TokenState.GOOD:
            return False
    _mark(transaction, nullifiers, TokenState.AWAY)
    return True


def _add(transaction: Transaction, tokens: Iterable[KeptToken]) -> None:
    transaction.executemany(
        "INSERT INTO tokens VALUES (?, ?, ?, ?, ?)",
        [(one.nullifier, one.keys, one.token.encode(), one.ready, one.state.value) for one in tokens],
    )


def _mark(transaction: Transaction, nullifiers: Sequence[bytes], state: TokenState) -> None:
    for nullifier in nullifiers:
        transaction.execute("UPDATE tokens SET state = ? WHERE nullifier = ?", (state.value, nullifier))


def _tokens(transaction: Transaction, state: TokenState) -> list[KeptToken]:
    query = "SELECT nullifier, keys, token, ready FROM tokens WHERE state = ? ORDER BY ready"
    return [
        KeptToken(bytes(nullifier), bytes(keys), Token.decode(bytes(token)), ready, state)
        for nullifier, keys, token, ready in transaction.fetch(query, (state.value,))
    ]
