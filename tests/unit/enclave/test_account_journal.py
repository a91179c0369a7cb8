"""Whichever of enclave and host dies, and whenever: what is charged lies between what was delivered, less one
piece, and what was reserved.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.prices import Use
from hallmark.payments.accounts import Accounts
from hallmark.services.enclave import account_journal
from hallmark.services.enclave.account_journal import AccountJournal, one_shot, tidy
from hallmark.services.enclave.metering import AccountMeter, Paid, Reservation
from hallmark.services.enclave.offers import OfferInForce
from hallmark.testing.billing import NUMBER, PAYER, SEALING, MemoryHost, offer_entry
from hallmark.testing.runtime import MemoryRuntime

PIECE = 3
"""Tokens in a piece of an answer; each costs two units."""


def paid(runtime: MemoryRuntime, name: bytes, most: int) -> Paid:
    """What a request of one payer is paid from."""
    offer = runtime.billing.offers.at(runtime.now()) if runtime.billing else None
    assert isinstance(offer, OfferInForce)
    return Paid(offer, offer.offer.prices[0], most, "vault", PAYER.address, NUMBER, b"spend", name)


class Life:
    """One enclave after the other over what one host keeps of the journal."""

    def __init__(self) -> None:
        self.runtime = MemoryRuntime({})
        self.host = MemoryHost()
        self.charged: dict[bytes, int] = {}
        self.begin()

    def begin(self) -> None:
        """Start an enclave over what is kept."""
        self.runtime.billing = self.host.bill(self.runtime.configuration, self.runtime.now)
        self.runtime.billing.offers.take(offer_entry(self.runtime.configuration, self.runtime.now()))
        assert self.host.journal is not None
        self.journal: AccountJournal = self.host.journal

    def crash(self, kept: int) -> None:
        """Enclave and host end; the host's file has `kept` frames of this life, at least what it said."""
        frames = self.host.frames
        least = self.journal._kept
        self.host.kept = b"".join(frames[: max(least, min(kept, len(frames)))])
        self.begin()

    def spent(self) -> int:
        """What the account was charged in all."""
        account = self.journal.accounts.accounts.get(NUMBER)
        return account.spent if account else 0


async def answered(life: Life, name: bytes, pieces: int, ends: int, acknowledged: int) -> tuple[int, bool]:
    """An answer of so many pieces, of which the host acknowledges a few; units that left, and whether it
    ended: 0 with its bill, 1 as a client that left, 2 as an error before its first byte, else not at all.
    """
    journal, left = life.journal, 0
    journal.write(journal.accounts.grant(NUMBER, PAYER.address, 10**9))
    at = journal.write(
        journal.accounts.reserve(NUMBER, name, name, most=6 * PIECE * 2, expires=2**62), durable=True
    )
    meter = AccountMeter(
        journal, paid(life.runtime, name, 6 * PIECE * 2), Reservation(name, "0x" + "00" * 32, at)
    )
    life.host.silent = True
    for number in range(1, pieces + 1):
        if acknowledged >= number:
            journal.on_kept(journal._journal.position)
        meter.used = Use(0, number * PIECE)
        try:
            await meter.draw()
        except Unavailable:
            return left, False
        left = number * PIECE * 2
    if ends == 0:
        bill = meter.close(b"\1" * 32, Use(0, pieces * PIECE))
        assert bill.charged == left
    elif ends == 1:
        assert meter.close(b"\1" * 32).charged == left
    elif ends == 2 and not left:
        meter.cancel()
    else:
        return left, False
    return left, True


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 6), st.integers(0, 40)), max_size=8
    )
)
def test_crashes_charge_no_more_and_hardly_less(answers: list[tuple[int, int, int, int]]) -> None:
    """Random answers with a crash behind each, in which the host may have lost what it never acknowledged."""
    life, least, most = Life(), 0, 0
    short, account_journal.KEPT_TIMEOUT_S = account_journal.KEPT_TIMEOUT_S, 0.0
    try:
        for number, (pieces, ends, acknowledged, kept) in enumerate(answers):
            name = sha256(number.to_bytes(4, "big"))
            before = life.spent()
            life.host.silent = False
            left, _ = asyncio.run(answered(life, name, pieces, ends, acknowledged))
            life.crash(kept)
            charged = life.spent() - before
            assert max(0, left - 2 * PIECE) <= charged <= 6 * PIECE * 2
            assert life.journal.accounts.open_requests == 0
            assert all(account.reserved == 0 for account in life.journal.accounts.accounts.values())
            least, most = least + max(0, left - 2 * PIECE), most + 6 * PIECE * 2
        assert least <= life.spent() <= most
    finally:
        account_journal.KEPT_TIMEOUT_S = short


