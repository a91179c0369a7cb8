"""What stock x402 clients sign: EIP-712 digests of Permit2 permits and of batch-settlement's vouchers.

EIP-3009 is in `core.eip3009`. The contracts have the same addresses on every chain. Permit2's domain has no
version. Sources: x402-foundation/x402 specs/schemes (exact, upto, batch-settlement), Uniswap/permit2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.vault import contract_domain

PERMIT2: Final = bytes.fromhex("000000000022D473030F116dDEE9F6B43aC78BA3")
EXACT_PROXY: Final = bytes.fromhex("402085c248EeA27D92E8b30b2C58ed07f9E20001")
UPTO_PROXY: Final = bytes.fromhex("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002")
BATCH_SETTLEMENT: Final = bytes.fromhex("4020074e9dF2ce1deE5A9C1b5c3f541D02a10003")
DEPOSIT_COLLECTOR: Final = bytes.fromhex("4020806089470a89826cB9fB1f4059150b550004")
PERMIT2_DEPOSIT_COLLECTOR: Final = bytes.fromhex("4020425FAf3B746C082C2f942b4E5159887B0005")

PERMITTED: Final = b"TokenPermissions(address token,uint256 amount)"
EXACT_WITNESS: Final = b"Witness(address to,uint256 validAfter)"
UPTO_WITNESS: Final = b"Witness(address to,address facilitator,uint256 validAfter)"
DEPOSIT_WITNESS: Final = b"DepositWitness(bytes32 channelId)"
PERMIT: Final = (
    b"PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,"
)
CHANNEL: Final = (
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
    b"address token,uint40 withdrawDelay,bytes32 salt)"
)
VOUCHER: Final = b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
REFUND: Final = b"Refund(bytes32 channelId,uint256 nonce,uint128 amount)"
CLAIM: Final = b"ClaimEntry(bytes32 channelId,uint128 maxClaimableAmount,uint128 totalClaimed)"
CLAIMS: Final = b"ClaimBatch(ClaimEntry[] claims)" + CLAIM
PERMIT2_DOMAIN_TYPE: Final = b"EIP712Domain(string name,uint256 chainId,address verifyingContract)"


class Permit(msgspec.Struct, frozen=True):
    """`spender` (one of the proxies) may move `amount` of `token` to `to` before `deadline` (unix seconds),
    once for this nonce. `facilitator` is empty in `exact`; in `upto` it alone may settle, for less if it
    wants.
    """

    token: bytes
    amount: int
    spender: bytes
    nonce: int
    deadline: int
    to: bytes
    valid_after: int
    facilitator: bytes = b""


class DepositPermit(msgspec.Struct, frozen=True):
    """`spender` (the collector) may move `amount` of `token` into `channel` (its id) before `deadline` (unix
    seconds), once.
    """

    token: bytes
    amount: int
    nonce: int
    deadline: int
    channel: bytes
    spender: bytes = PERMIT2_DEPOSIT_COLLECTOR


class Claim(msgspec.Struct, frozen=True):
    """What is claimed of a channel in all, of the most that a voucher allows."""

    channel: bytes
    max_claimable: int
    total_claimed: int


class Channel(msgspec.Struct, frozen=True):
    """A batch-settlement channel. `payer_authorizer` signs vouchers (zero: the payer itself)."""

    payer: bytes
    payer_authorizer: bytes
    receiver: bytes
    receiver_authorizer: bytes
    token: bytes
    withdraw_delay: int
    salt: bytes


def permit_digest(permit: Permit, chain_id: int) -> bytes:
    """The 32 bytes that a holder signs for Permit2. Raises InvalidInput `field_out_of_range`."""
    to, after = _word(permit.to), _number(permit.valid_after, 32)
    if permit.facilitator:
        kind = b"Witness witness)" + PERMITTED + UPTO_WITNESS
        witness = keccak256(keccak256(UPTO_WITNESS) + to + _word(permit.facilitator) + after)
    else:
        kind = b"Witness witness)" + PERMITTED + EXACT_WITNESS
        witness = keccak256(keccak256(EXACT_WITNESS) + to + after)
    return _permit2_digest(permit, kind, witness, chain_id)


def deposit_permit_digest(permit: DepositPermit, chain_id: int) -> bytes:
    """The 32 bytes that a holder signs for a deposit by Permit2. Raises InvalidInput `field_out_of_range`."""
    kind = b"DepositWitness witness)" + DEPOSIT_WITNESS + PERMITTED
    witness = keccak256(keccak256(DEPOSIT_WITNESS) + _bytes32(permit.channel))
    return _permit2_digest(permit, kind, witness, chain_id)


def _permit2_digest(permit: Permit | DepositPermit, kind: bytes, witness: bytes, chain_id: int) -> bytes:
    permitted = keccak256(keccak256(PERMITTED) + _word(permit.token) + _number(permit.amount, 32))
    hashed = keccak256(
        keccak256(PERMIT + kind)
        + permitted
        + _word(permit.spender)
        + _number(permit.nonce, 32)
        + _number(permit.deadline, 32)
        + witness
    )
    domain = keccak256(
        keccak256(PERMIT2_DOMAIN_TYPE) + keccak256(b"Permit2") + _number(chain_id, 32) + _word(PERMIT2)
    )
    return keccak256(b"\x19\x01" + domain + hashed)


def channel_id(channel: Channel, chain_id: int) -> bytes:
    """A channel's id: the EIP-712 digest of its configuration, not the struct's hash; 32 bytes.

    Raises InvalidInput `field_out_of_range`.
    """
    parties = (
        channel.payer,
        channel.payer_authorizer,
        channel.receiver,
        channel.receiver_authorizer,
        channel.token,
    )
    words = b"".join(map(_word, parties)) + _number(channel.withdraw_delay, 5) + _bytes32(channel.salt)
    return _settlement_digest(CHANNEL, words, chain_id)


def voucher_digest(channel: bytes, max_claimable: int, chain_id: int) -> bytes:
    """The 32 bytes that a voucher's signature is over. Raises InvalidInput `field_out_of_range`."""
    return _settlement_digest(VOUCHER, _bytes32(channel) + _number(max_claimable, 16), chain_id)


