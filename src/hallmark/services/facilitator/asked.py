"""What /verify and /settle are asked: one payment, and what was required of it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.members import check_members
from hallmark.payments.x402.messages import VERSION, PaymentPayload, Requirements, decode_part, network_of
from hallmark.payments.x402.rails import RAILS
from hallmark.services.facilitator.reasons import NETWORK, PAYLOAD, REQUIREMENTS, SCHEME, Refusal
from hallmark.services.facilitator.reasons import VERSION as OTHER_VERSION

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
EXTENSION: Final = "payment-identifier"


class _Body(msgspec.Struct, rename="camel"):
    payment_payload: msgspec.Raw
    payment_requirements: msgspec.Raw
    x402_version: int | None = msgspec.field(name="x402Version", default=None)


class _Versioned(msgspec.Struct):
    x402_version: int = msgspec.field(name="x402Version", default=0)


class _Identified(msgspec.Struct, frozen=True):
    id: str = ""
    required: bool = False


class _Extension(msgspec.Struct):
    info: _Identified = _Identified()


class Asked(msgspec.Struct, frozen=True):
    """One request. `identifier` is the payer's own name for it, empty for none; `fingerprint` (32 bytes) is
    of all that the payer signed and accepted.
    """

    payment: PaymentPayload
    requirements: Requirements
    identifier: str
    fingerprint: bytes


def read(body: bytes, chain_id: int) -> Asked:
    """Read a request for this chain. Raises Refusal: another version, network or scheme, no JSON of this
    form, an identifier that is none.
    """
    try:
        check_members(body)
        said = msgspec.json.decode(body, type=_Body)
        _require_version(said)
        payment = decode_part(said.payment_payload, PaymentPayload)
    except (ValueError, RecursionError, HallmarkError) as error:
        raise Refusal(PAYLOAD, "This is no payment of x402 version 2.") from error
    try:
        requirements = decode_part(said.payment_requirements, Requirements)
    except InvalidInput as error:
        raise Refusal(REQUIREMENTS, "These are no payment requirements of x402 version 2.") from error
    if {requirements.network, payment.accepted.network} != {network_of(chain_id)}:
        raise Refusal(NETWORK, f"This facilitator settles on {network_of(chain_id)} alone.")
    if requirements.scheme not in RAILS or payment.accepted.scheme != requirements.scheme:
        raise Refusal(SCHEME, f"One of {', '.join(RAILS)} is taken, the same in both.")
    accepted = msgspec.json.encode(payment.accepted, order="sorted")
    fingerprint = sha256(accepted + bytes(payment.payload))
    return Asked(payment, requirements, _identifier(payment), fingerprint)


def network_in(body: bytes) -> str:
    """The network that a request names, as far as it can be read; for an answer that has to name one."""
    try:
        return decode_part(msgspec.json.decode(body, type=_Body).payment_requirements, Requirements).network
    except (ValueError, RecursionError, HallmarkError):
        return ""


def _require_version(said: _Body) -> None:
    """Version 1 names its networks otherwise and lacks members that are needed here: refused by name."""
    inner = decode_part(said.payment_payload, _Versioned).x402_version
    if (said.x402_version if said.x402_version is not None else inner, inner) != (VERSION, VERSION):
        raise Refusal(OTHER_VERSION, f"Version {VERSION} of x402 is taken, with networks like eip155:8453.")


def _identifier(payment: PaymentPayload) -> str:
    extension = payment.extensions.get(EXTENSION)
    if extension is None:
        return ""
    try:
        info = decode_part(extension, _Extension).info
    except InvalidInput as error:
        raise Refusal(PAYLOAD, "The payment-identifier extension cannot be read.") from error
    if info.required and not info.id:
        raise Refusal(PAYLOAD, "The server requires a payment identifier.")
    if info.id and not IDENTIFIER.fullmatch(info.id):
        raise Refusal(PAYLOAD, "A payment identifier has 16 to 128 letters, digits, - and _.")
    return info.id
