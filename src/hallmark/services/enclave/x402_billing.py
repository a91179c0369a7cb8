"""Paying by x402: the ways that a 402 offers, and the meters of payments that stock clients send.

    exact               the most that the request can cost, whatever it comes to; one transaction
    upto                what it came to, at most what was signed for; one transaction
    batch-settlement    a channel's voucher; what it came to, claimed with others later

Each authorization is an account that serves one request, each channel one that serves one request at a time.
A whole answer leaves once its payment is in a block, or a minute later, when nobody can say any more that it
will not be: who is charged gets the answer. A stream is never held back: its payment is settled when it has
ended, and the last event says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.money import Offer
from hallmark.core.prices import Use
from hallmark.core.x402_payment import Authorization, name_of, payment_bytes
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.x402.actions import Claims, claims_payload
from hallmark.payments.x402.challenge import TIMEOUT_S, Settling, challenge, requirements
from hallmark.payments.x402.channels import Channels, Corrective, OnChain
from hallmark.payments.x402.messages import (
    RESPONSE_HEADER,
    Requirements,
    SettleResponse,
    decode_payment,
    encode_header,
    network_of,
)
from hallmark.payments.x402.offer_receipt import signed_offers, signed_receipt
from hallmark.payments.x402.rails import authorize
from hallmark.services.enclave import control
from hallmark.services.enclave.account_journal import AccountJournal, one_shot
from hallmark.services.enclave.host_requests import SILENT, HostRequests, Send
from hallmark.services.enclave.metering import AccountMeter, Bill, Paid, Reservation
from hallmark.services.enclave.offers import OfferInForce

HOST_TIMEOUT_S: Final = 60.0
MOST_CLAIMS: Final = 100
FRESH_MS: Final = 60_000
"""For how long what the chain said of a channel is believed: far less than its payer must wait for money."""
REMEMBERED: Final = 256
"""402s whose signed offers are used again within their minute."""
CHANNEL: Final = 1 << 62
"""Numbers of accounts that are channels begin here."""


class X402Billing:
    """See the module docstring."""

    def __init__(
        self, key: Key, journal: AccountJournal, send: Send, clock: Callable[[], int], network: str
    ) -> None:
        """`key` is the settlement key, which authorizes claims; `network` is ours, 0x-hex."""
        self._key, self._journal, self._send, self._clock = key, journal, send, clock
        self._network = network
        self._channels = Channels(journal.accounts)
        self._seen: dict[bytes, int] = {}
        self._wanted: HostRequests[int, control.PaymentState] = HostRequests(
            send, _unavailable, HOST_TIMEOUT_S
        )
        self._due: HostRequests[bytes, control.PaymentSettled] = HostRequests(
            send, _not_settled, HOST_TIMEOUT_S
        )
        self._settling: Settling | None = None
        self._signed_offers: dict[tuple[object, ...], dict[str, object]] = {}

    def begin(self) -> None:
        """Tell the host again what ended before this start: it may not know of it. What has expired can be
        settled no more.
        """
        accounts, now = self._journal.accounts, self._clock()
        for ended in accounts.unsettled:
            use = accounts.use_of(ended.request)
            if use is not None and use.expires > now:
                self._send(control.PaymentDue(ended.request, control.Units(ended.charged)))

    def terms(self, terms: control.Terms) -> None:
        """By whom payments are settled from now on."""
        settling = Settling(self._key.address, terms.sender, terms.withdraw_delay, terms.permit2)
        self._settling = settling if len(terms.sender) == 20 else None

    def offered(self, offer: Offer, most: int) -> tuple[Requirements, ...]:
        """Every way to pay `most` here; none where the host settles nothing, or nothing is asked."""
        if self._settling is None or offer.asset is None or most < 1:
            return ()
        return requirements(offer, most, self._settling)

    def challenge(self, offered: tuple[Requirements, ...], url: str, error: HallmarkError) -> str:
        """The PAYMENT-REQUIRED header of a 402."""
        told = error.told if isinstance(error, Corrective) else {}
        if told:
            offered = tuple(
                msgspec.structs.replace(one, extra={**one.extra, **told})
                if one.scheme == "batch-settlement"
                else one
                for one in offered
            )
        reason = error.error if isinstance(error, Corrective) else error.reason
        return encode_header(challenge(offered, url, reason, self._offers(offered, url)))

    def _offers(self, offered: tuple[Requirements, ...], url: str) -> dict[str, object]:
        """`offer-receipt`'s part of a 402. Prices repeat, so what was signed lately is not signed again."""
        until = (self._clock() // 60_000 + 1) * 60 + TIMEOUT_S
        key = (url, until, *((one.scheme, one.amount, one.pay_to, one.asset) for one in offered))
        known = self._signed_offers.get(key)
        if known is None:
            known = signed_offers(offered, url, until, self._key)
            self._signed_offers[key] = known
            if len(self._signed_offers) > REMEMBERED:
                del self._signed_offers[next(iter(self._signed_offers))]
        return known

    def receipt(self, paid: Paid, transaction: bytes, url: str) -> dict[str, object]:
        """`offer-receipt`'s part of a PAYMENT-RESPONSE."""
        asset = paid.offer.offer.asset
        assert asset is not None, "an offer with prices names its asset"
        return signed_receipt(
            network=network_of(asset.chain_id),
            url=url,
            payer=paid.payer,
            at=self._clock() // 1000,
            transaction=transaction,
            key=self._key,
        )

    async def open(
        self, paid: Paid, header: bytes, offered: tuple[Requirements, ...], request: bytes, url: str
    ) -> AccountMeter:
        """The meter of a request to `url` that this PAYMENT-SIGNATURE header pays for; `paid` says offer,
        price and most.

        Raises what `decode_payment` and `authorize` raise; AlreadyUsed `payment_reused`; PaymentRequired
        `insufficient_balance` and those of `Channels.begin`; Conflict `channel_busy`; Unavailable
        `payment_unavailable`.
        """
        payment = authorize(decode_payment(header), offered, self._clock() // 1000)
        if payment.channel is not None:
            return await self._voucher(paid, payment, request, url)
        return await self._one_shot(paid, payment, url)

    def claims(self, asked: control.ClaimsWanted, offer: OfferInForce | None) -> control.ClaimsSigned:
        """Claims of what channels were charged beyond what the chain has, in the asset of `offer`."""
        asset = offer.offer.asset if offer is not None else None
        claims = self._channels.claims(MOST_CLAIMS, without=asked.lost)
        if asset is None or not claims:
            return control.ClaimsSigned(asked.id, b"")
        rows = [
            digests.Claim(
                digests.channel_id(one.config, asset.chain_id), one.max_claimable, one.total_claimed
            )
            for one in claims
        ]
        signature = self._key.sign(digests.claims_digest(rows, asset.chain_id))
        return control.ClaimsSigned(asked.id, claims_payload(Claims(claims, signature)))

    def on_message(
        self, message: control.PaymentState | control.PaymentSettled | control.ChannelsClaimed
    ) -> None:
        """The host's word."""
        if isinstance(message, control.PaymentState):
            self._wanted.answered(message.id, message)
        elif isinstance(message, control.PaymentSettled):
            self._due.answered(message.name, message)
        else:
            for channel, amount in message.claimed.items():
                self._channels.claimed(channel, int(amount))

    async def _one_shot(self, paid: Paid, payment: Authorization, url: str) -> AccountMeter:
        name, accounts = name_of(payment, b""), self._journal.accounts
        if accounts.use_of(name) is None:
            refused = _against(await self._ask(name, payment), payment.amount)
            if refused is not None:
                if accounts.use_of(name) is None:
                    self.due(name, 0)
                raise refused
        number = one_shot(name)
        if accounts.use_of(name) is None:
            self._journal.write(accounts.grant(number, payment.payer, payment.amount))
        reserved = accounts.reserve(number, name, name, most=payment.amount, expires=1000 * payment.expires)
        at = self._journal.write(reserved)
        opened = self._paid(paid, payment, name)
        return X402Meter(self, self._journal, opened, Reservation(name, self._network, at), url)

    async def _voucher(self, paid: Paid, payment: Authorization, request: bytes, url: str) -> AccountMeter:
        voucher = payment.channel
        assert voucher is not None
        now = self._clock()
        number = CHANNEL + int.from_bytes(voucher.id[:7], "big")
        if voucher.deposit is not None or now - self._seen.get(voucher.id, 0) > FRESH_MS:
            state = await self._ask(request, payment)
            chain = OnChain(int(state.balance), int(state.claimed), state.withdraw_at, state.refund_nonce)
            event = self._channels.observe(number, voucher.id, voucher.config, chain)
            if event is not None:
                self._journal.write(event)
            self._seen[voucher.id] = now
        *before, last = self._channels.begin(payment, request, now // 1000)
        for event in before:
            self._journal.write(event)
        at = self._journal.write(last)
        opened = self._paid(paid, payment, name_of(payment, request))
        return VoucherMeter(self, self._journal, opened, Reservation(request, self._network, at), url)

    def _paid(self, paid: Paid, payment: Authorization, digest: bytes) -> Paid:
        kept = payment
        if payment.channel is not None:  # a deposit is on the chain, and says nothing of this request
            kept = msgspec.structs.replace(
                payment, channel=msgspec.structs.replace(payment.channel, deposit=None)
            )
        return msgspec.structs.replace(
            paid,
            rail=payment.scheme,
            payer=payment.payer,
            account=0,
            authorization=payment_bytes(kept),
            digest=digest,
            most=payment.amount,
        )

    async def _ask(self, name: bytes, payment: Authorization) -> control.PaymentState:
        number = self._wanted.number()
        return await self._wanted.ask(number, control.PaymentWanted(number, name, payment_bytes(payment)))

    async def settle(self, name: bytes, amount: int) -> bytes:
        """Have a payment settled; its transaction, empty where no block has it in time: it stays due then,
        and may be settled any time. Raises PaymentRequired `payment_not_settled`: it never will be.
        """
        try:
            return (await self._due.ask(name, control.PaymentDue(name, control.Units(amount)))).transaction
        except Unavailable:
            return b""

    def due(self, name: bytes, amount: int) -> None:
        """Have a payment settled, and wait for nothing."""
        self._send(control.PaymentDue(name, control.Units(amount)))

    def told(self, channel: bytes) -> dict[str, object]:
        """What a channel's client needs to go on."""
        return self._channels.told(channel)


class _RailMeter(AccountMeter):
    """What the meters of x402 payments share: the rail, and the resource that was paid for."""

    def __init__(
        self,
        rail: X402Billing,
        journal: AccountJournal,
        paid: Paid,
        reservation: Reservation,
        url: str,
    ) -> None:
        super().__init__(journal, paid, reservation)
        self._rail, self._url = rail, url


class X402Meter(_RailMeter):
    """The meter of an `exact` or `upto` payment."""

    _transaction: bytes | None = None

    async def collect(self, use: Use) -> None:
        """See `Meter`: the payment is in a block before a whole answer leaves."""
        total = self._due(use)
        if not total:
            return
        self._draw(use, total)
        try:
            self._transaction = await self._rail.settle(self._name, total) or None
        except HallmarkError as error:
            said = SettleResponse(
                False,
                network_of(self._asset.chain_id),
                "",
                hex0x(self._paid.payer),
                error_reason=error.reason,
            )
            error.__dict__["headers"] = ((RESPONSE_HEADER.encode(), encode_header(said).encode()),)
            raise

    def close(self, request: bytes, use: Use | None = None) -> Bill:
        """See `Meter`."""
        bill = super().close(request, use)
        if self._transaction is None and bill.charged:
            self._rail.due(self._name, bill.charged)
        elif not bill.charged:
            self._rail.due(self._name, 0)
        said = SettleResponse(
            True,
            network_of(self._asset.chain_id),
            hex0x(self._transaction) if self._transaction else "",
            hex0x(self._paid.payer),
            str(bill.charged),
            extra={} if self._transaction else {"status": "pending"},
            extensions=self._rail.receipt(self._paid, self._transaction or b"", self._url),
        )
        return msgspec.structs.replace(bill, response=encode_header(said))

    def cancel(self) -> None:
        """See `Meter`."""
        if not self._over:
            self._rail.due(self._name, 0)
        super().cancel()

    def give_up(self) -> int:
        """See `Meter`: what was collected has moved, or may."""
        over = self._over
        charged = super().give_up()
        if not over and self._transaction is None:
            self._rail.due(self._name, charged)
        return charged

    def _due(self, use: Use) -> int:
        return self._paid.most if self._paid.rail == "exact" else super()._due(use)


class VoucherMeter(_RailMeter):
    """The meter of a channel's voucher."""

    def close(self, request: bytes, use: Use | None = None) -> Bill:
        """See `Meter`."""
        bill = super().close(request, use)
        channel = msgspec.json.decode(self._paid.authorization, type=_Voucher).channel.id
        said = SettleResponse(
            True,
            network_of(self._asset.chain_id),
            "",
            hex0x(self._paid.payer),
            extra={"chargedAmount": str(bill.charged), **self._rail.told(channel)},
            extensions=self._rail.receipt(self._paid, b"", self._url),
        )
        return msgspec.structs.replace(bill, response=encode_header(said))


class _Named(msgspec.Struct):
    id: bytes


class _Voucher(msgspec.Struct):
    channel: _Named


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "payment_unavailable", f"This payment cannot be looked up on the chain now ({why}).", "Try again."
    )


def _against(state: control.PaymentState, amount: int) -> PaymentRequired | None:
    """What the chain says against a payment of so much."""
    if state.used:
        return PaymentRequired("payment_used", "The chain knows this payment already.", "Sign a new one.")
    if state.available < amount:
        return PaymentRequired(
            "insufficient_balance",
            f"The payment is for {amount} atomic units, and its payer has {state.available} for it.",
            "Top the account up, or let Permit2 take more.",
        )
    return None


def _not_settled(why: str) -> HallmarkError:
    if why == SILENT:
        return _unavailable(why)
    return PaymentRequired(
        "payment_not_settled",
        f"The payment was not settled ({why}), so nothing is delivered and nothing is charged.",
        "Check balance and allowance, and sign a new payment.",
    )
