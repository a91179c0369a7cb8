"""Paying for requests from the vault: what this client signs, and what it refuses to sign.

It signs for a request only when

1. the offer is in the vault, on the chain and in the token that this home knows;
2. the payee is that of a registered node, as the log proves under this client's trust file, or the one that
   its owner named;
3. the most that it can cost is within `max_per_request`, and with what every process of this home spent in
   the last 24 hours within `max_per_day`;
4. no other payment for the same request is on its way: one whose fate is not known is sent again, never
   replaced by a new one.

For each payee the wallet signs one ceiling: at most a day's limit more than what is charged by now, for two
days. It names a session key, which signs requests. So whoever steals the session key, or an enclave that
charges more than its receipts say, gets no more than a day's limit, for that payee, until the wallet signs
again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from hallmark.core.amounts import parse_amount, show_amount
from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32
from hallmark.core.model_names import read_model_name
from hallmark.core.money import Asset, Offer, Payment, Price
from hallmark.core.prices import Use, cost, is_free, price_of
from hallmark.core.receipt import Receipt
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.spending import SALT, request_name, sign_spending
from hallmark.services.chain.vault import Account, CeilingInForce
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.offers import NodeOffer, payee_of
from hallmark.services.sdk.spending_store import (
    KeptCeiling,
    SpendingRefused,
    SpendingStore,
    Spent,
)
from hallmark.services.sdk.wallet import Wallet

REGISTRY: Final = "registry"
CEILING_S: Final = 48 * 3_600
SPEND_MS: Final = 300_000
"""How long a signed payment can be presented."""
OFFERS_MS: Final = 60_000
"""How long a list of offers is used."""
UNKNOWN: Final = 1 << 40
"""Stands for a number of tokens that nobody bounds."""

Listing = Callable[[], Awaitable[tuple[NodeOffer, ...]]]


class Ceilings(Protocol):
    """What the chain says of a payer's ceilings; a `VaultContract` does."""

    async def account(self, payer: bytes) -> Account:
        """A payer's account; all zero: none."""
        ...

    async def ceiling(self, payer: bytes, payee: bytes) -> CeilingInForce:
        """A payer's ceiling for a payee."""
        ...


EVIDENCE: Final = "Keep the receipt: it is the evidence. The payment counts at its maximum until then."


class Limits(msgspec.Struct, frozen=True):
    """What the owner allows: amounts as people write them, and whom to pay (REGISTRY, or an address)."""

    max_per_request: str
    max_per_day: str
    pay_to: str = REGISTRY

    def check(self) -> None:
        """Raises InvalidInput `bad_amount`, `bad_payee` for what can never be meant."""
        for text in (self.max_per_request, self.max_per_day):
            if not parse_amount(text, 18):
                raise InvalidInput(
                    "bad_amount", "A limit is more than nothing.", 'Such as max_per_request="0.05".'
                )
        if self.pay_to != REGISTRY and len(_address(self.pay_to)) != 20:
            raise InvalidInput(
                "bad_payee",
                "A payee is `registry` or an address of 20 bytes, 0x-hex.",
                "`registry` takes whoever the log names.",
            )


class SignedPayment(msgspec.Struct, frozen=True):
    """A payment for one request: the header's value, its name (the digest of the spend), the most that may be
    charged, under which node's offer, and until when it can be presented (unix ms).
    """

    header: str
    name: bytes
    maximum: int
    chosen: NodeOffer
    expires: int


class _Asked(msgspec.Struct, frozen=True):
    model: str
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None


class _Candidate(msgspec.Struct, frozen=True):
    chosen: NodeOffer
    price: Price
    asset: Asset
    maximum: int
    rank: int


