"""What a judged payment is: signatures that hold for what was offered. `rails.authorize` alone makes one."""

from __future__ import annotations

from typing import Literal

import msgspec

from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import InvalidInput
from hallmark.payments.x402 import digests


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


def payment_bytes(payment: Authorization) -> bytes:
    """A judged payment as bytes that `read_payment` reads: JSON, byte strings as base64."""
    return msgspec.json.encode(payment)


def read_payment(data: bytes) -> Authorization:
    """What `payment_bytes` wrote. Its signatures are as good as whoever wrote it.

    Raises InvalidInput `bad_payment`.
    """
    try:
        return msgspec.json.decode(data, type=Authorization)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("bad_payment", "These bytes are no x402 payment.") from error
