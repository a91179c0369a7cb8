"""The enclave's accounts and their journal, which the host keeps without being able to read or change it.

A change is made in memory, sealed, and handed to the host at once; `kept` waits until the host says that it
has it. What is sent while somebody waits is on its way already, so that nobody waits for two.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable
from typing import Final

from hallmark.core.errors import Unavailable
from hallmark.core.hashing import sha256
from hallmark.payments.accounts import Accounts, Event
from hallmark.payments.journal import Journal, read_journal
from hallmark.services.enclave.control import Frame

NAME_TAG: Final = b"hallmark/account-journal-name/v1\0"
KEPT_TIMEOUT_S: Final = 10.0
NONCE: Final = 12
ONE_SHOT: Final = 1 << 61
"""Numbers of accounts that are one x402 authorization begin here."""
REMEMBERED: Final = 4_096
"""Ended requests whose receipt can be told to who presents their payment again."""

Random = Callable[[int], bytes]


class AccountJournal:
    """See the module docstring. `accounts` is changed by nobody else; each event that it gives goes through
    `write`.
    """

    def __init__(self, accounts: Accounts, key: bytes, send: Callable[[Frame], None], random: Random) -> None:
        self.accounts = accounts
        self._key, self._name = key, sha256(NAME_TAG, key)
        self._journal = Journal(key, self._name)
        self._send, self._random = send, random
        self._kept = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._receipts: dict[bytes, bytes] = {}

    @classmethod
    def begin(
        cls, kept: bytes, key: bytes, send: Callable[[Frame], None], random: Random, *, now: int
    ) -> tuple[AccountJournal, int]:
        """Go on at `now` (unix ms) from the journal that the host kept (empty: the first start), in one that
        begins anew, and how many requests were open: they end at what was drawn for them last.

        Raises VerificationFailed `journal_forged`, Conflict `journal_broken`.
        """
        read = read_journal(kept, key, sha256(NAME_TAG, key))
        accounts = Accounts(read.events)
        before = accounts.before + read.position
        ended = accounts.end_open()
        tidy(accounts, now)
        journal = cls(accounts, key, send, random)
        journal._write_all(before + len(ended))
        return journal, len(ended)

    def compact(self, least: int, now: int) -> bool:
        """Forget what can be presented no more, and begin the journal anew once it has `least` events; not
        while a request is open, or the host has not said that it has everything.
        """
        tidy(self.accounts, now)
        everything = self._journal.position
        if everything < least or self.accounts.open_requests or self._kept < everything:
            return False
        before = self.position
        self._journal, self._kept = Journal(self._key, self._name), 0
        self._write_all(before)
        return True

    def _write_all(self, before: int) -> None:
        events = self.accounts.events(before)
        self.accounts.apply(events[0])
        for event in events[:-1]:
            self.write(event)
        self.write(events[-1], durable=True)

    @property
    def position(self) -> int:
        """How many events there have been in all: what a payment record names."""
        return self.accounts.before + self._journal.position

    def write(self, event: Event, *, durable: bool = False) -> int:
        """Hand over what was done; its position in this journal, for `kept`."""
        frame = self._journal.frame(event, self._random(NONCE))
        self._send(Frame(self._journal.position, frame, durable))
        return self._journal.position

    async def kept(self, position: int) -> None:
        """Until the host has everything up to `position`. Raises Unavailable `journal_not_kept`."""
        if position <= self._kept:
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        bisect.insort(self._waiting, (position, waiting), key=_position)
        late = loop.call_later(KEPT_TIMEOUT_S, _late, waiting)
        try:
            await waiting
        finally:
            late.cancel()

    def on_kept(self, position: int) -> None:
        """The host has everything up to `position`."""
        self._kept = max(self._kept, min(position, self._journal.position))
        ready = bisect.bisect_right(self._waiting, self._kept, key=_position)
        for _, waiting in self._waiting[:ready]:
            if not waiting.done():
                waiting.set_result(None)
        del self._waiting[:ready]

    def note_receipt(self, request: bytes, receipt: bytes) -> None:
        """The receipt (its 32-byte id) of a request that was paid for."""
        self._receipts[request] = receipt
        if len(self._receipts) > REMEMBERED:
            del self._receipts[next(iter(self._receipts))]

    def receipt_of(self, request: bytes) -> bytes | None:
        """The receipt of a request that was paid for; None when it is not known any more, or not yet."""
        return self._receipts.get(request)


def one_shot(name: bytes) -> int:
    """The number of the account that is one x402 authorization; `name` is the authorization's."""
    return ONE_SHOT + int.from_bytes(sha256(name)[:7], "big")


def tidy(accounts: Accounts, now: int) -> None:
    """Forget what can be presented no more at `now` (unix ms), with the accounts that served it alone."""
    for name in accounts.forget(now):
        accounts.drop(one_shot(name))


def _position(one: tuple[int, asyncio.Future[None]]) -> int:
    return one[0]


def _late(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(
            Unavailable(
                "journal_not_kept", "The node's host does not keep the accounts.", "Try another node."
            )
        )
