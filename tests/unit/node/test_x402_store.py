"""x402 payments that a host keeps: what is known of each, over restarts; delays that let vouchers die."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.services.node.rail_earnings import HostEarnings, RailSums, Sum
from hallmark.services.node.settings import Payments
from hallmark.services.node.x402_desk import check_delays
from hallmark.services.node.x402_store import KEPT_S, Claimed, Kept, Presented, State, X402Store
from hallmark.store.raw import RawDatabase

PAYER, TOKEN, NAME, OTHER = b"\1" * 20, b"\2" * 20, b"\3" * 32, b"\4" * 32
ONE = Presented(NAME, PAYER, TOKEN, 10**28, 2_000, b"{}")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RawDatabase]:
    """A database on disk."""
    made = RawDatabase(f"sqlite:///{tmp_path}/node.db")
    yield made
    made.close()


async def test_a_payment_from_its_coming_to_its_end(database: RawDatabase) -> None:
    """Each step is there for another process; the amount that was said first stays."""
    store = X402Store(database)
    await store.keep(ONE, 1_000)
    await store.keep(replace(ONE, payment=b"other"), 1_000)
    assert await store.find(NAME) == Kept(NAME, b"{}", State.KEPT, 0, ())
    assert await store.waiting() == []
    due = Kept(NAME, b"{}", State.DUE, 10**27, ())
    assert await store.due(NAME, 10**27) == await store.due(NAME, 5) == due
    await store.signed(NAME, b"\5" * 32)
    await store.signed(NAME, b"\6" * 32)
    await store.signed(NAME, b"\5" * 32)
    (found,) = await X402Store(database).waiting()
    assert found == replace(due, hashes=(b"\5" * 32, b"\6" * 32))
    await store.forget(NAME)
    await store.over(NAME, b"\6" * 32, "")
    found = replace(found, state=State.SETTLED, transaction=b"\6" * 32)
    assert await store.find(NAME) == await store.due(NAME, 7) == found
    assert await store.waiting() == []


async def test_what_is_not_kept_cannot_be_due(database: RawDatabase) -> None:
    """One that was forgotten neither; one that is due is not forgotten unless nothing was sent."""
    store = X402Store(database)
    assert await store.due(NAME, 1) is None
    await store.keep(ONE, 1_000)
    await store.forget(NAME)
    assert await store.due(NAME, 1) is None
    await store.keep(ONE, 1_000)
    await store.due(NAME, 1)
    await store.forget(NAME)
    assert await store.find(NAME) is not None
    await store.forget(NAME, due=True)
    assert await store.find(NAME) is None


async def test_what_a_young_block_made_so_can_become_due_again(database: RawDatabase) -> None:
    """Settled or refused, for another process too; what is old, or no block decided, cannot."""
    store = X402Store(database)
    names = [bytes([number]) * 32 for number in range(4)]
    for name in names:
        await store.keep(replace(ONE, name=name), 1_000)
        await store.due(name, 5)
    await store.over(names[0], b"\6" * 32, "", block=7)
    await store.over(names[1], b"", "insufficient_balance", block=8)
    await store.over(names[2], b"", "payment_expired")
    assert {row.name for row in await X402Store(database).young()} == set(names[:2])
    for name in names[:2]:
        again = await store.again(name)
        assert again == Kept(name, b"{}", State.DUE, 5, ())
    refused = await store.again(names[2])
    assert refused is not None
    assert refused.state is State.REFUSED
    await store.over(names[0], b"\6" * 32, "", block=7)
    await store.over(names[3], b"\6" * 32, "", block=8)
    await store.aged(7)
    assert [row.name for row in await store.young()] == [names[3]]
    settled = await store.again(names[0])
    assert settled is not None
    assert settled.state is State.SETTLED


async def test_a_deposit_is_kept_and_promised_only_while_it_is_lost(database: RawDatabase) -> None:
    """In its block it is settled; once that is gone it is due, and its money no other payment's."""
    store = X402Store(database)
    await store.deposited(ONE, b"\6" * 32, 7)
    (row,) = await store.young()
    assert row == Kept(NAME, b"{}", State.SETTLED, ONE.most, (b"\6" * 32,), b"\6" * 32, "", 7)
    other = replace(ONE, name=OTHER, most=5)
    assert await store.keep(other, 1_000) == 0
    await store.again(NAME)
    assert await store.keep(other, 1_000) == ONE.most
    await store.deposited(ONE, b"\7" * 32, 9)
    (row,) = await store.young()
    assert (row.transaction, row.block) == (b"\7" * 32, 9)