def test_positions_go_on_after_a_restart() -> None:
    """No position of an earlier life is given again: that is how full nodes find a journal that was put
    back.
    """
    life = Life()
    seen = life.journal.position
    for number in range(3):
        life.journal.write(life.journal.accounts.grant(NUMBER, PAYER.address, 100 + number))
        assert life.journal.position > seen
        seen = life.journal.position
        life.crash(10**6)
        assert life.journal.position > seen
        seen = life.journal.position
    assert life.journal.accounts.account(NUMBER).limit == 102


def test_a_journal_that_was_changed_is_refused() -> None:
    """One bit anywhere but in the length of a frame, which at worst cuts the journal off there; another
    enclave's; a frame left out in the middle.
    """
    life = Life()
    for limit in (1, 2, 3):
        life.journal.write(life.journal.accounts.grant(NUMBER, PAYER.address, limit))
    file, frames = life.host.file, life.host.frames
    starts = [sum(map(len, frames[:number])) for number in range(len(frames))]
    lengths = {start + at for start in starts for at in range(4)}
    for at in {*range(len(file))} - lengths:
        changed = bytearray(file)
        changed[at] ^= 4
        life.host.kept = bytes(changed)
        with pytest.raises(VerificationFailed):
            life.begin()
    with pytest.raises(VerificationFailed):
        AccountJournal.begin(frames[0] + frames[2], SEALING, lambda _: None, lambda size: b"\1" * size, now=0)
    with pytest.raises(VerificationFailed):
        AccountJournal.begin(file, b"\2" * 32, lambda _: None, lambda size: b"\1" * size, now=0)


def test_a_used_payment_stays_used_after_a_restart() -> None:
    """As long as it could be presented again."""
    life = Life()
    name = sha256(b"one")
    asyncio.run(answered(life, name, 2, 0, 6))
    life.crash(10**6)
    use = life.journal.accounts.use_of(name)
    assert use is not None
    assert use.charged == 2 * PIECE * 2


def test_a_journal_begins_anew_when_it_is_long_and_nobody_waits() -> None:
    """What matters goes on, and so do positions; it waits while a request is open or the host is behind."""
    life = Life()
    name = sha256(b"one")
    life.host.silent = False
    asyncio.run(answered(life, name, 2, 0, 6))
    journal, before = life.journal, life.journal.position
    assert not journal.compact(5, 0)
    journal.on_kept(journal._journal.position)
    assert not journal.compact(10**6, 0)
    life.host.frames.clear()
    assert journal.compact(5, 0)
    assert journal.position > before
    life.host.kept = life.host.file
    spent = life.spent()
    life.begin()
    assert (life.spent(), spent) == (2 * PIECE * 2, 2 * PIECE * 2)
    assert life.journal.accounts.use_of(name) is not None
    assert life.journal.position > journal.position


def test_what_can_be_presented_no_more_is_forgotten() -> None:
    """An authorization that was an account of its own goes with it, once it is settled and has expired."""
    accounts = Accounts()
    name = sha256(b"one")
    accounts.grant(one_shot(name), PAYER.address, 10)
    accounts.reserve(one_shot(name), name, name, most=10, expires=1_000)
    accounts.end(name, 0)
    accounts.signed(1, settles=True)
    tidy(accounts, 1_000)
    assert accounts.accounts
    tidy(accounts, 1_001)
    assert (accounts.accounts, accounts.use_of(name)) == ({}, None)
