"""Accounts: nothing unpaid, nothing twice, nothing too much, also after a crash."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.core.money import MAX_AMOUNT
from hallmark.payments.accounts import Accounts, AlreadyUsed, Ended, Event, PaymentRequired

PAYER, OTHER = b"\1" * 20, b"\2" * 20
LATER = 1_000


def name(number: int) -> bytes:
    """A request's or authorization's 32 bytes."""
    return number.to_bytes(32, "big")


def reserve(accounts: Accounts, number: int, most: int, *, account: int = 1) -> Event:
    """Begin request `number` under an authorization of its own."""
    return accounts.reserve(account, name(number), name(1_000 + number), most=most, expires=LATER)


def test_sixty_four_requests_share_what_one_account_has() -> None:
    """Parallel requests all begin while the balance covers them; the one that it does not cover is told."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 640)
    for number in range(64):
        reserve(accounts, number, 10)
    with pytest.raises(PaymentRequired) as refused:
        reserve(accounts, 64, 1)
    assert (refused.value.reason, refused.value.status) == ("insufficient_balance", 402)
    accounts.draw(name(0), 4)
    accounts.end(name(0), 4)
    assert accounts.account(1).free == 6


def test_an_authorization_serves_once() -> None:
    """Sixty-three of sixty-four copies are told which request it was for, then and when it is over."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    reserve(accounts, 1, 10)
    for copy in range(63):
        with pytest.raises(AlreadyUsed) as refused:
            accounts.reserve(1, name(copy + 2), name(1_001), most=1, expires=LATER)
        assert (refused.value.use.request, refused.value.use.charged) == (name(1), None)
    accounts.draw(name(1), 7)
    accounts.end(name(1), 7)
    with pytest.raises(AlreadyUsed) as refused:
        accounts.reserve(1, name(1), name(1_001), most=1, expires=LATER)
    assert (refused.value.reason, refused.value.use.charged) == ("payment_reused", 7)


def test_nothing_is_drawn_over_what_was_reserved_or_back() -> None:
    """Bytes that would cost more than was reserved must not leave; a draw never shrinks; the end may."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    reserve(accounts, 1, 10)
    accounts.draw(name(1), 8)
    for reason, act in (
        ("over_reserved", lambda: accounts.draw(name(1), 11)),
        ("drawn_back", lambda: accounts.draw(name(1), 7)),
        ("over_drawn", lambda: accounts.end(name(1), 9)),
        ("over_drawn", lambda: accounts.end(name(1), -1)),
        ("request_not_open", lambda: accounts.draw(name(2), 1)),
        ("request_repeated", lambda: accounts.reserve(1, name(1), name(9), most=1, expires=LATER)),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.reason == reason
    accounts.end(name(1), 0)
    assert (accounts.account(1).spent, accounts.account(1).free) == (0, 100)


def test_a_withdrawal_takes_nothing_that_is_reserved() -> None:
    """The limit falls below what is promised: the running request goes on, a new one does not begin."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    reserve(accounts, 1, 60)
    accounts.grant(1, PAYER, 20)
    assert accounts.account(1).free == 0
    accounts.draw(name(1), 60)
    with pytest.raises(PaymentRequired):
        reserve(accounts, 2, 1)
    accounts.end(name(1), 60)
    assert accounts.account(1).spent == 60


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_amounts_have_bounds(amount: int) -> None:
    """No limit, reservation or past spending is negative or past what a settlement can hold."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    for act in (
        lambda: accounts.grant(2, PAYER, amount),
        lambda: accounts.grant(2, PAYER, 1, amount),
        lambda: reserve(accounts, 1, amount),
    ):
        with pytest.raises(InvalidInput) as refused:
            act()
        assert refused.value.reason == "bad_amount"


