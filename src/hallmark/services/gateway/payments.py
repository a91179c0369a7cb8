"""What a gateway reads of a payment: who pays whom, to choose a node. The enclave judges everything else.

Nothing here runs for a request without a payment header.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.spending import SpendingAuthorization
from hallmark.payments.spending import HEADER, MAX_HEADER, SALT
from hallmark.payments.x402.messages import MAX_HEADER as MAX_X402
from hallmark.payments.x402.messages import REQUIRED_HEADER, RESPONSE_HEADER, SIGNATURE_HEADER
from hallmark.routing.payees import Paying

VAULT: Final = HEADER.encode()
X402: Final = SIGNATURE_HEADER.encode()
SENT: Final = frozenset((VAULT, X402))
"""Request headers that carry a payment."""
TOLD: Final = frozenset((REQUIRED_HEADER.encode(), RESPONSE_HEADER.encode(), b"hallmark-charged"))
"""Response headers that say what became of one."""
Pair = tuple[bytes, bytes]


class _Accepted(msgspec.Struct, frozen=True, rename="camel"):
    pay_to: str


class _Holder(msgspec.Struct, frozen=True):
    holder: str = msgspec.field(name="from", default="")
    payer: str = ""
    authorizer: str = msgspec.field(name="receiverAuthorizer", default="")


class _Payload(msgspec.Struct, frozen=True, rename="camel"):
    authorization: _Holder = _Holder()
    permit2_authorization: _Holder = _Holder()
    channel_config: _Holder = _Holder()

    @property
    def payer(self) -> str:
        return (
            self.authorization.holder or self.permit2_authorization.holder or self.channel_config.payer
        ).lower()


class _X402(msgspec.Struct, frozen=True):
    accepted: _Accepted
    payload: _Payload


def read_paying(headers: list[Pair]) -> Paying | None:
    """Who pays whom by these request headers; None without a payment.

    Raises InvalidInput `payment_header_too_large`, `bad_payment_header`, `several_payments`.
    """
    sent = [pair for pair in headers if pair[0] in SENT]
    if not sent:
        return None
    if len(sent) > 1:
        raise InvalidInput(
            "several_payments",
            "A request carries one payment, and this one has several.",
            "Send Hallmark-Payment or PAYMENT-SIGNATURE, once.",
        )
    name, value = sent[0]
    limit = MAX_HEADER if name == VAULT else MAX_X402
    if len(value) > limit:
        raise InvalidInput(
            "payment_header_too_large",
            f"A payment header has at most {limit} bytes, not {len(value)}.",
            "Leave out what nobody asked for: long extensions, a copy of the resource.",
        )
    try:
        data = base64.b64decode(value, validate=True)
        return _vault(data) if name == VAULT else _x402(data)
    except (binascii.Error, ValueError, InvalidInput, RecursionError) as error:
        raise InvalidInput(
            "bad_payment_header",
            "The payment header cannot be read.",
            "Hallmark-Payment is base64 of a signed ceiling and a signed spend; PAYMENT-SIGNATURE of an x402 "
            "version 2 PaymentPayload.",
        ) from error


def lost_with_payment() -> Unavailable:
    """The error when nobody can say what became of a payment."""
    error = Unavailable(
        "answer_lost",
        "The node stopped before its answer was complete; no other node was asked.",
        "Send the same payment again, not a new one: it is charged once, and its node says for what.",
    )
    error.retry = False
    return error


def _vault(data: bytes) -> Paying:
    authorization = SpendingAuthorization.decode(data[:-SALT])
    spend = authorization.spend
    return Paying(hex0x(spend.payer), hex0x(spend.payee), sha256(spend.pack()), hex0x(spend.enclave))


def _x402(data: bytes) -> Paying:
    found = msgspec.json.decode(data, type=_X402)
    # A channel belongs to the enclave whose key signs its claims.
    enclave = found.payload.channel_config.authorizer.lower()
    return Paying(found.payload.payer, found.accepted.pay_to.lower(), sha256(data), enclave)
