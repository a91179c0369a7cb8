"""The accounts that an enclave draws on while it answers. A state machine; its events are its durable form.

The rules that it keeps, whatever happens in between:

1. What an account has spent and what is reserved on it are together never more than its limit.
2. A request is served under one authorization once. The same authorization again is told what became of it.
3. A cost is drawn before the bytes that it is for leave, and is never more than what was reserved.
4. At the end the rest of a reservation is free again, and what is charged is what was drawn, or less.
5. What has been reserved stays so until its request ends, however the limit falls meanwhile.

Every change is an event that `apply` makes again: state is always what the events so far say, so a journal of
them is enough to go on after a crash. Requests that were open then end at what was drawn last
(`end_open`): no more than was reserved, no less than was sent but for one chunk.

Amounts are atomic units; those of an account are cumulative over its life with this enclave's owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from hallmark.core.errors import Conflict, HallmarkError, InvalidInput
from hallmark.core.money import MAX_AMOUNT

OUTSIDE: Final = 1 << 32
"""Accounts from this number on are not the vault's."""


class PaymentRequired(HallmarkError):
    """It is not paid for, so nothing was done (402)."""

    status = 402
    retry = False


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """So much may be spent on the account in all: the least of what is deposited, leased and signed for.

    `spent` is what had been when the account came here first, and is not taken again for a known account.
    """

    account: int
    payer: bytes
    limit: int
    spent: int


class Reserved(msgspec.Struct, frozen=True, tag="reserved"):
    """A request began: it may cost `most`. Its `authorization` (32 bytes) is used up, and forgotten some time
    after `expires` (unix ms), when it can no longer be presented.
    """

    account: int
    request: bytes
    authorization: bytes
    most: int
    expires: int


