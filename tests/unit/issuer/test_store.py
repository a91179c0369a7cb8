"""What an issuer writes down: holds, spends, earnings and payouts, each once."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hallmark.core.errors import Conflict, NotFound
from hallmark.services.issuer.store import Hold, HoldState, KeptEpoch, Purchase, Store, TokenHeld, TokenSpent
from hallmark.store.raw import RawDatabase
from hallmark.store.urls import sqlite_url

PAYEE, KEY = b"\x01" * 20, b"\x02" * 20


def hold(number: int, **changes: object) -> Hold:
    """The hold of a request."""
    one = Hold(bytes([number]) * 32, b"\x03" * 32, 1, PAYEE, KEY, 1_000, until=100)
    return replace(one, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(RawDatabase(sqlite_url(tmp_path / "store.db")))


async def test_a_token_is_held_by_one_request(store: Store) -> None:
    """Asked again it is the same hold; another request gets nothing of it, not even its other tokens."""
    assert await store.hold(hold(1), [b"a", b"b"], 0) == hold(1)
    assert await store.hold(hold(1, until=500), [b"a", b"b"], 50) == hold(1)
    with pytest.raises(TokenHeld, match="token_held"):
        await store.hold(hold(2), [b"c", b"b"], 50)
    await store.hold(hold(3), [b"c"], 50)
    with pytest.raises(Conflict, match="hold_differs"):
        await store.hold(hold(1, spend=b"\x09" * 32), [b"d"], 50)


async def test_a_hold_that_runs_out_lets_go_of_all_its_tokens(store: Store) -> None:
    """Whoever comes first after its time has them; its late settlement is refused then."""
    await store.hold(hold(1), [b"a", b"b"], 0)
    await store.hold(hold(2, until=900), [b"b"], 101)
    await store.hold(hold(3, until=900), [b"a"], 101)
    with pytest.raises(Conflict, match="hold_lapsed"):
        await store.settle(hold(1, charged=5, asked=b"x"), 5, 102)
    with pytest.raises(Conflict, match="hold_over"):
        await store.hold(hold(1), [b"a", b"b"], 102)


async def test_a_late_settlement_counts_while_nobody_took_the_tokens(store: Store) -> None:
    """Fifteen minutes are for others' sake."""
    await store.hold(hold(1), [b"a"], 0)
    done = await store.settle(hold(1, charged=5, asked=b"x", change=b"y"), 5, 10_000)
    assert (done.state, done.charged) == (HoldState.SETTLED, 5)
    with pytest.raises(TokenSpent, match="token_spent"):
        await store.hold(hold(2, until=99_999), [b"a"], 10_001)


async def test_a_settlement_earns_once(store: Store) -> None:
    """The same again gets the same answer; another one is refused, and so is giving back."""
    await store.hold(hold(1), [b"a"], 0)
    first = await store.settle(hold(1, charged=5, asked=b"x", change=b"y"), 7, 10)
    assert await store.settle(hold(1, charged=5, asked=b"x", change=b"other"), 7, 11) == first
    for attempt in (store.settle(hold(1, charged=6, asked=b"z"), 6, 12), store.release(hold(1, asked=b"z"))):
        with pytest.raises(Conflict, match="settle_differs"):
            await attempt
    with pytest.raises(NotFound, match="hold_unknown"):
        await store.settle(hold(9), 5, 12)
    assert (await store.totals())["earned"] == 7


async def test_what_is_released_is_good_again(store: Store) -> None:
    """For anybody, and more than once."""
    await store.hold(hold(1), [b"a"], 0)
    await store.release(hold(1))
    await store.release(hold(1))
    await store.hold(hold(2), [b"a"], 1)
    with pytest.raises(Conflict, match="hold_lapsed"):
        await store.settle(hold(1, asked=b"x"), 5, 2)
    assert (await store.holder_of(b"a")) == hold(2)


async def test_payees_are_paid_what_they_earned_once(store: Store) -> None:
    """When it is enough or has waited for long; a payout stays due until the chain has it."""
    for number, earned in ((1, 40), (2, 70)):
        await store.hold(hold(number), [bytes([number])], 0)
        await store.settle(hold(number, charged=earned, asked=b"x"), earned, 10 * number)
    assert await store.begin_payouts(pay_from=1_000, before=9, now=20) == []
    (due,) = await store.begin_payouts(pay_from=100, before=9, now=20)
    assert (due.payee, due.amount) == (PAYEE, 110)
    assert await store.begin_payouts(pay_from=100, before=9, now=30) == [due]
    await store.paid_out(due.id, 7)
    assert (await store.paid_since(6), await store.paid_since(7)) == ([due], [])
    await store.unpaid(due.id)
    assert await store.begin_payouts(pay_from=0, before=99, now=40) == [due]
    await store.paid_out(due.id, 8)
    assert await store.begin_payouts(pay_from=0, before=99, now=40) == []
    assert await store.totals() == {"sold": 0, "held": 0, "earned": 110, "owed": 0, "paid": 110}
    await store.hold(hold(3), [b"c"], 0)
    await store.settle(hold(3, charged=1, asked=b"x"), 1, 50)
    (again,) = await store.begin_payouts(pay_from=100, before=50, now=60)
    assert again.id != due.id


async def test_a_payment_buys_one_thing(store: Store) -> None:
    """The same order again is the same purchase; one that nothing was paid for is forgotten."""
    order = Purchase(b"n" * 32, b"f" * 32, 1, PAYEE, 5)
    assert await store.ask(order) == await store.ask(order) == order
    with pytest.raises(Conflict, match="purchase_differs"):
        await store.ask(replace(order, fingerprint=b"g" * 32))
    await store.drop(order.id)
    await store.ask(replace(order, fingerprint=b"g" * 32))
    await store.paid(order.id)
    await store.drop(order.id)
    assert (await store.totals())["sold"] == 5


async def test_an_epoch_has_one_key_set(store: Store) -> None:
    """Whoever is second gets the first one's."""
    first = KeptEpoch(1, b"d", b"doc", b"secret", b"entry")
    assert await store.keep_epoch(first) == first
    assert await store.keep_epoch(replace(first, digest=b"e")) == first
    await store.logged(1)
    assert await store.epochs() == [replace(first, logged=True)]
    await store.hold(hold(1), [b"a"], 0)
    await store.prune([1])
    assert await store.holder_of(b"a") is None


async def test_tokens_are_exchanged_once(store: Store) -> None:
    """Asked again it is the same answer; for others, or with one that somebody has, there is none."""
    one = hold(1, payee=b"", key=b"", state=HoldState.SETTLED, asked=b"x", change=b"new ones")
    assert await store.exchange(one, [b"a", b"b"], 0) == one
    assert await store.exchange(one, [b"a", b"b"], 50) == one
    with pytest.raises(Conflict, match="exchange_differs"):
        await store.exchange(replace(one, asked=b"y"), [b"a", b"b"], 50)
    with pytest.raises(TokenSpent, match="token_spent"):
        await store.exchange(replace(one, request=b"\x09" * 32), [b"c", b"b"], 50)
    await store.hold(hold(2), [b"d"], 0)
    with pytest.raises(TokenHeld, match="token_held"):
        await store.exchange(replace(one, request=b"\x08" * 32), [b"c", b"d"], 50)
    await store.hold(hold(3), [b"c"], 0)
    assert await store.holder_of(b"a") == one
    assert await store.totals() == {"sold": 0, "held": 2_000, "earned": 0, "owed": 0, "paid": 0}
