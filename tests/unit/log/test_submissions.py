"""From bytes to places: repeats cost nothing, second forms are refused, junk is not read on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.core.entries import Entry, decode
from hallmark.core.errors import Conflict, HallmarkError, RateLimited
from hallmark.core.statements import Compromise, Fault, Role, code
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.ledger.sql_store import SQLLogStore
from hallmark.services.log.membership import Member
from hallmark.services.log.sequencer import Placed, Sequencer
from hallmark.services.log.settings import Limits, Quota, Quotas
from hallmark.services.log.submissions import AT_ONCE, Outcome, Submissions
from hallmark.services.log.submitters import Authority
from hallmark.store.raw import RawDatabase
from hallmark.testing.log_admission import Gate
from hallmark.testing.log_entries import (
    AUTHORITY,
    CHAIN_ID,
    ROUTE,
    plain_entry,
    receipt,
    receipt_chain,
    vouched,
)

NETWORK = network_id("log.test/hallmark")
NODE = Key(bytes([7]) * 32)
SECOND = Key(bytes([8]) * 32)
RECEIPTS = receipt_chain(NETWORK, CHAIN_ID, NODE, 300)


class Desk:
    """An entrance before a running sequencer, with a node known."""

    def __init__(self, quotas: Quotas | None = None, limits: Limits | None = None) -> None:
        database = RawDatabase("sqlite://")
        authority = Authority(frozenset((AUTHORITY.address, SECOND.address)), 1, CHAIN_ID)
        member = Member(NODE.address, Role.NODE, AUTHORITY.address)
        self.gate = Gate(NETWORK, [member], quotas=quotas, authority=authority, database=database)
        self.gate.highest = _Highest(self)
        self.sequencer = Sequencer(
            SQLLogStore(database),
            database,
            self.gate.known,
            now=lambda: 1,
            grown=lambda _: None,
            limits=limits,
        )
        self.sequencer.fence = lambda _: None
        self.entrance = Submissions(self.gate.admission, self.gate.known, self.sequencer)

    async def add(self, *entries: bytes, source: bytes = b"a") -> list[str | int]:
        """Each entry's index or reason."""
        return [said(outcome) for outcome in await self.entrance.add_all(entries, source)]


class _Highest(dict[bytes, int]):
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def get(self, node: bytes, _default: int = -1) -> int:  # type: ignore[override]  # one caller
        return self._desk.sequencer.highest(node)


def said(outcome: Outcome) -> str | int:
    """An outcome in short."""
    return outcome.index if isinstance(outcome, Placed) else outcome.reason


@contextlib.asynccontextmanager
async def running(quotas: Quotas | None = None, limits: Limits | None = None) -> AsyncIterator[Desk]:
    """A desk whose sequencer runs."""
    desk = Desk(quotas, limits)
    task = asyncio.create_task(desk.sequencer.run())
    try:
        yield desk
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_repeat_is_told_its_place_at_no_charge() -> None:
    """At once, later, and when memory of it is gone."""
    quotas = Quotas(receipts=Quota(0, 2), members=Quota(0, 1), repeats=Quota(0, 0))
    async with running(quotas) as desk:
        places = await desk.add(RECEIPTS[0], RECEIPTS[0], RECEIPTS[1])
        assert places == [0, 0, 1]
        joined = vouched(NETWORK, Key(bytes([20]) * 32))
        assert await desk.add(joined, joined) == [2, 2]
        desk.sequencer._recent.clear()
        assert await desk.add(RECEIPTS[0], joined, RECEIPTS[1], RECEIPTS[2]) == [0, 2, 1, "quota_used"]


async def test_another_form_of_a_statement() -> None:
    """Signed by others, or by more, it stands already."""
    async with running() as desk:
        entry = decode(plain_entry(NETWORK, 1))
        second = sign_statement(entry.statement, CHAIN_ID, SECOND)
        forms = [
            entry.encode(),
            msgspec.structs.replace(entry, signatures=(second,)).encode(),
            msgspec.structs.replace(entry, signatures=(second, *entry.signatures)).encode(),
        ]
        assert await desk.add(*forms) == [0, "statement_logged", "statement_logged"]
        assert await desk.add(*forms) == [0, "statement_logged", "statement_logged"]
        with pytest.raises(Conflict):
            await desk.entrance.add(forms[1], b"a")


async def test_an_equivocation_is_logged() -> None:
    """Both receipts for one sequence."""
    async with running() as desk:
        other = receipt_chain(NETWORK, CHAIN_ID, NODE, 1, salt=9)[0]
        assert await desk.add(RECEIPTS[0], other) == [0, 1]


async def test_a_body_full_of_junk_is_not_read_on() -> None:
    """After so many refusals; what was sound before them has its place, what comes after may come again."""
    async with running() as desk:
        junk = [b"junk"] * AT_ONCE
        outcomes = await desk.add(RECEIPTS[0], *junk, *RECEIPTS[1:3])
        assert outcomes == [0, *["bad_entry"] * (AT_ONCE - 1), *["too_much_refused"] * 3]
        assert await desk.add(*RECEIPTS[1:3]) == [1, 2]