async def test_claims_of_late_are_kept(database: RawDatabase) -> None:
    """The newest word on each channel, less than before too, until it is old."""
    store = X402Store(database)
    await store.claimed({NAME: 10**28, OTHER: 5}, 7, TOKEN)
    await store.claimed({OTHER: 3}, 9, TOKEN)
    assert set(await X402Store(database).claims()) == {Claimed(NAME, 10**28, 7), Claimed(OTHER, 3, 9)}
    await store.aged(7)
    assert await store.claims() == [Claimed(OTHER, 3, 9)]


async def test_what_each_rail_came_to(database: RawDatabase) -> None:
    """By what became of it, in one token, deposits left out; what is thrown away stays in the sums."""
    store = X402Store(database)
    for number, (rail, amount) in enumerate((("exact", 7), ("exact", 10**28), ("upto", 5), ("upto", 6))):
        one = replace(ONE, name=bytes([number]) * 32, rail=rail, expires=2_000 + number)
        await store.keep(one, 1_000)
        await store.due(one.name, amount)
    await store.over(bytes(32), b"\6" * 32, "", block=7)
    await store.over(b"\1" * 32, b"\6" * 32, "", block=7)
    await store.over(b"\2" * 32, b"", "insufficient_balance", block=7)
    await store.deposited(replace(ONE, name=b"\x08" * 32, rail="deposit"), b"\6" * 32, 7)
    await store.claimed({NAME: 30, OTHER: 5}, 7, TOKEN)
    await store.claimed({b"\x09" * 32: 99}, 7, PAYER)
    told = HostEarnings(
        hex0x(TOKEN),
        {
            "exact": RailSums(Sum(2, str(10**28 + 7))),
            "upto": RailSums(due=Sum(1, "6"), refused=Sum(1, "5")),
        },
        Sum(2, "35"),
    )
    assert await store.earned(TOKEN) == told
    await store.prune(2_003 + KEPT_S)
    assert [row.name for row in await store.young()] == []
    upto = RailSums(due=Sum(1, "6"))
    assert await store.earned(TOKEN) == replace(told, rails={**told.rails, "upto": upto})
    assert (await store.earned(PAYER)).rails == {"exact": RailSums(), "upto": RailSums()}


async def test_promises_of_a_payer_add_up(database: RawDatabase) -> None:
    """Those of the same token that are open, and that can still be settled: at most, or what is due."""
    store = X402Store(database)
    assert await store.keep(ONE, 1_000) == 0
    assert await store.keep(replace(ONE, name=OTHER, most=5), 1_000) == 10**28
    assert await store.keep(replace(ONE, name=b"\7" * 32, token=b"\x08" * 20), 1_000) == 0
    assert await store.keep(replace(ONE, name=b"\x09" * 32, payer=b"\x08" * 20), 1_000) == 0
    await store.due(NAME, 3)
    assert await store.keep(ONE, 1_000) == 5
    assert await store.keep(replace(ONE, name=OTHER), 1_000) == 3
    assert await store.keep(ONE, 2_001) == 0
    await store.over(NAME, b"", "payment_expired")
    assert await store.keep(replace(ONE, name=OTHER), 1_000) == 0


async def test_what_expired_long_ago_is_thrown_away(database: RawDatabase) -> None:
    """But for what is due."""
    store = X402Store(database)
    await store.keep(ONE, 1_000)
    await store.keep(replace(ONE, name=OTHER), 1_000)
    await store.due(OTHER, 1)
    await store.prune(2_000 + KEPT_S)
    assert await store.find(NAME) is not None
    await store.prune(2_001 + KEPT_S)
    assert await store.find(NAME) is None
    assert await store.find(OTHER) is not None


def test_claims_go_out_long_before_money_can_leave() -> None:
    """Settings under which a payer could be faster are refused."""
    check_delays(Payments("offer", settle_seconds=225, withdraw_seconds=900))
    for interval, delay in ((226, 900), (60, 899), (60, 30 * 86_400 + 1)):
        with pytest.raises(InvalidInput, match="withdraw") as refused:
            check_delays(Payments("offer", settle_seconds=interval, withdraw_seconds=delay))
        assert refused.value.reason == "bad_settings"
