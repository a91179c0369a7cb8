"""What stock x402 clients sign: EIP-712 digests of Permit2 permits and of batch-settlement's vouchers.

EIP-3009 is in `core.eip3009`. The contracts have the same addresses on every chain. Permit2's domain has no
version. Sources: x402-foundation/x402 specs/schemes (exact, upto, batch-settlement), Uniswap/permit2.
"""

from __future__ import annotations

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

PERMITTED: Final = b"TokenPermissions(address token,uint256 amount)"
EXACT_WITNESS: Final = b"Witness(address to,uint256 validAfter)"
UPTO_WITNESS: Final = b"Witness(address to,address facilitator,uint256 validAfter)"
PERMIT: Final = (
    b"PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,"
    b"Witness witness)"
)
CHANNEL: Final = (
    b"ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
    b"address token,uint40 withdrawDelay,bytes32 salt)"
)
VOUCHER: Final = b"Voucher(bytes32 channelId,uint128 maxClaimableAmount)"
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
    witness_type, to, after = EXACT_WITNESS, _word(permit.to), _number(permit.valid_after, 32)
    witness = to + after
    if permit.facilitator:
        witness_type, witness = UPTO_WITNESS, to + _word(permit.facilitator) + after
    permitted = keccak256(keccak256(PERMITTED) + _word(permit.token) + _number(permit.amount, 32))
    hashed = keccak256(
        keccak256(PERMIT + PERMITTED + witness_type)
        + permitted
        + _word(permit.spender)
        + _number(permit.nonce, 32)
        + _number(permit.deadline, 32)
        + keccak256(keccak256(witness_type) + witness)
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