def refund_digest(channel: bytes, nonce: int, amount: int, chain_id: int) -> bytes:
    """The 32 bytes by which a channel's authorizer gives money back. Raises InvalidInput
    `field_out_of_range`.
    """
    words = _bytes32(channel) + _number(nonce, 32) + _number(amount, 16)
    return _settlement_digest(REFUND, words, chain_id)


def claims_digest(claims: Sequence[Claim], chain_id: int) -> bytes:
    """The 32 bytes by which an authorizer claims from channels. Raises InvalidInput `field_out_of_range`."""
    entries = (
        keccak256(
            keccak256(CLAIM)
            + _bytes32(one.channel)
            + _number(one.max_claimable, 16)
            + _number(one.total_claimed, 16)
        )
        for one in claims
    )
    return _settlement_digest(CLAIMS, keccak256(b"".join(entries)), chain_id)


def deposit_nonce(channel: bytes, salt: bytes) -> bytes:
    """The EIP-3009 nonce of a deposit into a channel; 32 bytes."""
    return keccak256(_bytes32(channel) + _bytes32(salt))


def _settlement_digest(kind: bytes, words: bytes, chain_id: int) -> bytes:
    domain = contract_domain("x402 Batch Settlement", "1", chain_id, BATCH_SETTLEMENT)
    return keccak256(b"\x19\x01" + domain + keccak256(keccak256(kind) + words))


def _word(address: bytes) -> bytes:
    if len(address) != 20:
        raise InvalidInput("field_out_of_range", "An address has 20 bytes.")
    return address.rjust(32, b"\0")


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise InvalidInput("field_out_of_range", "A salt, nonce or channel has 32 bytes.")
    return value


def _number(value: int, size: int) -> bytes:
    """A number of at most `size` bytes as the ABI's 32."""
    try:
        return value.to_bytes(size, "big").rjust(32, b"\0")
    except OverflowError as error:
        raise InvalidInput("field_out_of_range", f"A number is no uint{8 * size}.") from error