class Spending:
    """See the module docstring. `listing` gives the offers in force, `clock` unix ms."""

    def __init__(
        self,
        limits: Limits,
        wallet: Wallet,
        chain: Chain,
        *,
        store: SpendingStore,
        vault: Ceilings,
        listing: Listing,
        clock: Callable[[], int],
    ) -> None:
        limits.check()
        self.limits, self._wallet, self._chain = limits, wallet, chain
        self._store, self._contract, self._listing, self._clock = store, vault, listing, clock
        self._vault = Vault(chain.chain_id, unhex(chain.vault))
        self._asset = f"eip155:{chain.chain_id}/{chain.token}"
        self._signing, self._asking = asyncio.Lock(), asyncio.Lock()
        self._listed: tuple[NodeOffer, ...] = ()
        self._listed_at = -OFFERS_MS
        self._running: Counter[str] = Counter()
        self._last = ""
        self._pending: dict[tuple[str, bytes], SignedPayment] = {}

    async def pay(self, path: str, body: bytes, among: frozenset[str] | None = None) -> SignedPayment | None:
        """The payment that goes with exactly this request; None when it is free everywhere. `among` are the
        settlement keys of the nodes that may be paid (None: any).

        Raises SpendingRefused `over_max_per_day`, `over_max_per_request`, `unknown_asset`, `other_chain`,
        `other_vault`, `other_payee`, `payee_not_registered`, `no_accounts_there`, `no_account`; InvalidInput
        `no_price`.
        """
        now = self._clock()
        again = self._pending.get((path, body))
        if again is not None and now < again.expires and (among is None or again.chosen.settlement in among):
            self._running[again.chosen.settlement] += 1
            return again
        asked = read_asked(body)
        offers = [one for one in await self._offers() if asked.model in one.models]
        if among is not None:
            offers = [one for one in offers if one.settlement in among]
        if all(_is_free(one.offer, body, asked) for one in offers):
            return None
        best = self._choose(offers, body, asked)
        return await self._sign(best, path, body, now)

    async def delivered(self, paid: SignedPayment, record: str | None, receipt: Receipt, name: str) -> None:
        """The answer came, with its payment record and its receipt, which is called `name`.

        Raises VerificationFailed `charged_over_signed`, `payment_record_other`.
        """
        self._over(paid)
        await self._store.settle(paid.name, check_record(paid, record, receipt), name)

    async def refused(
        self, paid: SignedPayment, charged: int | None = 0, receipt: str = "", *, anew: bool = False
    ) -> None:
        """The network answered that nothing was charged, or what was; None: it was, and nobody says what.

        `anew`: the chain does not take the ceiling, as when another home of the same wallet signed a newer
        one; the next payment to this payee gets a new ceiling.
        """
        self._over(paid)
        if anew:
            await self._store.drop_ceiling(self._ceiling_name(payee_of(paid.chosen)))
        if charged is not None:
            await self._store.settle(paid.name, min(charged, paid.maximum), receipt)

    def unknown(self, path: str, body: bytes, paid: SignedPayment) -> None:
        """Nobody knows what became of it: the same request gets the same payment as long as that holds."""
        self._running[paid.chosen.settlement] -= 1
        self._pending = {key: one for key, one in self._pending.items() if self._clock() < one.expires} | {
            (path, body): paid
        }

    def _over(self, paid: SignedPayment) -> None:
        self._pending = {key: one for key, one in self._pending.items() if one.name != paid.name}
        self._running[paid.chosen.settlement] -= 1

    async def _offers(self) -> tuple[NodeOffer, ...]:
        async with self._asking:
            now = self._clock()
            over = any(one.offer.until <= now for one in self._listed)
            if over or now - self._listed_at >= OFFERS_MS:
                self._listed, self._listed_at = await self._listing(), now
            return self._listed

    def _choose(self, offers: list[NodeOffer], body: bytes, asked: _Asked) -> _Candidate:
        """The cheapest node that answers; of equals the one that served last, while it has a place."""
        found: list[_Candidate] = []
        refusal: HallmarkError | None = None
        for one in offers:
            try:
                found.append(self._candidate(one, body, asked))
            except HallmarkError as error:
                refusal = refusal or error
        if not found:
            assert refusal is not None
            raise refusal

        def order(one: _Candidate) -> tuple[bool, int, int, bool, int]:
            chosen, running = one.chosen, self._running[one.chosen.settlement]
            full, other = running // chosen.capacity, chosen.settlement != self._last
            return not chosen.answers, one.rank, full, other, running

        return min(found, key=order)

    def _candidate(self, one: NodeOffer, body: bytes, asked: _Asked) -> _Candidate:
        offer, limits = one.offer, self.limits
        asset = offer.asset
        if asset is None or asset.address != self._chain.token:
            raise SpendingRefused("unknown_asset", "The node wants a token that is not known here.")
        if asset.chain_id != self._chain.chain_id:
            raise SpendingRefused("other_chain", "The node wants to be paid on another chain.")
        if offer.vault != self._chain.vault:
            raise SpendingRefused("other_vault", "The node draws on a vault that is not known here.")
        if limits.pay_to == REGISTRY and not one.proven:
            raise SpendingRefused(
                "payee_not_registered",
                "That the node's payee is registered is not shown by the log.",
                "Give the client the network's trust file, or name the payee with pay_to.",
            )
        if limits.pay_to not in (REGISTRY, offer.payee):
            raise SpendingRefused("other_payee", "The node is paid at another address than the one named.")
        if not one.settlement:
            raise SpendingRefused("no_accounts_there", "The node draws on no accounts.")
        free = _is_free(offer, body, asked)
        price = Price(asked.model) if free else price_of(offer, asked.model)
        cap, least = parse_amount(limits.max_per_request, asset.decimals), cost(price, Use())
        if least > cap:
            raise SpendingRefused(
                "over_max_per_request",
                f"A request costs {show_amount(least, asset)} at least, more than max_per_request.",
                "Raise max_per_request, or ask another model.",
            )
        most = most_cost(price, body, asked)
        maximum = 0 if free else min(cap, cap if most is None else most)
        rank = cost(price, Use(len(body), _tokens_out(asked) or 1_000))
        return _Candidate(one, price, asset, maximum, rank)

    async def _sign(self, best: _Candidate, path: str, body: bytes, now: int) -> SignedPayment:
        per_day, salt = parse_amount(self.limits.max_per_day, best.asset.decimals), secrets.token_bytes(SALT)
        spend = Spend(
            payer=self._wallet.key.address,
            payee=payee_of(best.chosen),
            enclave=unhex(best.chosen.settlement),
            request=request_name(salt, path, body),
            maximum=best.maximum,
            nonce=secrets.token_bytes(32),
            expires=now + SPEND_MS,
        )
        name = self._vault.digest(spend)
        spent = Spent(now, hex0x(spend.payee), best.price.label, best.maximum, None, "")
        await self._store.reserve(name, self._asset, spent, per_day=per_day)
        try:
            kept = await self._ceiling(spend.payee, per_day)
        except BaseException:
            await self._store.settle(name, 0)
            raise
        ceiling, session = SpendingCeiling.unpack(kept.ceiling), Key(kept.session)
        header = sign_spending(ceiling, kept.signature, spend, salt, session=session, vault=self._vault)
        self._last = best.chosen.settlement
        self._running[self._last] += 1
        return SignedPayment(header, name, best.maximum, best.chosen, spend.expires)

    async def _ceiling(self, payee: bytes, per_day: int) -> KeptCeiling:
        """A ceiling that what is signed away fits under: the one at hand, or a new one by the wallet."""
        name = self._ceiling_name(payee)
        async with self._signing:
            kept = await self._store.ceiling(name)
            if kept is not None and await self._fits(kept, payee, per_day):
                return kept
            payer = self._wallet.key.address
            if (await self._contract.account(payer)).empty:
                raise SpendingRefused("no_account", "This wallet has nothing in the vault.", "Deposit first.")
            known, now = await self._contract.ceiling(payer, payee), self._clock()
            before = SpendingCeiling.unpack(kept.ceiling).nonce if kept is not None else 0
            nonce, session = max(before, known.nonce) + 1, Key.generate()
            ceiling = SpendingCeiling(
                payer=payer,
                payee=payee,
                session=session.address,
                max_claimable=known.committed + per_day,
                nonce=nonce,
                valid_until=now // 1000 + CEILING_S,
            )
            signature = self._wallet.key.sign(self._vault.digest(ceiling))
            made = KeptCeiling(ceiling.pack(), signature, session.secret, str(per_day), now)
            return await self._store.keep_ceiling(name, nonce, made)

    def _ceiling_name(self, payee: bytes) -> str:
        return f"{self._asset}/{self._chain.vault}/{self._wallet.address}/{hex0x(payee)}"

    async def _fits(self, kept: KeptCeiling, payee: bytes, per_day: int) -> bool:
        """Whether it is of these limits, lasts another day, and has room for all that was signed since."""
        left = SpendingCeiling.unpack(kept.ceiling).valid_until - self._clock() // 1000
        if int(kept.room) != per_day or left < CEILING_S // 2:
            return False
        return await self._store.since(self._asset, kept.at - 1, hex0x(payee)) <= int(kept.room)


