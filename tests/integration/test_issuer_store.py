"""The issuer's store keeps one set of rules on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from tests.unit.issuer.test_exchange import (  # noqa: F401 - as above
    Issuer,
    test_a_token_that_was_spent_gives_nothing,
    test_as_much_of_the_new_set_once,
    test_who_was_cut_off_gets_the_same_once_more,
    tokens,
)
from tests.unit.issuer.test_store import (  # noqa: F401 - the rules, which run here on each database
    hold,
    test_a_hold_that_runs_out_lets_go_of_all_its_tokens,
    test_a_late_settlement_counts_while_nobody_took_the_tokens,
    test_a_payment_buys_one_thing,
    test_a_settlement_earns_once,
    test_a_token_is_held_by_one_request,
    test_an_epoch_has_one_key_set,
    test_payees_are_paid_what_they_earned_once,
    test_tokens_are_exchanged_once,
    test_what_is_released_is_good_again,
)

from hallmark.services.issuer.store import Hold, KeptEpoch, Purchase, Store, TokenHeld
from hallmark.store.raw import RawDatabase

LATE = 4_102_444_800_000
"""A time in unix ms, beyond 32 bits."""


@pytest.fixture
def store(opened: Callable[[], RawDatabase]) -> Store:
    """An empty store."""
    return Store(opened())


@pytest.fixture
def issuer(store: Store) -> Issuer:
    """An issuer over it, whose old tokens are exchanged."""
    return Issuer(store)


async def test_everything_is_there_again(opened: Callable[[], RawDatabase]) -> None:
    """Bytes as they were, times and amounts of every size, for whoever opens it next."""
    store = Store(opened())
    raw = bytes(range(256)) * 64
    epoch = KeptEpoch(1, b"\x00\xff", raw, raw[::-1], b"entry")
    bought = Purchase(b"n" * 32, b"\x00" * 32, 1, b"p" * 20, 10**30)
    held = hold(1, reserved=10**30, until=LATE)
    await store.keep_epoch(epoch)
    await store.ask(bought)
    await store.hold(held, [b"\x00" * 32, b"\xff" * 32], LATE - 1)
    await store.hold(hold(2, until=LATE), [b"c"], LATE - 1)
    settled = hold(2, until=LATE, charged=10**29, asked=b"x", change=raw)
    await store.settle(settled, 10**29, LATE)
    again = Store(opened())
    assert await again.epochs() == [epoch]
    assert await again.purchase(bought.id) == bought
    assert await again.holder_of(b"\xff" * 32) == held
    found = await again.find_hold(settled.request)
    assert found is not None
    assert (found.charged, found.change) == (10**29, raw)
    (due,) = await again.begin_payouts(pay_from=1, before=0, now=LATE)
    assert (due.amount, due.at) == (10**29, LATE)


async def test_of_many_who_want_a_token_one_has_it(store: Store) -> None:
    """At the same moment, with other tokens in other orders beside it: nobody gets a part."""
    taken = [bytes([number]) for number in range(5)]
    tries = [
        store.hold(hold(number, until=LATE), taken[number % 5 :] + taken[: number % 5], 1)
        for number in range(1, 21)
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    (winner,) = [each for each in done if isinstance(each, Hold)]
    assert sum(isinstance(each, TokenHeld) for each in done) == 19
    assert {await store.holder_of(token) for token in taken} == {winner}
    await store.release(replace(winner, asked=b""))
    await store.hold(hold(99, until=LATE), taken, 2)
