"""What a home keeps of its money: amounts have 96 bits, and the files of earlier releases go on working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.money import MAX_AMOUNT
from hallmark.core.tokens import MAX_UNITS, Token
from hallmark.services.sdk import spending_store, token_store
from hallmark.services.sdk.spending_store import KeptCeiling, SpendingRefused, SpendingStore, Spent
from hallmark.services.sdk.token_store import FILE, KeptSpend, KeptToken, TokenStore
from hallmark.store.raw import RawDatabase, Step
from hallmark.store.urls import sqlite_url

ASSET = "eip155:31337/0x12"
PAYEE = hex0x(b"\x07" * 20)
OVER_63 = 2**63
TOKEN = Token(15, b"\x01" * 32, b"\x02" * 256)


def spent(maximum: int, *, at: int = 10, charged: int | None = None, receipt: str = "") -> Spent:
    """A payment."""
    return Spent(at, PAYEE, "digits", maximum, charged, receipt)


def earlier(path: Path, component: str, step: Step, *rows: tuple[str, tuple[Any, ...]]) -> None:
    """A file as version 1 made and filled it."""
    database = RawDatabase(sqlite_url(path))
    database.migrate(component, (step,))
    for query, values in rows:
        database.write(lambda t, query=query, values=values: t.execute(query, values))
    database.close()


@pytest.mark.parametrize("maximum", [OVER_63 - 1, OVER_63, 2**64, MAX_AMOUNT])
async def test_a_payment_of_any_amount_is_written_down(tmp_path: Path, maximum: int) -> None:
    """It counts whole against the day's limit, before it is known what was charged and after."""
    store = SpendingStore(tmp_path)
    await store.reserve(b"one", ASSET, spent(maximum), per_day=MAX_AMOUNT)
    assert await store.newest(9) == (spent(maximum),)
    assert await store.since(ASSET, 0) == await store.since(ASSET, 0, PAYEE) == maximum
    with pytest.raises(SpendingRefused) as refused:
        await store.reserve(b"two", ASSET, spent(1), per_day=maximum)
    assert refused.value.reason == "over_max_per_day"
    await store.settle(b"one", maximum - 1, "0xab")
    assert await store.since(ASSET, 0) == maximum - 1
    assert await store.newest(9) == (spent(maximum, charged=maximum - 1, receipt="0xab"),)
    store.close()


async def test_a_ceiling_of_any_amount_is_kept(tmp_path: Path) -> None:
    """The day's limit that it is for has 96 bits too."""
    store = SpendingStore(tmp_path)
    made = KeptCeiling(b"ceiling", b"signature", b"session", str(MAX_AMOUNT), 5)
    assert await store.keep_ceiling("name", 1, made) == made
    assert await store.ceiling("name") == made
    store.close()


async def test_an_earlier_home_keeps_its_payments_and_ceilings(tmp_path: Path) -> None:
    """Nothing signed away is forgotten, and more than 63 bits go in beside it."""
    ceiling = {"ceiling": b"c", "signature": b"s", "session": b"k", "room": 100_000, "at": 5}
    insert = "INSERT INTO spends VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    earlier(
        tmp_path / "spending.db",
        "spending",
        spending_store._create,
        (insert, (b"one", 10, ASSET, PAYEE, "digits", OVER_63 - 1, None, "")),
        (insert, (b"two", 11, ASSET, PAYEE, "digits", 70, 9, "0xab")),
        ("INSERT INTO ceilings VALUES (?, ?, ?)", ("name", 3, msgspec.msgpack.encode(ceiling))),
    )
    for _ in range(2):  # opened again it is as before
        store = SpendingStore(tmp_path)
        old = (spent(70, at=11, charged=9, receipt="0xab"), spent(OVER_63 - 1))
        assert await store.newest(9) == old
        assert await store.since(ASSET, 0) == OVER_63 + 8
        assert await store.ceiling("name") == KeptCeiling(b"c", b"s", b"k", "100000", 5)
        store.close()
    store = SpendingStore(tmp_path)
    await store.settle(b"one", 4)
    await store.reserve(b"six", ASSET, spent(MAX_AMOUNT - 13, at=12), per_day=MAX_AMOUNT)
    assert await store.since(ASSET, 0) == MAX_AMOUNT
    store.close()


async def test_tokens_that_leave_may_be_worth_any_amount(tmp_path: Path) -> None:
    """As many as one spend has, of the largest unit that a key set can name."""
    store = TokenStore(tmp_path)
    order = token_store.KeptOrder(b"order", b"keys", b"", "x", ())
    await store.order(order)
    await store.bought(order, [KeptToken(b"nullifier", b"keys", TOKEN, 0)])
    away = KeptSpend(b"id", b"keys", (b"nullifier",), str(MAX_UNITS * (2**63 - 1)), ())
    assert await store.leave(away)
    assert await store.spends() == [away]
    store.close()


async def test_an_earlier_home_keeps_tokens_that_are_away(tmp_path: Path) -> None:
    """They can still come back."""
    away = {"id": b"id", "keys": b"keys", "nullifiers": [b"nullifier"], "reserved": 100, "blanks": []}
    earlier(
        tmp_path / FILE,
        "tokens",
        token_store._create,
        ("INSERT INTO tokens VALUES (?, ?, ?, 0, 'away')", (b"nullifier", b"keys", TOKEN.encode())),
        ("INSERT INTO spends VALUES (?, ?)", (b"id", msgspec.msgpack.encode(away))),
    )
    store = TokenStore(tmp_path)
    (kept,) = await store.spends()
    assert kept == KeptSpend(b"id", b"keys", (b"nullifier",), "100", ())
    await store.over(kept, None)
    assert [one.token for one in await store.tokens()] == [TOKEN]
    store.close()
