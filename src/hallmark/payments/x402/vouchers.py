"""batch-settlement's payments: a voucher, with a deposit before it or a wish for money back behind it."""

from __future__ import annotations

from typing import Literal

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import RECEIVE, authorization_digest
from hallmark.core.eip3009 import Authorization as Transfer
from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT
from hallmark.core.x402_payment import Authorization, Channel, Deposit
from hallmark.payments.x402.checks import address, chain, domain, in_time, require, signed
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


class ChannelConfig(msgspec.Struct, rename="camel"):
    """A channel's configuration as it is sent."""

    payer: MixedAddress
    payer_authorizer: MixedAddress
    receiver: MixedAddress
    receiver_authorizer: MixedAddress
    token: MixedAddress
    withdraw_delay: int
    salt: Word

    @classmethod
    def of(cls, channel: digests.Channel) -> ChannelConfig:
        """A channel as it is sent."""
        payer, authorizer = hex0x(channel.payer), hex0x(channel.payer_authorizer)
        receiver, by = hex0x(channel.receiver), hex0x(channel.receiver_authorizer)
        token, salt = hex0x(channel.token), hex0x(channel.salt)
        return cls(payer, authorizer, receiver, by, token, channel.withdraw_delay, salt)

    def read(self) -> digests.Channel:
        """As bytes and numbers."""
        parties = (self.payer, self.payer_authorizer, self.receiver, self.receiver_authorizer, self.token)
        payer, authorizer, receiver, by, token = (unhex(text.lower()) for text in parties)
        delay = max(0, self.withdraw_delay)
        return digests.Channel(payer, authorizer, receiver, by, token, delay, unhex(self.salt.lower()))


class VoucherFields(msgspec.Struct, rename="camel"):
    """A voucher as it is sent."""

    channel_id: Word
    max_claimable_amount: Digits
    signature: Signature


class _Receive(msgspec.Struct, rename="camel"):
    valid_after: Digits
    valid_before: Digits
    salt: Word
    signature: Signature


class _DepositWitness(msgspec.Struct, rename="camel"):
    channel_id: Word


class _Permit(msgspec.Struct, rename="camel"):
    from_: MixedAddress = msgspec.field(name="from")
    permitted: Permitted
    spender: MixedAddress
    nonce: Digits
    deadline: Digits
    witness: _DepositWitness
    signature: Signature


class _DepositBy(msgspec.Struct):
    erc3009: _Receive | None = msgspec.field(name="erc3009Authorization", default=None)
    permit2: _Permit | None = msgspec.field(name="permit2Authorization", default=None)


class _Deposit(msgspec.Struct, rename="camel"):
    amount: Digits
    authorization: _DepositBy


class _Batch(msgspec.Struct, rename="camel"):
    type: Literal["deposit", "voucher", "refund"]
    channel_config: ChannelConfig
    voucher: VoucherFields
    deposit: _Deposit | None = None


def batch(payment: PaymentPayload, offered: Requirements, now: int) -> Authorization:
    """Judge a channel's payment; see `rails.authorize`."""
    said = decode_part(payment.payload, _Batch)
    config = said.channel_config.read()
    require(config.receiver == address(offered.pay_to), "payee")
    require(
        config.receiver_authorizer == address(str(offered.extra.get("receiverAuthorizer", ""))), "authorizer"
    )
    require(config.token == address(offered.asset), "asset")
    require(config.withdraw_delay == offered.extra.get("withdrawDelay"), "delay")
    name = digests.channel_id(config, chain(offered))
    require(name == unhex(said.voucher.channel_id.lower()), "channel")
    most, refund = int(said.voucher.max_claimable_amount), said.type == "refund"
    amount = 0 if refund else int(offered.amount)
    require(amount <= most <= MAX_AMOUNT, "amount")
    digest = digests.voucher_digest(name, most, chain(offered))
    signer = config.payer_authorizer if any(config.payer_authorizer) else config.payer
    signature = signed(said.voucher.signature, digest, signer)
    deposit = None
    if said.type == "deposit":
        if said.deposit is None:
            raise _no_deposit()
        deposit = _deposit(said.deposit, config, name, offered, now)
    return Authorization(
        offered.scheme,
        "voucher",
        config.payer,
        amount,
        digest,
        0,
        signature,
        channel=Channel(config, name, most, deposit),
        refund=refund,
        token=config.token,
    )


def _deposit(
    said: _Deposit, config: digests.Channel, name: bytes, offered: Requirements, now: int
) -> Deposit:
    amount = int(said.amount)
    require(0 < amount <= MAX_AMOUNT, "amount")
    if offered.extra.get("assetTransferMethod") == "permit2":
        return _by_permit(said, config, name, offered, now)
    by = said.authorization.erc3009
    if by is None:
        raise _no_deposit()
    salt = unhex(by.salt.lower())
    transfer = Transfer(
        config.payer,
        digests.DEPOSIT_COLLECTOR,
        amount,
        int(by.valid_after),
        int(by.valid_before),
        digests.deposit_nonce(name, salt),
    )
    in_time(transfer.valid_after, transfer.valid_before, now)
    digest = authorization_digest(RECEIVE, transfer, domain(offered))
    return Deposit(amount, signed(by.signature, digest, config.payer, "deposit"), digest, transfer, salt)


def _by_permit(
    said: _Deposit, config: digests.Channel, name: bytes, offered: Requirements, now: int
) -> Deposit:
    by, amount = said.authorization.permit2, int(said.amount)
    if by is None:
        raise _no_deposit()
    permit = digests.DepositPermit(
        unhex(by.permitted.token.lower()),
        int(by.permitted.amount),
        int(by.nonce),
        int(by.deadline),
        unhex(by.witness.channel_id.lower()),
        unhex(by.spender.lower()),
    )
    require(unhex(by.from_.lower()) == config.payer, "payer")
    require(permit.token == config.token, "asset")
    require(permit.amount == amount, "amount")
    require(permit.spender == digests.PERMIT2_DEPOSIT_COLLECTOR, "spender")
    require(permit.channel == name, "channel")
    in_time(0, permit.deadline, now)
    digest = digests.deposit_permit_digest(permit, chain(offered))
    return Deposit(amount, signed(by.signature, digest, config.payer, "permit"), digest, permit=permit)


def _no_deposit() -> InvalidInput:
    return InvalidInput(
        "bad_payment_header",
        "A deposit has no amount and authorization.",
        "Send `deposit` with `amount` and the authorization that its transfer method names.",
    )
