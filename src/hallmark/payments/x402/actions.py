"""What a server has a facilitator do with channels, by /settle: claim vouchers, pay out what was claimed,
give money back. Read here, judged by the contract.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT
from hallmark.payments.x402.messages import Digits, MixedAddress, Signature, decode_part
from hallmark.payments.x402.vouchers import ChannelConfig, VoucherFields

MOST_CLAIMS: Final = 200
"""Claims of one transaction. Stock servers send at most 100."""


class Claim(msgspec.Struct, frozen=True):
    """One voucher and what is claimed of it; `total_claimed` is cumulative over the channel's life."""

    config: digests.Channel
    max_claimable: int
    signature: bytes
    total_claimed: int


class Claims(msgspec.Struct, frozen=True):
    """Vouchers of channels that have one authorizer. `signature` is that authorizer's, empty where the
    facilitator is to sign.
    """

    claims: tuple[Claim, ...]
    signature: bytes = b""


class Sweep(msgspec.Struct, frozen=True):
    """Pay a receiver what was claimed for it."""

    receiver: bytes
    token: bytes


class Refund(msgspec.Struct, frozen=True):
    """Give up to `amount` of a channel back to its payer, after these claims."""

    config: digests.Channel
    amount: int
    nonce: int
    claims: Claims
    signature: bytes = b""


Action: TypeAlias = Claims | Sweep | Refund


class _ClaimedVoucher(msgspec.Struct, rename="camel"):
    channel: ChannelConfig
    max_claimable_amount: Digits


class _Claim(msgspec.Struct, rename="camel"):
    voucher: _ClaimedVoucher
    signature: Signature
    total_claimed: Digits


_ClaimList = Annotated[tuple[_Claim, ...], msgspec.Meta(max_length=MOST_CLAIMS)]


class _Claims(msgspec.Struct, tag_field="type", tag="claim", rename="camel"):
    claims: Annotated[_ClaimList, msgspec.Meta(min_length=1)]
    claim_authorizer_signature: Signature = "0x"


class _Sweep(msgspec.Struct, tag_field="type", tag="settle"):
    receiver: MixedAddress
    token: MixedAddress


class _Refund(msgspec.Struct, tag_field="type", tag="refund", rename="camel"):
    channel_config: ChannelConfig
    voucher: VoucherFields
    amount: Digits
    refund_nonce: Digits
    claims: _ClaimList = ()
    refund_authorizer_signature: Signature = "0x"
    claim_authorizer_signature: Signature = "0x"


class _Kind(msgspec.Struct):
    type: str = ""


def is_action(payload: msgspec.Raw) -> bool:
    """Whether a payload is a server's wish, not a payer's payment."""
    return decode_part(payload, _Kind).type in ("claim", "settle", "refund")


def read_action(payload: msgspec.Raw) -> Action:
    """Read a server's wish. Raises InvalidInput `bad_payment_header`."""
    said = decode_part(payload, _Claims | _Sweep | _Refund)  # type: ignore[arg-type]  # msgspec takes unions
    if isinstance(said, _Claims):
        return _claims(said.claims, said.claim_authorizer_signature)
    if isinstance(said, _Sweep):
        return Sweep(unhex(said.receiver.lower()), unhex(said.token.lower()))
    return Refund(
        said.channel_config.read(),
        _amount(said.amount),
        int(said.refund_nonce),
        _claims(said.claims, said.claim_authorizer_signature),
        unhex(said.refund_authorizer_signature.lower()),
    )


def claims_payload(claims: Claims) -> bytes:
    """Claims as they are sent, so that `read_action` reads them."""
    rows = tuple(
        _Claim(
            _ClaimedVoucher(ChannelConfig.of(one.config), str(one.max_claimable)),
            hex0x(one.signature),
            str(one.total_claimed),
        )
        for one in claims.claims
    )
    return msgspec.json.encode(_Claims(rows, hex0x(claims.signature)))


def _claims(said: tuple[_Claim, ...], signature: str) -> Claims:
    claims = tuple(
        Claim(
            one.voucher.channel.read(),
            _amount(one.voucher.max_claimable_amount),
            unhex(one.signature.lower()),
            _amount(one.total_claimed),
        )
        for one in said
    )
    return Claims(claims, unhex(signature.lower()))


def _amount(text: str) -> int:
    amount = int(text)
    if amount > MAX_AMOUNT:
        raise InvalidInput(
            "bad_payment_header",
            "An amount is more than any token has.",
            "Amounts are at most 2^96 - 1 atomic units.",
        )
    return amount
