"""What was settled: a row for each authorization, told of once; nothing charged that nobody waits for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from hallmark.services.facilitator.store import DAY_MS, Settlement, State, Store, require_id
from hallmark.store.raw import RawDatabase

ROW = Settlement(
    id=b"\1" * 32,
    scheme="exact",
    kind="payment",
    payer=b"\2" * 20,
    payee=b"\3" * 20,
    token=b"\4" * 20,
    amount=2**90,
    created=1_000,
    expires=2_000,
    contract=b"\4" * 20,
    data=b"call",
    most_gas=400_000,
)


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store."""
    database = RawDatabase("sqlite://")
    yield Store(database)
    database.close()


async def test_an_authorization_has_one_row(store: Store) -> None:
    """Asked for again it is the row that is there, whatever it says."""
    assert (await store.claim(ROW, "a", "", b"f")).new
    again = await store.claim(replace(ROW, amount=7), "b", "", b"g")
    assert (again.new, again.row) == (False, ROW)
    sent = replace(ROW, state=State.SENT, nonce=5, raw=b"raw", hashes=(b"\5" * 32, b"\6" * 32))
    await store.save(sent)
    assert await store.find(ROW.id) == sent
    assert await store.find(b"\6" * 32) == sent
    assert await store.find(b"\7" * 32) is None
    assert await store.under_way() == [sent]


async def test_only_one_is_told(store: Store) -> None:
    """Also when a later save writes the row again."""
    await store.claim(ROW, "a", "", b"f")
    assert await store.tell(ROW.id)
    await store.save(replace(ROW, state=State.SETTLED, block=9))
    assert not await store.tell(ROW.id)
    found = await store.find(ROW.id)
    assert found is not None
    assert (found.told, found.block) == (1, 9)
    assert await store.lately(9) == [found]
    assert await store.lately(10) == []
    assert await store.counts() == {"settled": 1}


async def test_an_identifier_is_for_one_payment(store: Store) -> None:
    """Within its scope; another payment under it is refused, and what was never sent frees it again."""
    assert (await store.claim(ROW, "a", "name", b"f")).new
    assert (await store.claim(ROW, "a", "name", b"f")).row == ROW
    other = replace(ROW, id=b"\7" * 32)
    assert (await store.claim(other, "a", "name", b"g")).conflict
    assert await store.conflicts("a", "name", b"g")
    assert not await store.conflicts("a", "name", b"f")
    assert not await store.conflicts("b", "name", b"g")
    assert (await store.claim(other, "b", "name", b"g")).new
    await store.drop(ROW.id)
    assert await store.find(ROW.id) is None
    assert (await store.claim(ROW, "a", "name", b"h")).new


async def test_what_was_sent_is_never_dropped(store: Store) -> None:
    """A start takes out what was never sent, and nothing else."""
    await store.claim(ROW, "a", "name", b"f")
    await store.save(replace(ROW, state=State.SENT))
    await store.drop(ROW.id)
    await store.claim(replace(ROW, id=b"\7" * 32), "a", "other", b"g")
    assert await store.begin() == 1
    assert await store.counts() == {"sent": 1}
    assert await store.conflicts("a", "name", b"g")
    assert not await store.conflicts("a", "other", b"h")


async def test_what_failed_may_be_asked_for_again_by_servers(store: Store) -> None:
    """Claims are repeated; a payer's authorization that failed stays so."""
    await store.claim(ROW, "a", "", b"f")
    await store.save(replace(ROW, state=State.FAILED))
    assert not (await store.claim(ROW, "a", "", b"f")).new
    assert (await store.claim(ROW, "a", "", b"f", again=True)).new


async def test_old_rows_are_forgotten_when_they_cannot_come_back(store: Store) -> None:
    """Old, over, and expired; what is under way or can still be presented stays."""
    now = 100 * DAY_MS
    for number, changed in enumerate(
        (
            {"state": State.SETTLED},
            {"state": State.FAILED},
            {"state": State.SENT},
            {"state": State.SETTLED, "expires": now + 1},
            {"state": State.SETTLED, "expires": 0},
            {"state": State.SETTLED, "created": now},
        )
    ):
        await store.claim(replace(ROW, id=bytes([number]) * 32, **changed), "a", str(number), b"f")
    assert await store.prune(now, 90) == 2
    assert await store.counts() == {"sent": 1, "settled": 3}
    assert not await store.conflicts("a", "0", b"g")
    assert await store.conflicts("a", "2", b"g")


@pytest.mark.parametrize("text", ["", "0x", "0x12", "zz" * 32, "0x" + "11" * 33])
def test_a_name_has_32_bytes(text: str) -> None:
    """With or without 0x."""
    assert require_id(text) == b""
    assert require_id("0x" + "11" * 32) == require_id("11" * 32) == b"\x11" * 32
