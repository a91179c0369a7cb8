"""The messages of x402 and the headers that carry them: plain base64 (RFC 4648 section 4) of JSON.

    PAYMENT-REQUIRED     402, from us      PaymentRequired
    PAYMENT-SIGNATURE    from the client   PaymentPayload
    PAYMENT-RESPONSE     from us           SettleResponse

Optional members are left out where they have nothing to say: stock clients refuse `null`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, TypeVar

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.members import check_members

VERSION: Final = 2
REQUIRED_HEADER: Final = "payment-required"
SIGNATURE_HEADER: Final = "payment-signature"
RESPONSE_HEADER: Final = "payment-response"
MAX_HEADER: Final = 8192
"""Bytes of a payment header that are read. The largest that a stock client sends has about 6,000, half
of which are our own extensions, which it repeats."""

Digits = Annotated[str, msgspec.Meta(pattern=r"^(0|[1-9][0-9]{0,77})$(?!\n)")]
"""A uint256 as decimal text."""
MixedAddress = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}$(?!\n)")]
"""An address in any case: stock clients write checksums (EIP-55), which say nothing more."""
Word = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{64}$(?!\n)")]
Signature = Annotated[str, msgspec.Meta(pattern=r"^0x([0-9a-fA-F]{2})*$(?!\n)")]
CAIP2: Final = "eip155:"

T = TypeVar("T", bound=msgspec.Struct)


class Message(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of what is sent: members that it does not know are allowed, as the specification wants."""


class Resource(Message, frozen=True):
    """What is paid for."""

    url: str
    description: str = ""
    mime_type: str = ""


class Requirements(msgspec.Struct, frozen=True, rename="camel"):
    """One way to pay. `amount` is in atomic units: the price (exact) or the most (upto, batch-settlement)."""

    scheme: str
    network: str
    amount: Digits
    asset: MixedAddress
    pay_to: MixedAddress
    max_timeout_seconds: int
    extra: dict[str, object] = {}


class PaymentRequired(Message, frozen=True):
    """Why 402, and every way to pay, the preferred one first."""

    accepts: tuple[Requirements, ...]
    error: str = ""
    resource: Resource | None = None
    extensions: dict[str, object] = {}


class PaymentPayload(msgspec.Struct, frozen=True, rename="camel"):
    """What a client sends: the requirements that it chose, and what it signed for them."""

    x402_version: int = msgspec.field(name="x402Version")
    accepted: Requirements
    payload: msgspec.Raw
    resource: msgspec.Raw = msgspec.Raw(b"{}")
    extensions: dict[str, msgspec.Raw] = {}


class Permitted(msgspec.Struct):
    """What a signature for Permit2 lets move: so much of this token."""

    token: MixedAddress
    amount: Digits


class SettleResponse(Message, frozen=True):
    """What became of a payment. `transaction` is empty where none was needed, or none went through."""

    success: bool
    network: str
    transaction: str
    payer: str = ""
    amount: str = ""
    error_reason: str = ""
    extra: dict[str, object] = {}
    extensions: dict[str, object] = {}


class _Version(msgspec.Struct):
    x402_version: Annotated[int, msgspec.Meta(ge=0, le=1000)] = msgspec.field(name="x402Version")


def network_of(chain_id: int) -> str:
    """The CAIP-2 name of an EVM chain, e.g. `eip155:8453`."""
    return f"{CAIP2}{chain_id}"


def encode_header(message: PaymentRequired | SettleResponse) -> str:
    """The header's value."""
    body = msgspec.to_builtins(message)
    if isinstance(message, PaymentRequired):
        body = {"x402Version": VERSION, **body}
    return base64.b64encode(msgspec.json.encode(body)).decode()


def decode_payment(value: bytes) -> PaymentPayload:
    """Read a PAYMENT-SIGNATURE header.

    Raises InvalidInput `payment_header_too_large`, `bad_payment_header` (no base64, JSON or members),
    `x402_version` (another version of the protocol).
    """
    if len(value) > MAX_HEADER:
        raise InvalidInput(
            "payment_header_too_large",
            f"A payment header has at most {MAX_HEADER} bytes, not {len(value)}.",
            "Leave out what nobody asked for: long extensions, a copy of the resource.",
        )
    try:
        data = base64.b64decode(value, validate=True)
        check_members(data)
        version = msgspec.json.decode(data, type=_Version).x402_version
    except (binascii.Error, ValueError, InvalidInput) as error:
        raise _unreadable() from error
    if version != VERSION:
        raise InvalidInput(
            "x402_version",
            f"This is x402 version {version}, and only version {VERSION} is taken.",
            "Use a client of version 2; networks are named eip155:<chain id> there.",
        )
    return decode_part(data, PaymentPayload)


def decode_part(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Read one part of a payment. Raises InvalidInput `bad_payment_header`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "bad_payment_header",
        "The payment header cannot be read.",
        "PAYMENT-SIGNATURE is base64 of an x402 version 2 PaymentPayload.",
    )