async def test_an_address_that_sends_junk_is_heard_no_more_for_a_while() -> None:
    """Another is."""
    async with running(Quotas(refusals=Quota(1, 4))) as desk:
        await desk.add(*[b"junk"] * 4)
        with pytest.raises(RateLimited) as caught:
            await desk.add(RECEIPTS[0])
        assert caught.value.reason == "too_much_refused"
        assert await desk.add(RECEIPTS[0], source=b"b") == [0]


async def test_being_over_a_quota_is_no_junk() -> None:
    """It does not count as such; what lacks its work does."""
    quotas = Quotas(refusals=Quota(0, 1), receipts=Quota(0, 1))
    async with running(quotas) as desk:
        for _ in range(5):
            first, second = await desk.add(RECEIPTS[0], RECEIPTS[1])
            assert (first, second) == (0, "quota_used")
        assert await desk.add(vouched(NETWORK, SECOND, owner=SECOND)) == ["work_missing"]
        with pytest.raises(RateLimited):
            await desk.add(RECEIPTS[0])


async def test_long_bodies_of_receipts() -> None:
    """More than are looked at in one go."""
    async with running() as desk:
        assert await desk.add(*RECEIPTS) == list(range(300))


async def test_a_forged_receipt_among_sound_ones() -> None:
    """Each gets its own answer, in order."""
    async with running() as desk:
        entry = decode(RECEIPTS[1])
        forged = Entry(entry.statement, decode(RECEIPTS[0]).signatures, entry.attachments).encode()
        assert await desk.add(RECEIPTS[0], forged, RECEIPTS[1]) == [0, "wrong_signer", 1]
        with pytest.raises(HallmarkError):
            await desk.entrance.add(forged, b"a")


async def test_no_copy_of_a_receipt_is_another_entry() -> None:
    """Whatever stands beside it."""
    async with running() as desk:
        entry = decode(RECEIPTS[0])
        copy = Entry(entry.statement, entry.signatures, (entry.attachments[0], b"junk", b"")).encode()
        assert await desk.add(copy, RECEIPTS[0], copy) == ["document_mismatch", 0, "document_mismatch"]


async def test_equivocations_in_one_body_use_the_quota_for_repeats() -> None:
    """Also those that came before any of them had a place."""
    async with running(Quotas(repeats=Quota(0, 1))) as desk:
        many = [receipt_chain(NETWORK, CHAIN_ID, NODE, 1, salt=salt)[0] for salt in range(5)]
        assert await desk.add(*many) == [0, 1, *["quota_used"] * 3]


async def test_a_stolen_key_cannot_hold_up_its_end() -> None:
    """Neither the authority's word nor the owner's waits for a quota of the key."""
    async with running(Quotas(members=Quota(0, 1))) as desk:
        fault = Fault(NETWORK, NODE.address, SECOND.address, code("equivocation"), 0, 0, 0)
        assert await desk.add(Entry(fault, (sign_statement(fault, CHAIN_ID, NODE),)).encode()) == [0]
        ends = Compromise(NETWORK, NODE.address, 0, code("stolen"), 5)
        assert await desk.add(Entry(ends, (sign_statement(ends, CHAIN_ID, AUTHORITY),)).encode()) == [1]


async def test_receipts_of_an_unknown_node_do_not_silence_their_carrier() -> None:
    """A gateway cannot know that a node is struck; and a body is read on."""
    async with running(Quotas(refusals=Quota(0, 2), refusals_in_body=2)) as desk:
        unknown = receipt_chain(NETWORK, CHAIN_ID, SECOND, 200)
        assert await desk.add(*unknown, RECEIPTS[0]) == [*["signer_unknown"] * 200, 0]
        assert await desk.add(RECEIPTS[1]) == [1]


async def test_what_waits_for_its_predecessor_leaves_room() -> None:
    """A node whose receipts have gaps is refused at once beyond its share; another's go in."""
    bad = Key(bytes([66]) * 32)
    async with running(limits=Limits(early_entries=3, order_wait_ms=30)) as desk:
        await desk.add(vouched(NETWORK, bad))
        gaps = []
        for number in range(5):
            made = receipt(NETWORK, bad.address, 100 + number, bytes(32))
            signature = sign_statement(made, CHAIN_ID, bad)
            gaps.append(Entry(made, (signature,), (ROUTE, b"", b"")).encode())
        waiting = asyncio.create_task(desk.add(*gaps))
        await asyncio.sleep(0)
        assert await desk.add(RECEIPTS[0]) == [1]
        assert await waiting == ["receipt_out_of_order"] * 5
        assert desk.sequencer.pending == 0
        assert await desk.add(RECEIPTS[2], RECEIPTS[1]) == [3, 2]


async def test_a_malformed_body_counts_as_refused() -> None:
    """And who is not heard is told so before the body is split."""
    async with running(Quotas(refusals=Quota(0, 1))) as desk:
        desk.entrance.open(b"a")
        with pytest.raises(HallmarkError):
            desk.entrance.split(b"\0\0\0\5x", b"a")
        with pytest.raises(RateLimited):
            desk.entrance.open(b"a")