def check_record(paid: SignedPayment, record: str | None, receipt: Receipt) -> int:
    """What an answer was charged, by its record and receipt, compared with what was signed for it. Raises as
    `Spending.delivered` does.
    """
    if record is None or receipt.payment == ZERO32:
        if receipt.charged:
            raise VerificationFailed(
                "payment_record_other",
                "The receipt charges without a payment record.",
                EVIDENCE,
            )
        return 0
    payment = read_payment(record, receipt)
    if payment.rail == "free":
        return 0
    if (payment.rail, payment.authorization) != ("vault", hex0x(paid.name)):
        raise VerificationFailed(
            "payment_record_other",
            "The payment record names another payment than the one that was sent.",
            EVIDENCE,
        )
    if int(payment.charged) > min(int(payment.reserved), paid.maximum):
        raise VerificationFailed(
            "charged_over_signed",
            "More was charged than was signed for this request.",
            EVIDENCE,
        )
    return int(payment.charged)


def read_payment(record: str, receipt: Receipt) -> Payment:
    """The payment record that a receipt commits to. Raises VerificationFailed `payment_record_other`,
    InvalidInput `bad_document`.
    """
    data = record.encode()
    if digest_of(Payment, data) != receipt.payment:
        raise VerificationFailed(
            "payment_record_other",
            "The payment record is not the receipt's.",
            EVIDENCE,
        )
    payment = Payment.decode(data)
    if int(payment.charged) != receipt.charged:
        raise VerificationFailed(
            "payment_record_other",
            "Record and receipt charge different amounts.",
            EVIDENCE,
        )
    return payment


