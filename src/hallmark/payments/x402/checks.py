"""What every scheme's check is made of. Each returns, or raises why a payment does not hold."""

from __future__ import annotations

from typing import Final

from hallmark.core.document import unhex
from hallmark.core.eip3009 import TokenDomain
from hallmark.crypto.secp256k1 import is_signed_by
from hallmark.payments.accounts import PaymentRequired
from hallmark.payments.x402.messages import Requirements

GRACE_S: Final = 6
"""A payment that ends sooner than this could be settled too late."""


class PaymentFault(PaymentRequired):
    """What is wrong with a payment, and with which `field` of it: a member's name, `signature`, `deposit` or
    `permit` (their signatures), `not_yet` or `expired`.
    """

    def __init__(self, reason: str, message: str, hint: str, field: str) -> None:
        super().__init__(reason, message, hint)
        self.field = field


def require(holds: bool, field: str) -> None:
    """Raises PaymentFault `payment_mismatch` unless it holds."""
    if not holds:
        raise PaymentFault(
            "payment_mismatch",
            f"The payment's {field} is not the one that was offered.",
            "Sign for exactly what `accepts` says.",
            field,
        )


def in_time(after: int, before: int, now: int) -> None:
    """Raises PaymentFault `payment_not_yet_valid`, `payment_expired`; all in unix seconds."""
    if after > now:
        raise PaymentFault(
            "payment_not_yet_valid", "The payment is not valid yet.", "Check the clock.", "not_yet"
        )
    if before < now + GRACE_S:
        raise PaymentFault(
            "payment_expired",
            "The payment has expired, or ends too soon to be settled.",
            "Sign a new one.",
            "expired",
        )


def signed(text: str, digest: bytes, by: bytes, field: str = "signature") -> bytes:
    """The signature, if it is `by`'s. One by a contract wallet (ERC-1271) needs the chain, and is refused.

    Raises PaymentFault `payment_signature`.
    """
    signature = unhex(text.lower())
    if is_signed_by(digest, signature, by):
        return signature
    raise PaymentFault(
        "payment_signature",
        "The payment is not signed by its payer.",
        "Sign with the key of the paying address; wallets that are contracts are not taken here.",
        field,
    )


def address(text: str) -> bytes:
    """An address as bytes; empty where there is none."""
    return unhex(text.lower()) if text else b""


def chain(offered: Requirements) -> int:
    """The chain that a requirement names."""
    return int(offered.network.removeprefix("eip155:"))


def domain(offered: Requirements) -> TokenDomain:
    """The token's EIP-712 domain as a requirement tells it."""
    name, version = (str(offered.extra.get(key, "")) for key in ("name", "version"))
    return TokenDomain(name, version, chain(offered), address(offered.asset))
