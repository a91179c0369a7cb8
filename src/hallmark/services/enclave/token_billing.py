"""Paying with an issuer's tokens: bearer money that nobody can link to who bought it.

1. The tokens are of a key set that the host brought and whose document is what the client names, in the asset
   of the offer, and in force now; each signature holds, and together they are worth the most that the request
   can cost.
2. Before any work the issuer signs that it holds them for this request. The host carries that question and
   can read nothing of it.
3. At the end the issuer signs that it settled what was charged, with blind signatures for the rest. Only then
   is a receipt signed: none ever names tokens that can be spent elsewhere.

Where nothing was delivered the tokens go back to their owner. When the enclave dies they do so by themselves
after fifteen minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.money import Offer
from hallmark.core.prices import Use
from hallmark.core.tokens import IssuerKeys
from hallmark.crypto.secp256k1 import Key
from hallmark.crypto.token_keys import KeySet
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.issuing import (
    HOLD_MS,
    Blinded,
    Held,
    HoldRequest,
    SealingKey,
    Settled,
    SettleRequest,
    encode_change,
)
from hallmark.payments.tokens import TokenPayment, change_due
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal, one_shot
from hallmark.services.enclave.host_requests import HostRequests, Send
from hallmark.services.enclave.metering import AccountMeter, Bill, Paid, Reservation

HOLD_TIMEOUT_S: Final = 10.0
SETTLE_TIMEOUT_S: Final = 20.0
FIRST_KEYS_S: Final = 5.0
KEPT: Final = 16
"""Key sets that are known at once."""
NAME_TAG: Final = b"hallmark/token-account/v1\0"
SPENT: Final = frozenset(("token_spent", "token_held"))

T = TypeVar("T")


class Known(msgspec.Struct, frozen=True):
    """A key set that is known, with the issuer's sealing key."""

    keys: KeySet
    sealing: bytes

    @property
    def document(self) -> IssuerKeys:
        """What the issuer signed."""
        return self.keys.document

    @property
    def issuer(self) -> bytes:
        """Whose word counts; 20 bytes."""
        return unhex(self.document.issuer)


class TokenBilling:
    """See the module docstring."""

    def __init__(
        self,
        key: Key,
        journal: AccountJournal,
        send: Send,
        clock: Callable[[], int],
        configuration: EnclaveConfiguration,
    ) -> None:
        """`key` is the settlement key, which signs what is charged."""
        self._key, self._journal, self._send, self._clock = key, journal, send, clock
        self._configuration = configuration
        self._sets: dict[bytes, Known] = {}
        self._holds: HostRequests[int, control.IssuerAnswer] = HostRequests(send, _not_held, HOLD_TIMEOUT_S)
        self._settles: HostRequests[int, control.IssuerAnswer] = HostRequests(
            send, _not_settled, SETTLE_TIMEOUT_S
        )
        self._next = 0
        self._heard = asyncio.Event()
        self._waited = False

    def on_message(self, message: control.TokenKeys | control.IssuerAnswer) -> None:
        """The host's word. A key set that cannot be used is left out: its tokens are refused."""
        if isinstance(message, control.IssuerAnswer):
            self._holds.answered(message.id, message)
            self._settles.answered(message.id, message)
            return
        try:
            self._take(message)
        except HallmarkError as error:
            self._send(control.Log("token_keys_refused", {"reason": error.reason}))

    async def require_keys(self) -> None:
        """Until the host has brought a key set. The first to ask waits for that, and who asks meanwhile.

        Raises Unavailable `token_keys_missing`.
        """
        if not self._heard.is_set() and not self._waited:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_KEYS_S):
                    await self._heard.wait()
            self._waited = True
        if not self._heard.is_set():
            raise Unavailable(
                "token_keys_missing",
                "This node has no issuer's key set, so it cannot take tokens now.",
                "Ask again in a moment: where its owner takes tokens, it fetches one. Or pay otherwise.",
            )

    def keys_for(self, offer: Offer) -> tuple[bytes, ...]:
        """Digests of the key sets whose tokens pay by this offer now."""
        now = self._clock()
        return tuple(digest for digest, one in self._sets.items() if _pays(one.document, offer, now))

    async def open(self, paid: Paid, header: bytes, request: bytes) -> TokenMeter:
        """The meter of a request (by the receipt's digest of it) that this header pays for; `paid` says
        offer, price and most.

        Raises InvalidInput `bad_tokens_header`, `token_keys_unknown`; VerificationFailed `token_invalid`;
        PaymentRequired `payment_short`; Conflict `token_spent`, `token_held`; Unavailable
        `issuer_unavailable`.
        """
        payment = TokenPayment.decode(header)
        known = self._sets.get(payment.spend.keys)
        if known is None or not _pays(known.document, paid.offer.offer, self._clock()):
            raise InvalidInput(
                "token_keys_unknown",
                "This node takes no tokens of this key set now.",
                "Its 402 names those that it takes; buy new ones where yours ran out.",
            )
        total = known.keys.verify_spend(payment.spend)
        _require_enough(total, paid.most)
        spending = Spending(request, payment, known, total)
        await self._hold(spending, unhex(paid.offer.offer.payee))
        try:
            return self._reserved(paid, spending)
        except BaseException:
            self._settle_soon(SettleRequest(hex0x(request), "0", ()))
            raise

    def _reserved(self, paid: Paid, spending: Spending) -> TokenMeter:
        """The tokens as an account that serves this one request. Tokens that came back may be spent here once
        more, so its name is of both.
        """
        spend, total, accounts = spending.payment.spend, spending.total, self._journal.accounts
        digest = spend.digest()
        name = sha256(NAME_TAG, digest, spending.request)
        self._journal.write(accounts.grant(one_shot(name), b"", total))
        expires = self._clock() + HOLD_MS
        at = self._journal.write(accounts.reserve(one_shot(name), name, name, most=total, expires=expires))
        opened = msgspec.structs.replace(
            paid, rail="token", payer=b"", account=0, authorization=spend.encode(), digest=digest, most=total
        )
        reservation = Reservation(name, self._configuration.network, at)
        return TokenMeter(self, self._journal, opened, reservation, spending)

    async def _hold(self, spending: Spending, payee: bytes) -> None:
        known, request, spend = spending.known, spending.request, spending.payment.spend
        asked = HoldRequest.made(
            spend.encode(), spend.keys, request, payee=payee, key=self._key.address, to=known.sealing
        )
        number = self._number()
        try:
            answer = await self._holds.ask(number, control.HoldWanted(number, msgspec.json.encode(asked)))
            held = _read(answer.body, Held)
            held.require(request, spend.digest(), known.issuer)
        except BaseException as error:
            if not (isinstance(error, HallmarkError) and error.reason in SPENT):
                self._settle_soon(SettleRequest(hex0x(request), "0", ()))
            raise

    async def settle(self, spending: Spending, charged: int) -> bytes:
        """Have a request settled; its change, empty for none. Raises Unavailable `change_unavailable`."""
        due = change_due(spending.total, charged, spending.known.document.unit)
        messages = {one.value: one.message for one in spending.payment.change}
        rows = tuple(Blinded(value, messages[value]) for value in due)
        asked = SettleRequest(hex0x(spending.request), str(charged), rows).signed(self._key)
        number = self._number()
        told = control.TokensDue(number, spending.request, msgspec.json.encode(asked))
        settled = _read((await self._settles.ask(number, told)).body, Settled)
        settled.require(asked, spending.known.issuer)
        return encode_change(settled.change) if settled.change else b""

    def release(self, request: bytes) -> None:
        """Nothing was delivered, so the tokens are their owner's again."""
        self._settle_soon(SettleRequest(hex0x(request), "0", ()))

    def _settle_soon(self, asked: SettleRequest) -> None:
        signed = asked.signed(self._key)
        self._send(control.TokensDue(self._number(), unhex(asked.request), msgspec.json.encode(signed)))

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _take(self, message: control.TokenKeys) -> None:
        keys, network = KeySet(IssuerKeys.decode(message.document)), self._configuration.network
        if keys.document.network != network:
            raise InvalidInput("token_keys_other", "This key set is of another network.")
        known = Known(keys, message.sealing)
        SealingKey(message.sealing, message.signature).require(unhex(network), known.issuer)
        self._sets[keys.digest] = known
        self._heard.set()
        while len(self._sets) > KEPT:
            del self._sets[min(self._sets, key=lambda one: self._sets[one].document.until)]


