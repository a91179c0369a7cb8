"""How each scheme's payment is judged, from its bytes alone: a table from scheme to check.

A check compares every field with the requirement that was offered, and the signature with the payer; what it
returns is the only `Authorization` there is. What only the chain can say (balance, allowance, used nonces)
comes after. Amounts are compared as whole numbers, addresses as bytes. No time of payment is read from a
payload's `validAfter`: stock clients sign 0.

The order of `RAILS` is the order in which ways to pay are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import unhex
from hallmark.core.eip3009 import TRANSFER, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import InvalidInput
from hallmark.core.x402_payment import Authorization, Channel, Deposit
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.x402.checks import GRACE_S, address, chain, domain, in_time, require, signed
from hallmark.payments.x402.messages import (
    Digits,
    MixedAddress,
    PaymentPayload,
    Permitted,
    Requirements,
    Signature,
    Word,
    decode_part,
)
from hallmark.payments.x402.vouchers import batch

__all__ = ["GRACE_S", "RAILS", "Authorization", "Channel", "Deposit", "authorize"]


class _Transfer(msgspec.Struct, rename="camel"):
    from_: MixedAddress = msgspec.field(name="from")
    to: MixedAddress
    value: Digits
    valid_after: Digits
    valid_before: Digits
    nonce: Word


class _Exact(msgspec.Struct, rename="camel"):
    authorization: _Transfer
    signature: Signature


class _Witness(msgspec.Struct, rename="camel"):
    to: MixedAddress
    valid_after: Digits
    facilitator: MixedAddress | None = None


class _Permit(msgspec.Struct, rename="camel"):
    from_: MixedAddress = msgspec.field(name="from")
    permitted: Permitted
    spender: MixedAddress
    nonce: Digits
    deadline: Digits
    witness: _Witness


class _Permit2(msgspec.Struct, rename="camel"):
    permit2_authorization: _Permit = msgspec.field(name="permit2Authorization")
    signature: Signature


def authorize(
    payment: PaymentPayload, offered: Iterable[Requirements], now: int, *, refunds: bool = False
) -> Authorization:
    """Judge a payment against what was offered, at `now` (unix seconds). Who asks for a channel's money back
    pays for nothing: that is taken where `refunds` says so.

    1. It accepts one of the requirements that were offered, whole.
    2. Every field of what was signed says what that requirement says.
    3. It is valid now, and long enough to be settled.
    4. The signature is the payer's.

    Raises PaymentRequired with `payment_not_offered`, `payment_mismatch`, `payment_not_yet_valid`,
    `payment_expired`, `payment_signature`; InvalidInput `bad_payment_header`.
    """
    for requirement in offered:
        if _same(payment.accepted, requirement):
            found = RAILS[requirement.scheme](payment, requirement, now)
            if found.refund and not refunds:
                raise InvalidInput(
                    "bad_payment_header",
                    "A refund pays for no request.",
                    "Ask for a channel's money back by its withdrawal, and pay with a voucher.",
                )
            return found
    raise PaymentRequired(
        "payment_not_offered",
        "The payment accepts terms that are not offered for this request.",
        "Take one of `accepts` as it is; chain, asset, payee and amount must be the offered ones.",
    )


def _same(accepted: Requirements, offered: Requirements) -> bool:
    """Whether a client accepted this requirement: what money depends on, not what it added to `extra`."""
    plain = ("scheme", "network", "amount")
    return (
        all(getattr(accepted, name) == getattr(offered, name) for name in plain)
        and accepted.asset.lower() == offered.asset.lower()
        and accepted.pay_to.lower() == offered.pay_to.lower()
        and accepted.extra.get("assetTransferMethod") == offered.extra.get("assetTransferMethod")
    )


def _exact(payment: PaymentPayload, offered: Requirements, now: int) -> Authorization:
    if offered.extra.get("assetTransferMethod") == "permit2":
        return _by_permit(payment, offered, now, digests.EXACT_PROXY)
    said = decode_part(payment.payload, _Exact)
    one = said.authorization
    transfer = Transfer(
        unhex(one.from_.lower()),
        unhex(one.to.lower()),
        int(one.value),
        int(one.valid_after),
        int(one.valid_before),
        unhex(one.nonce.lower()),
    )
    require(transfer.to == address(offered.pay_to), "payee")
    require(transfer.value == int(offered.amount), "amount")
    in_time(transfer.valid_after, transfer.valid_before, now)
    digest = authorization_digest(TRANSFER, transfer, domain(offered))
    signature = signed(said.signature, digest, transfer.holder)
    return Authorization(
        "exact",
        "transfer",
        transfer.holder,
        transfer.value,
        digest,
        transfer.valid_before,
        signature,
        transfer=transfer,
        token=address(offered.asset),
    )


def _upto(payment: PaymentPayload, offered: Requirements, now: int) -> Authorization:
    return _by_permit(payment, offered, now, digests.UPTO_PROXY)


def _by_permit(payment: PaymentPayload, offered: Requirements, now: int, proxy: bytes) -> Authorization:
    said = decode_part(payment.payload, _Permit2)
    one = said.permit2_authorization
    facilitator = unhex(one.witness.facilitator.lower()) if one.witness.facilitator else b""
    permit = digests.Permit(
        unhex(one.permitted.token.lower()),
        int(one.permitted.amount),
        unhex(one.spender.lower()),
        int(one.nonce),
        int(one.deadline),
        unhex(one.witness.to.lower()),
        int(one.witness.valid_after),
        facilitator,
    )
    asked = offered.extra.get("facilitatorAddress") if offered.scheme == "upto" else None
    require(permit.token == address(offered.asset), "asset")
    require(permit.amount == int(offered.amount), "amount")
    require(permit.spender == proxy, "spender")
    require(permit.to == address(offered.pay_to), "payee")
    require(permit.facilitator == (address(str(asked)) if asked else b""), "facilitator")
    in_time(permit.valid_after, permit.deadline, now)
    digest = digests.permit_digest(permit, chain(offered))
    payer = unhex(one.from_.lower())
    signature = signed(said.signature, digest, payer)
    return Authorization(
        offered.scheme,
        "permit2",
        payer,
        permit.amount,
        digest,
        permit.deadline,
        signature,
        permit=permit,
        token=permit.token,
    )


RAILS: Final[dict[str, Callable[[PaymentPayload, Requirements, int], Authorization]]] = {
    "batch-settlement": batch,
    "upto": _upto,
    "exact": _exact,
}
