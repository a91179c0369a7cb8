"""How each scheme's payment is judged, from its bytes alone: a table from scheme to check.

A check compares every field with the requirement that was offered, and the signature with the payer; what it
returns is the only `Authorization` there is. What only the chain can say (balance, allowance, used nonces)
comes after. Amounts are compared as whole numbers, addresses as bytes. No time of payment is read from a
payload's `validAfter`: stock clients sign 0.

The order of `RAILS` is the order in which ways to pay are offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeVar

import msgspec

from hallmark.core.document import unhex
from hallmark.core.eip3009 import RECEIVE, TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.money import MAX_AMOUNT
from hallmark.crypto.secp256k1 import is_signed_by
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.x402 import digests
from hallmark.payments.x402.messages import (
    Digits,
    MixedAddress,
    PaymentPayload,
    Requirements,
    Signature,
    Word,
    decode_part,
)

GRACE_S: Final = 6
"""A payment that ends sooner than this could be settled too late."""

T = TypeVar("T", bound=msgspec.Struct)


class Authorization(msgspec.Struct, frozen=True):
    """A payment whose signatures hold for what was offered. `digest` (32 bytes) is what the payer signed.

    `amount` is the price in `exact` and the most in the others; `expires` is in unix seconds, 0 for a
    voucher, which does not. `kind` says how it is submitted. A voucher has `channel`, and a
    deposit in it where there is one.
    """

    scheme: str
    kind: Literal["transfer", "permit2", "voucher"]
    payer: bytes
    amount: int
    digest: bytes
    expires: int
    signature: bytes
    transfer: Transfer | None = None
    permit: digests.Permit | None = None
    channel: Channel | None = None


class Channel(msgspec.Struct, frozen=True):
    """The channel of a voucher: its configuration and id, and what in all may be claimed from it now."""

    config: digests.Channel
    id: bytes
    max_claimable: int
    deposit: Deposit | None = None


class Deposit(msgspec.Struct, frozen=True):
    """Money that is to go into a channel first, by EIP-3009, and the salt that its nonce was made from."""

    transfer: Transfer
    salt: bytes
    signature: bytes


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


class _Permitted(msgspec.Struct):
    token: MixedAddress
    amount: Digits


class _Witness(msgspec.Struct, rename="camel"):
    to: MixedAddress
    valid_after: Digits
    facilitator: MixedAddress | None = None


class _Permit(msgspec.Struct, rename="camel"):
    from_: MixedAddress = msgspec.field(name="from")
    permitted: _Permitted
    spender: MixedAddress
    nonce: Digits
    deadline: Digits
    witness: _Witness


class _Permit2(msgspec.Struct, rename="camel"):
    permit2_authorization: _Permit = msgspec.field(name="permit2Authorization")
    signature: Signature


class _Channel(msgspec.Struct, rename="camel"):
    payer: MixedAddress
    payer_authorizer: MixedAddress
    receiver: MixedAddress
    receiver_authorizer: MixedAddress
    token: MixedAddress
    withdraw_delay: int
    salt: Word


class _Voucher(msgspec.Struct, rename="camel"):
    channel_id: Word
    max_claimable_amount: Digits
    signature: Signature


class _Receive(msgspec.Struct, rename="camel"):
    valid_after: Digits
    valid_before: Digits
    salt: Word
    signature: Signature


class _DepositBy(msgspec.Struct, rename="camel"):
    erc3009_authorization: _Receive = msgspec.field(name="erc3009Authorization")


class _Deposit(msgspec.Struct, rename="camel"):
    amount: Digits
    authorization: _DepositBy


class _Batch(msgspec.Struct, rename="camel"):
    type: Literal["deposit", "voucher"]
    channel_config: _Channel
    voucher: _Voucher
    deposit: _Deposit | None = None


def authorize(payment: PaymentPayload, offered: Iterable[Requirements], now: int) -> Authorization:
    """Judge a payment against what was offered, at `now` (unix seconds).

    1. It accepts one of the requirements that were offered, whole.
    2. Every field of what was signed says what that requirement says.
    3. It is valid now, and long enough to be settled.
    4. The signature is the payer's.

    Raises PaymentRequired with `payment_not_offered`, `payment_mismatch`, `payment_not_yet_valid`,
    `payment_expired`, `payment_signature`; InvalidInput `bad_payment_header`.
    """
    for requirement in offered:
        if _same(payment.accepted, requirement):
            return RAILS[requirement.scheme](payment, requirement, now)
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
    _require(transfer.to == _address(offered.pay_to), "payee")
    _require(transfer.value == int(offered.amount), "amount")
    _in_time(transfer.valid_after, transfer.valid_before, now)
    digest = authorization_digest(TRANSFER, transfer, _domain(offered))
    signature = _signed(said.signature, digest, transfer.holder)
    return Authorization(
        "exact",
        "transfer",
        transfer.holder,
        transfer.value,
        digest,
        transfer.valid_before,
        signature,
        transfer=transfer,
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
    _require(permit.token == _address(offered.asset), "asset")
    _require(permit.amount == int(offered.amount), "amount")
    _require(permit.spender == proxy, "spender")
    _require(permit.to == _address(offered.pay_to), "payee")
    _require(permit.facilitator == (_address(str(asked)) if asked else b""), "facilitator")
    _in_time(permit.valid_after, permit.deadline, now)
    digest = digests.permit_digest(permit, _chain(offered))
    payer = unhex(one.from_.lower())
    signature = _signed(said.signature, digest, payer)
    return Authorization(
        offered.scheme,
        "permit2",
        payer,
        permit.amount,
        digest,
        permit.deadline,
        signature,
        permit=permit,
    )


def _batch(payment: PaymentPayload, offered: Requirements, now: int) -> Authorization:
    said = decode_part(payment.payload, _Batch)
    one = said.channel_config
    addresses = (one.payer, one.payer_authorizer, one.receiver, one.receiver_authorizer, one.token)
    payer, authorizer, receiver, by, token = (unhex(text.lower()) for text in addresses)
    config = digests.Channel(
        payer, authorizer, receiver, by, token, max(0, one.withdraw_delay), unhex(one.salt.lower())
    )
    _require(receiver == _address(offered.pay_to), "payee")
    _require(by == _address(str(offered.extra.get("receiverAuthorizer", ""))), "authorizer")
    _require(token == _address(offered.asset), "asset")
    _require(config.withdraw_delay == offered.extra.get("withdrawDelay"), "delay")
    name = digests.channel_id(config, _chain(offered))
    _require(name == unhex(said.voucher.channel_id.lower()), "channel")
    most = int(said.voucher.max_claimable_amount)
    _require(int(offered.amount) <= most <= MAX_AMOUNT, "amount")
    digest = digests.voucher_digest(name, most, _chain(offered))
    signer = authorizer if any(authorizer) else payer
    signature = _signed(said.voucher.signature, digest, signer)
    deposit = None
    if said.type == "deposit":
        if said.deposit is None:
            raise InvalidInput("bad_payment_header", "A deposit has no amount and authorization.")
        deposit = _deposit(said.deposit, config, name, offered, now)
    channel = Channel(config, name, most, deposit)
    return Authorization(
        offered.scheme, "voucher", payer, int(offered.amount), digest, 0, signature, channel=channel
    )


def _deposit(
    said: _Deposit, config: digests.Channel, name: bytes, offered: Requirements, now: int
) -> Deposit:
    by = said.authorization.erc3009_authorization
    salt = unhex(by.salt.lower())
    transfer = Transfer(
        config.payer,
        digests.DEPOSIT_COLLECTOR,
        int(said.amount),
        int(by.valid_after),
        int(by.valid_before),
        digests.deposit_nonce(name, salt),
    )
    _require(0 < transfer.value <= MAX_AMOUNT, "amount")
    _in_time(transfer.valid_after, transfer.valid_before, now)
    digest = authorization_digest(RECEIVE, transfer, _domain(offered))
    return Deposit(transfer, salt, _signed(by.signature, digest, config.payer))


RAILS: Final[dict[str, Callable[[PaymentPayload, Requirements, int], Authorization]]] = {
    "batch-settlement": _batch,
    "upto": _upto,
    "exact": _exact,
}


def _require(holds: bool, field: str) -> None:
    if not holds:
        raise PaymentRequired(
            "payment_mismatch",
            f"The payment's {field} is not the one that was offered.",
            "Sign for exactly what `accepts` says.",
        )


def _in_time(after: int, before: int, now: int) -> None:
    if after > now:
        raise PaymentRequired("payment_not_yet_valid", "The payment is not valid yet.", "Check the clock.")
    if before < now + GRACE_S:
        raise PaymentRequired(
            "payment_expired", "The payment has expired, or ends too soon to be settled.", "Sign a new one."
        )


def _signed(text: str, digest: bytes, by: bytes) -> bytes:
    """The signature, if it is `by`'s. One by a contract wallet (ERC-1271) needs the chain, and is refused."""
    signature = unhex(text.lower())
    if is_signed_by(digest, signature, by):
        return signature
    raise PaymentRequired(
        "payment_signature",
        "The payment is not signed by its payer.",
        "Sign with the key of the paying address; wallets that are contracts are not taken here.",
    )


def _address(text: str) -> bytes:
    return unhex(text.lower()) if text else b""


def _chain(offered: Requirements) -> int:
    return int(offered.network.removeprefix("eip155:"))


def _domain(offered: Requirements) -> TokenDomain:
    name, version = (str(offered.extra.get(key, "")) for key in ("name", "version"))
    return TokenDomain(name, version, _chain(offered), _address(offered.asset))


def name_of(authorization: Authorization) -> bytes:
    """The 32 bytes under which an authorization is used once, however it is spelled."""
    return keccak256(b"hallmark/x402/v1\0" + authorization.payer + authorization.digest)