class Spending(msgspec.Struct, frozen=True):
    """The tokens of one request (by the receipt's digest of it), and what they are worth in atomic units."""

    request: bytes
    payment: TokenPayment
    known: Known
    total: int


class TokenMeter(AccountMeter):
    """The meter of a request that tokens pay for."""

    def __init__(
        self,
        rail: TokenBilling,
        journal: AccountJournal,
        paid: Paid,
        reservation: Reservation,
        spending: Spending,
    ) -> None:
        super().__init__(journal, paid, reservation)
        self._rail, self._spending = rail, spending

    def close(self, request: bytes, use: Use | None = None) -> Bill:
        """See `Meter`."""
        bill = super().close(request, use)
        keys = self._spending.known.document.encode()
        return msgspec.structs.replace(bill, issuer_keys=keys)

    async def change(self) -> bytes:
        """See `Meter`. The issuer's word comes before the receipt."""
        return await self._rail.settle(self._spending, self._charged)

    def cancel(self) -> None:
        """See `Meter`."""
        if not self._over:
            self._rail.release(self._spending.request)
        super().cancel()

    def give_up(self) -> int:
        """See `Meter`: without a receipt the issuer is not told to settle."""
        self.cancel()
        return self._charged


def _pays(keys: IssuerKeys, offer: Offer, now: int) -> bool:
    return keys.asset == offer.asset and keys.since <= now < keys.until


def _require_enough(total: int, most: int) -> None:
    if total < most:
        raise PaymentRequired(
            "payment_short",
            f"This request can cost {most} atomic units, and the tokens are worth {total}.",
            "Send more tokens, or ask for fewer tokens of text.",
        )


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unavailable("issuer_unreadable") from error


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "issuer_unavailable",
        f"The issuer of these tokens does not answer ({why}), so nothing is served for them.",
        "Try again shortly, or pay in another way.",
    )


def _not_held(why: str) -> HallmarkError:
    if why == "token_spent":
        error: HallmarkError = Conflict(
            "token_spent", "A token was spent before.", "Use tokens that were not."
        )
        error.retry = False
        return error
    if why == "token_held":
        return Conflict(
            "token_held",
            "A token is held for another request.",
            "It is free again when that one is over, after fifteen minutes at most.",
        )
    return _unavailable(why)


def _not_settled(why: str) -> HallmarkError:
    return Unavailable(
        "change_unavailable",
        f"The issuer did not settle these tokens in time ({why}), so there is no receipt.",
        "Ask the issuer what became of them: it gives the change, or says that they are good.",
    )