class Drawn(msgspec.Struct, frozen=True, tag="drawn"):
    """The request has cost `total` so far."""

    request: bytes
    total: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The request is over and was charged this."""

    request: bytes
    charged: int


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """An authorization was used for a request that is over: what a journal that begins anew carries on.
    `unsettled`: no settlement was signed since.
    """

    authorization: bytes
    request: bytes
    charged: int
    expires: int
    unsettled: bool = False


class Continued(msgspec.Struct, frozen=True, tag="continued"):
    """The journal begins anew here; so many events stood in those before it."""

    events: int


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """A lease or settlement was signed with this number; a settlement is for every request that ended before
    (`requests`).
    """

    sequence: int
    requests: bool


class Vouched(msgspec.Struct, frozen=True, tag="vouched"):
    """The newest voucher of an account that is a channel, as bytes that its rail reads."""

    account: int
    voucher: bytes


Event = Granted | Reserved | Drawn | Ended | Kept | Continued | Settled | Vouched
EventT = TypeVar("EventT", Granted, Reserved, Drawn, Ended, Kept, Continued, Settled, Vouched)


class Account(msgspec.Struct, frozen=True):
    """What is known of one account."""

    payer: bytes
    limit: int
    spent: int = 0
    reserved: int = 0

    @property
    def free(self) -> int:
        """What a new request may reserve."""
        return max(0, self.limit - self.spent - self.reserved)


class Open(msgspec.Struct, frozen=True):
    """A request that is being answered."""

    account: int
    authorization: bytes
    most: int
    drawn: int = 0


class Use(msgspec.Struct, frozen=True):
    """What an authorization was used for. `charged` is None while the request runs."""

    request: bytes
    expires: int
    charged: int | None = None


class AlreadyUsed(Conflict):
    """The authorization was used before; `use` says for what."""

    retry = False

    def __init__(self, reason: str, message: str, hint: str, use: Use) -> None:
        super().__init__(reason, message, hint)
        self.use = use


class Accounts:
    """See the module docstring. Each method that changes something returns the event to write down first."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        """State as these events left it."""
        self._accounts: dict[int, Account] = {}
        self._open: dict[bytes, Open] = {}
        self._used: dict[bytes, Use] = {}
        self._ended: list[Ended] = []
        self.vouchers: dict[int, bytes] = {}
        """The newest voucher of each account that is a channel."""
        self.before = 0
        """How many events stood in the journals before this one."""
        self.sequence = 0
        """The number of the newest lease or settlement that was signed."""
        for event in events:
            self.apply(event)

    def account(self, number: int) -> Account:
        """What is known of an account. Raises PaymentRequired `account_unknown`."""
        found = self.find(number)
        if found is None:
            raise PaymentRequired(
                "account_unknown", "This node does not know this account.", "Deposit first, then try again."
            )
        return found

    def find(self, number: int) -> Account | None:
        """What is known of an account; None when nothing is."""
        return self._accounts.get(number)

    def number_of(self, payer: bytes) -> int:
        """The number of a payer's account in the vault: the one that it has here, else the next."""
        ours = {number: one.payer for number, one in self._accounts.items() if number < OUTSIDE}
        mine = [number for number, of in ours.items() if of == payer]
        return mine[0] if mine else max(ours, default=0) + 1

    @property
    def accounts(self) -> dict[int, Account]:
        """Every account by its number; a copy."""
        return dict(self._accounts)

    @property
    def open_requests(self) -> int:
        """How many requests are being answered."""
        return len(self._open)

    @property
    def unsettled(self) -> tuple[Ended, ...]:
        """The requests that ended since the newest settlement, in order."""
        return tuple(self._ended)

    def signed(self, sequence: int, *, settles: bool) -> Settled:
        """A lease, or a settlement of all that has ended, is signed with the next number.

        Raises Conflict `stale_sequence`.
        """
        if sequence <= self.sequence:
            raise Conflict("stale_sequence", "Leases and settlements are numbered upwards.")
        return self._made(Settled(sequence, settles))

    def vouch(self, number: int, voucher: bytes) -> Vouched:
        """The newest voucher of a channel's account. Raises PaymentRequired `account_unknown`."""
        self.account(number)
        return self._made(Vouched(number, voucher))

    def grant(self, number: int, payer: bytes, limit: int, spent: int = 0) -> Granted:
        """Set what may be spent in all. It may fall below what is spent and reserved: what was promised stays
        promised, and nothing new begins until it is over that again.

        Raises InvalidInput `bad_amount`, Conflict `account_of_another`.
        """
        if not 0 <= limit <= MAX_AMOUNT or not 0 <= spent <= MAX_AMOUNT:
            raise InvalidInput("bad_amount", "An account's limit is an amount from 0 to 2^96 - 1.")
        known = self._accounts.get(number)
        if known is not None and known.payer != payer:
            raise Conflict("account_of_another", "This account belongs to another payer.")
        # What a message brought is a kind of int that the journal does not write.
        return self._made(Granted(number, payer, int(limit), int(known.spent if known else spent)))

    def reserve(
        self, number: int, request: bytes, authorization: bytes, *, most: int, expires: int
    ) -> Reserved:
        """Begin a request that may cost `most`.

        Raises AlreadyUsed `payment_reused`; PaymentRequired `account_unknown`, `insufficient_balance`;
        Conflict `request_repeated`; InvalidInput `bad_amount`.
        """
        if not 0 <= most <= MAX_AMOUNT:
            raise InvalidInput("bad_amount", "What a request may cost is an amount from 0 to 2^96 - 1.")
        self.refuse_used(authorization)
        if request in self._open:
            raise Conflict(
                "request_repeated",
                "This request is being answered already.",
                "Wait for its answer, or sign a new payment for a new request.",
            )
        account = self.account(number)
        if most > account.free:
            raise PaymentRequired(
                "insufficient_balance",
                f"This request can cost {most} atomic units, and the account has {account.free} free.",
                "Deposit more, raise the ceiling, or ask for fewer tokens.",
            )
        return self._made(Reserved(number, request, authorization, most, expires))

    def draw(self, request: bytes, total: int) -> Drawn:
        """The request has cost `total` so far; call it before the bytes that make it so leave.

        Raises Conflict `request_not_open`, `over_reserved` (the bytes must not leave), `drawn_back`.
        """
        one = self._of(request)
        if total > one.most:
            raise Conflict("over_reserved", "This would cost more than was reserved for the request.")
        if total < one.drawn:
            raise Conflict("drawn_back", "What was drawn for a request cannot be given back while it runs.")
        return self._made(Drawn(request, total))

    def end(self, request: bytes, charged: int) -> Ended:
        """The request is over; less than was drawn may be charged (nothing, when nothing was delivered).

        Raises Conflict `request_not_open`, `over_drawn`.
        """
        if not 0 <= charged <= self._of(request).drawn:
            raise Conflict("over_drawn", "A request is not charged more than was drawn for it.")
        return self._made(Ended(request, charged))

    def end_open(self) -> list[Ended]:
        """After a crash: every request that was open ends at what was drawn for it last."""
        return [self._made(Ended(request, one.drawn)) for request, one in list(self._open.items())]

    def refuse_used(self, authorization: bytes) -> None:
        """Raises AlreadyUsed `payment_reused` when an authorization was used before."""
        used = self._used.get(authorization)
        if used is not None:
            raise AlreadyUsed(
                "payment_reused",
                "This payment belongs to a request that was made before.",
                "Ask for that request's receipt, or sign a new payment for a new request.",
                used,
            )

    def use_of(self, authorization: bytes) -> Use | None:
        """What an authorization was used for; None when it was not, or so long ago that it has expired."""
        return self._used.get(authorization)

    def forget(self, now: int) -> list[bytes]:
        """Drop authorizations of ended and settled requests that expired before `now` (unix ms); which."""
        ended = {one.request for one in self._ended}
        gone = [
            key
            for key, use in self._used.items()
            if use.expires < now and use.charged is not None and use.request not in ended
        ]
        for key in gone:
            del self._used[key]
        return gone

    def drop(self, number: int) -> None:
        """Forget an account that served its one request, if nothing is reserved on it."""
        account = self._accounts.get(number)
        if account is not None and not account.reserved:
            del self._accounts[number]

    def events(self, before: int) -> list[Event]:
        """The fewest events that make this state: a journal can begin anew with them, after `before` events
        in those until now.
        """
        found: list[Event] = [Continued(before)]
        if self.sequence:
            found.append(Settled(self.sequence, requests=True))
        for number, account in self._accounts.items():
            found.append(Granted(number, account.payer, account.limit, account.spent))
        found += [Vouched(number, voucher) for number, voucher in self.vouchers.items()]
        for request, one in self._open.items():
            expires = self._used[one.authorization].expires
            found.append(Reserved(one.account, request, one.authorization, one.most, expires))
            if one.drawn:
                found.append(Drawn(request, one.drawn))
        ended = {one.request for one in self._ended}
        for authorization, use in self._used.items():
            if use.charged is not None:
                unsettled = use.request in ended
                found.append(Kept(authorization, use.request, use.charged, use.expires, unsettled))
        return found

    def apply(self, event: Event) -> None:
        """Make a change that one of the other methods decided on, here or before a restart.

        Raises Conflict `journal_broken` when it cannot follow on what was before.
        """
        try:
            self._apply(event)
        except KeyError as error:
            raise Conflict("journal_broken", "An event speaks of what no event before it began.") from error

    def _made(self, event: EventT) -> EventT:
        self._apply(event)
        return event

    def _apply(self, event: Event) -> None:
        if isinstance(event, Granted):
            known = self._accounts.get(event.account, Account(event.payer, 0, event.spent))
            self._accounts[event.account] = msgspec.structs.replace(known, limit=event.limit)
        elif isinstance(event, Reserved):
            account = self._accounts[event.account]
            self._accounts[event.account] = msgspec.structs.replace(
                account, reserved=account.reserved + event.most
            )
            self._open[event.request] = Open(event.account, event.authorization, event.most)
            self._used[event.authorization] = Use(event.request, event.expires)
        elif isinstance(event, Drawn):
            self._open[event.request] = msgspec.structs.replace(self._open[event.request], drawn=event.total)
        elif isinstance(event, Ended):
            self._end(event)
        elif isinstance(event, Continued):
            self.before = event.events
        elif isinstance(event, Vouched):
            self.vouchers[event.account] = event.voucher
        elif isinstance(event, Settled):
            self.sequence = event.sequence
            self._ended = [] if event.requests else self._ended
        else:
            self._used[event.authorization] = Use(event.request, event.expires, event.charged)
            if event.unsettled:
                self._ended.append(Ended(event.request, event.charged))

    def _end(self, event: Ended) -> None:
        one = self._open.pop(event.request)
        self._ended.append(event)
        account = self._accounts[one.account]
        self._accounts[one.account] = msgspec.structs.replace(
            account, spent=account.spent + event.charged, reserved=account.reserved - one.most
        )
        used = self._used[one.authorization]
        self._used[one.authorization] = msgspec.structs.replace(used, charged=event.charged)

    def _of(self, request: bytes) -> Open:
        found = self._open.get(request)
        if found is None:
            raise Conflict("request_not_open", "No such request is being answered.")
        return found