def test_an_account_has_one_payer() -> None:
    """A number that belongs to one payer is never granted to another, and an unknown one pays for nothing."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    with pytest.raises(Conflict) as refused:
        accounts.grant(1, OTHER, 100)
    assert refused.value.reason == "account_of_another"
    with pytest.raises(PaymentRequired) as unknown:
        reserve(accounts, 1, 1, account=2)
    assert unknown.value.reason == "account_unknown"


def test_a_journal_with_a_hole_is_refused() -> None:
    """An event about a request that no event began is not half-applied."""
    with pytest.raises(Conflict) as refused:
        Accounts([Ended(name(1), 1)])
    assert refused.value.reason == "journal_broken"


def test_used_authorizations_are_forgotten_when_they_have_expired() -> None:
    """Not earlier, never while the request runs, and not before a settlement was signed for it."""
    accounts = Accounts()
    accounts.grant(1, PAYER, 100)
    reserve(accounts, 1, 1)
    assert accounts.forget(LATER + 1) == []
    accounts.end(name(1), 0)
    assert accounts.forget(LATER + 1) == []
    accounts.signed(1, settles=True)
    assert (accounts.forget(LATER), accounts.forget(LATER + 1)) == ([], [name(1_001)])
    assert accounts.use_of(name(1_001)) is None


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["grant", "reserve", "draw", "end", "copy", "settle", "restart", "crash", "compact"]),
        st.integers(1, 3),
        st.integers(0, 12),
        st.integers(0, 120),
    ),
    max_size=80,
)


@given(ACTS)
def test_every_history_adds_up(acts: list[tuple[str, int, int, int]]) -> None:
    """In any order, with restarts from the journal and crashes in between: an account never spends or
    reserves more than it was granted at the time, each request is charged once and no more than was drawn and
    reserved, and what all requests were charged is what the accounts have spent.
    """
    accounts, journal = Accounts(), list[Event]()
    charged: dict[bytes, int] = {}
    most: dict[bytes, int] = {}
    drawn: dict[bytes, int] = {}
    granted, unsettled = {1: 0, 2: 0, 3: 0}, 0
    for act, account, number, amount in acts:
        request = name(number)
        try:
            if act == "grant":
                journal.append(accounts.grant(account, PAYER, amount))
                granted[account] = max(granted[account], amount)
            elif act in ("reserve", "copy"):
                paper = name(1_000 + number % (3 if act == "copy" else 99))
                known = accounts.use_of(paper)
                event = accounts.reserve(account, request, paper, most=amount, expires=LATER)
                assert known is None
                journal.append(event)
                most[request], drawn[request] = amount, 0
            elif act == "draw":
                journal.append(accounts.draw(request, amount))
                drawn[request] = amount
            elif act == "end":
                journal.append(accounts.end(request, amount))
                assert amount <= drawn[request]
                charged[request] = charged.get(request, 0) + amount
                unsettled += amount
            elif act == "settle":
                journal.append(accounts.signed(accounts.sequence + number, settles=amount > 60))
                unsettled = 0 if amount > 60 and number else unsettled
        except HallmarkError:
            pass
        if act == "compact":
            journal = accounts.events(len(journal) + accounts.before)
        elif act == "restart":
            accounts = Accounts(journal)
        elif act == "crash":
            accounts = Accounts(journal)
            for event in accounts.end_open():
                journal.append(event)
                assert event.charged == drawn[event.request] <= most[event.request]
                charged[event.request] = charged.get(event.request, 0) + event.charged
                unsettled += event.charged
        assert sum(one.charged for one in accounts.unsettled) == unsettled
        for known_account, state in accounts.accounts.items():
            assert 0 <= state.spent + state.reserved <= granted[known_account]
        assert sum(a.spent for a in accounts.accounts.values()) == sum(charged.values())
    copy = Accounts(accounts.events(0))
    assert copy.accounts == accounts.accounts
    assert msgspec.msgpack.encode(copy.events(0)) == msgspec.msgpack.encode(accounts.events(0))
