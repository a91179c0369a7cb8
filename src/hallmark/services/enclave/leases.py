"""Credit of payers, leased from the vault: what the enclave may draw on, and what it signs for the chain.

The enclave has no network. It asks its host what the chain holds, signs a lease, and counts on it once the
host says that it is in a block. A host that lies makes its own operator serve for nothing, or turns payers
away; the contract compares every settlement with what the payer signed (ADR 35). Rows name the payer, so no
host has a say in who is charged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.hashing import ZERO32, keccak256, sha256
from hallmark.core.merkle import leaf_hash, root
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.vault import Lease, Row, Settlement, Vault, pack_rows
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.accounts import OUTSIDE, Ended, PaymentRequired
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal
from hallmark.services.enclave.host_requests import HostRequests, Send, unavailable

HOST_TIMEOUT_S: Final = 60.0
RESERVE_TIMES: Final = 4
"""A lease is for at least so many requests like the one that needs it, or a quarter of what is free."""
SHARE: Final = 4
COMPACT_AT: Final = 50_000
"""Events of the journal after which it begins anew, some 10 MB."""
ROOM: Final = 64
"""Requests that may wait for leases at once."""


class _Held(msgspec.Struct):
    """What is known of one payer's account: its number here, this key's lease, and what waits for credit."""

    number: int = 0
    until: int = 0
    term: int = 0
    wanted: int = 0


class Leases:
    """See the module docstring. `key` is the settlement key; `longest_s` how long a request may run."""

    def __init__(
        self, key: Key, journal: AccountJournal, send: Send, clock: Callable[[], int], longest_s: int
    ) -> None:
        self.key = key
        self._journal, self._send, self._clock, self._longest_s = journal, send, clock, longest_s
        self._held: dict[bytes, _Held] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}
        self._asked: HostRequests[int, control.AccountState] = HostRequests(send, refused, HOST_TIMEOUT_S)

    async def room(self, authorization: SpendingAuthorization, vault: Vault, most: int) -> int:
        """Make sure that `most` atomic units can be reserved for this payer; the account's number.

        Raises PaymentRequired `insufficient_balance`, `account_unknown`, `ceiling_refused`; Unavailable
        `lease_unavailable` with the host's reason in it.
        """
        payer = authorization.ceiling.payer
        held = self._held.setdefault(payer, _Held())
        if self._has(held, most):
            return held.number
        if sum(one.wanted > 0 for one in self._held.values()) >= ROOM:
            raise Unavailable(
                "lease_unavailable", "Too many payers wait for credit here.", "Try another node."
            )
        held.wanted += most
        try:
            async with self._locks.setdefault(payer, asyncio.Lock()):
                if not self._has(held, most):
                    await self._lease(held, authorization, vault, most)
        finally:
            held.wanted -= most
        return held.number

    def on_state(self, state: control.AccountState) -> None:
        """The host's answer."""
        self._asked.answered(state.id, state)

    def settle(self, asked: control.Settle, vault: Vault | None) -> control.SettlementSigned:
        """Sign for what every account was charged beyond what the chain has. The requests behind it are
        committed to by the RFC 6962 root over SHA-256(request || u128be charged), sorted.
        """
        accounts = self._journal.accounts
        held = {one.number: one for one in self._held.values()}
        rows = []
        for number, account in sorted(accounts.accounts.items()):
            if number >= OUTSIDE:
                continue
            lease = held.get(number)  # None: known from before this start alone
            gives_back = lease is not None and asked.closing and not account.reserved and lease.until > 0
            # A row below what the chain has refuses the whole settlement: a journal was lost.
            has = asked.settled.get(account.payer, 0)
            gives_back = gives_back and account.spent >= has
            if account.spent > has or gives_back:
                rows.append(Row(account.payer, account.spent))
            if lease is not None and gives_back:
                lease.until = 0
        if not rows or vault is None:
            if accounts.unsettled and not rows:  # they cost nothing here, or were paid for in another way
                self._number(settles=True)
            self._journal.compact(COMPACT_AT, self._clock())
            return control.SettlementSigned(asked.id, 0, b"", ZERO32, asked.closing, b"")
        packed = pack_rows(rows)
        receipts = receipts_root(accounts.unsettled)
        sequence = self._number(settles=True)
        statement = Settlement(self.key.address, sequence, keccak256(packed), receipts, int(asked.closing))
        signature = self.key.sign(vault.digest(statement))
        return control.SettlementSigned(asked.id, sequence, packed, receipts, asked.closing, signature)

    def _has(self, held: _Held, most: int) -> bool:
        account = self._journal.accounts.find(held.number)
        return account is not None and self._lasts(held.until, held.term) and account.free >= most

    def _lasts(self, until: int, term: int) -> bool:
        """Whether a request that begins now ends before the lease does, or soon enough after it to be settled
        in its window.
        """
        return until - self._clock() // 1000 > min(self._longest_s, term // 2)

    async def _lease(
        self, held: _Held, authorization: SpendingAuthorization, vault: Vault, most: int
    ) -> None:
        ceiling = authorization.ceiling
        number = self._asked.number()
        wanted = control.AccountWanted(number, ceiling.pack(), authorization.by_payer)
        state = await self._asked.ask(number, wanted)
        accounts = self._journal.accounts
        known = accounts.find(accounts.number_of(ceiling.payer))
        # What was spent is what this enclave charged: who is new here begins at nothing.
        spent, reserved = (known.spent, known.reserved) if known else (0, 0)
        target = min(
            spent + reserved + max(RESERVE_TIMES * held.wanted, state.free // SHARE),
            state.allowance + state.free,
            state.most,
        )
        target = max(target, state.allowance)
        if target < spent + reserved + most:
            raise PaymentRequired(
                "insufficient_balance",
                f"This request can cost {most} atomic units; {max(0, target - spent - reserved)} are free.",
                "Deposit more, raise the ceiling, or ask for fewer tokens.",
            )
        if target > state.allowance or not self._lasts(state.until, state.term):
            state = await self._signed(number, state, Row(ceiling.payer, target), vault)
        held.number = accounts.number_of(ceiling.payer)  # the next may have gone to another payer meanwhile
        self._journal.write(accounts.grant(held.number, ceiling.payer, state.allowance))
        held.until, held.term = state.until, state.term
        if not self._has(held, most):
            raise unavailable("lease_short")

    async def _signed(
        self, number: int, state: control.AccountState, row: Row, vault: Vault
    ) -> control.AccountState:
        until = self._clock() // 1000 + state.term
        rows = pack_rows([row])
        sequence = self._number(settles=False)
        statement = Lease(self.key.address, sequence, until, keccak256(rows))
        signature = self.key.sign(vault.digest(statement))
        lease = control.LeaseSigned(number, sequence, until, rows, signature)
        return await self._asked.ask(number, lease)

    def _number(self, *, settles: bool) -> int:
        accounts = self._journal.accounts
        sequence = max(accounts.sequence + 1, self._clock())
        self._journal.write(accounts.signed(sequence, settles=settles))
        return sequence


def refused(why: str) -> HallmarkError:
    """The error for the host's reason: what only the payer can change, or what may be over in a moment."""
    if why == "account_absent":
        return PaymentRequired(
            "account_unknown", "This payer has nothing in the vault.", "Deposit first, then try again."
        )
    if why == "ceiling_refused":
        return PaymentRequired(
            "ceiling_refused",
            "The chain does not take the ceiling of this payment.",
            "Sign one for this payee and vault, with a higher nonce than the newest.",
        )
    return unavailable(why)


def receipts_root(ended: Iterable[Ended]) -> bytes:
    """RFC 6962 root over SHA-256(request || u128be charged) of ended requests, sorted; 32 bytes."""
    leaves = sorted(sha256(one.request, one.charged.to_bytes(16, "big")) for one in ended)
    return root([leaf_hash(one) for one in leaves])
