"""EIP-3009: a token holder's signed permission to move tokens, which anybody may submit."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import keccak256
from hallmark.core.vault import contract_domain

FIELDS: Final = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
TRANSFER: Final = f"TransferWithAuthorization{FIELDS}"
RECEIVE: Final = f"ReceiveWithAuthorization{FIELDS}"


class TokenDomain(msgspec.Struct, frozen=True):
    """The EIP-712 domain of a token: its name and version, the chain's id, its 20-byte address."""

    name: str
    version: str
    chain_id: int
    token: bytes


class Authorization(msgspec.Struct, frozen=True):
    """`value` atomic units may go from `holder` to `to`, once for this 32-byte nonce, in a chain time t
    (seconds) with valid_after < t < valid_before.
    """

    holder: bytes
    to: bytes
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes


def authorization_digest(kind: str, authorization: Authorization, domain: TokenDomain) -> bytes:
    """The 32 bytes that the holder signs; `kind` is TRANSFER (anyone submits) or RECEIVE (only the receiver
    submits).

    Raises InvalidInput `authorization_fields`.
    """
    a = authorization
    try:
        numbers = b"".join(n.to_bytes(32, "big") for n in (a.value, a.valid_after, a.valid_before))
    except OverflowError as error:
        raise InvalidInput("authorization_fields", "A number is no uint256.") from error
    if (len(a.holder), len(a.to), len(a.nonce)) != (20, 20, 32):
        raise InvalidInput("authorization_fields", "An address has 20 bytes, a nonce 32.")
    hashed = keccak256(
        keccak256(kind.encode()) + a.holder.rjust(32, b"\0") + a.to.rjust(32, b"\0") + numbers + a.nonce
    )
    separator = contract_domain(domain.name, domain.version, domain.chain_id, domain.token)
    return keccak256(b"\x19\x01" + separator + hashed)
