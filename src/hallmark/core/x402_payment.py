"""An x402 payment of whichever scheme: what was signed, and by whom.

`payments.x402.rails.authorize` makes them of what clients send, and a receipt that was paid for by one
carries it (`payment_bytes`) beside its payment record.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import unhex
from hallmark.core.eip3009 import TRANSFER, TokenDomain, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256, sha256
from hallmark.core.money import Asset

NAME_TAG: Final = b"hallmark/x402/v1\0"
PERMITS: Final = (
    ("exact", "permit2", digests.EXACT_PROXY, False),
    ("upto", "permit2", digests.UPTO_PROXY, True),
)
"""Scheme, kind, who may move the money, and whether one facilitator alone may have it moved."""


class Authorization(msgspec.Struct, frozen=True):
    """A payment whose signatures hold for what was offered. `digest` (32 bytes) is what the payer signed.

    `amount` is the price in `exact` and the most in the others; `expires` is in unix seconds, 0 for a
    voucher, which does not. `kind` says how it is submitted. A voucher has `channel`, and a
    deposit in it where there is one; one that asks for money back has `refund`, and no amount. `token` is the
    asset's address.
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
    refund: bool = False
    token: bytes = b""


class Channel(msgspec.Struct, frozen=True):
    """The channel of a voucher: its configuration and id, and what in all may be claimed from it now."""

    config: digests.Channel
    id: bytes
    max_claimable: int
    deposit: Deposit | None = None


class Deposit(msgspec.Struct, frozen=True):
    """Money that is to go into a channel first: by EIP-3009, with the salt that its nonce was made from, or
    by Permit2. `digest` (32 bytes) is what the payer signed.
    """

    amount: int
    signature: bytes
    digest: bytes
    transfer: Transfer | None = None
    salt: bytes = b""
    permit: digests.DepositPermit | None = None


class Signed(msgspec.Struct, frozen=True):
    """What was signed, worked out from a payment's fields: the digest (32 bytes), whose signature it needs,
    who pays whom, at most how much, until when (unix s, 0: for ever), and who alone may claim it (empty:
    anybody).
    """

    digest: bytes
    signer: bytes
    payer: bytes
    payee: bytes
    most: int
    expires: int = 0
    enclave: bytes = b""


def payment_bytes(payment: Authorization) -> bytes:
    """A judged payment as bytes that `read_payment` reads: JSON, byte strings as base64."""
    return msgspec.json.encode(payment)


def read_payment(data: bytes) -> Authorization:
    """What `payment_bytes` wrote, byte for byte. Its signatures are as good as whoever wrote it.

    Raises InvalidInput `bad_payment`.
    """
    try:
        payment = msgspec.json.decode(data, type=Authorization)
        if payment_bytes(payment) == data:
            return payment
    except (ValueError, RecursionError) as error:
        raise _unreadable() from error
    raise _unreadable()


def name_of(payment: Authorization, request: bytes) -> bytes:
    """The 32 bytes under which a payment is used once, however it is spelled. A voucher may be signed again
    as it was, when nothing was charged for it: then it is for another `request` (the receipt's digest of it).
    """
    if payment.kind == "voucher":
        return sha256(payment.digest, request)
    return keccak256(NAME_TAG + payment.payer + payment.digest)


def signed_by(payment: Authorization, asset: Asset) -> Signed:
    """What a payment in `asset` signs for, whatever it says of itself.

    Raises InvalidInput `bad_payment` when its parts do not belong together, `field_out_of_range`.
    """
    chain, token = asset.chain_id, unhex(asset.address)
    transfer, permit, channel = payment.transfer, payment.permit, payment.channel
    if [part is not None for part in (transfer, permit, channel)].count(True) != 1:
        raise _unreadable()
    kinds = (payment.scheme, payment.kind)
    if kinds == ("exact", "transfer") and transfer is not None:
        domain = TokenDomain(asset.name, asset.version, chain, token)
        digest, holder = authorization_digest(TRANSFER, transfer, domain), transfer.holder
        return Signed(digest, holder, holder, transfer.to, transfer.value, transfer.valid_before)
    if permit is not None and (*kinds, permit.spender, bool(permit.facilitator)) in PERMITS:
        digest, payer = digests.permit_digest(permit, chain), payment.payer
        if permit.token == token:
            return Signed(digest, payer, payer, permit.to, permit.amount, permit.deadline)
    if kinds == ("batch-settlement", "voucher") and channel is not None:
        config = channel.config
        if config.token == token and channel.id == digests.channel_id(config, chain):
            digest = digests.voucher_digest(channel.id, channel.max_claimable, chain)
            signer = config.payer_authorizer if any(config.payer_authorizer) else config.payer
            most, by = channel.max_claimable, config.receiver_authorizer
            return Signed(digest, signer, config.payer, config.receiver, most, enclave=by)
    raise _unreadable()


def _unreadable() -> InvalidInput:
    return InvalidInput("bad_payment", "These bytes are no x402 payment.")