def most_cost(price: Price, body: bytes, asked: _Asked) -> int | None:
    """The most that a request can cost: a token stands for a byte of it at least. None: nothing bounds it
    here (no `max_tokens`, or a price of time or images).
    """
    out = _tokens_out(asked)
    unbounded = out is None and price.million_tokens_out
    if unbounded or price.second or (price.image and b'"image' in body):
        return None
    return cost(price, Use(len(body), out or 0))


def _tokens_out(asked: _Asked) -> int | None:
    each = asked.max_completion_tokens or asked.max_tokens
    return each * (asked.n or 1) if each else None


def _is_free(offer: Offer, body: bytes, asked: _Asked) -> bool:
    images = int(b'"image' in body)
    return is_free(offer, Use(len(body), _tokens_out(asked) or UNKNOWN, images), asked.model)


def read_asked(body: bytes) -> _Asked:
    """What of a request says how much it can cost, under its model's label: a pin changes no price."""
    asked = msgspec.json.decode(body, type=_Asked)
    return msgspec.structs.replace(asked, model=read_model_name(asked.model).label)


def _address(text: str) -> bytes:
    try:
        return unhex(text)
    except InvalidInput:
        return b""


is_free_for = _is_free
"""Whether a request (its exact body, and what it asks for) is free by an offer."""
