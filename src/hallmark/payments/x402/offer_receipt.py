"""x402's extension `offer-receipt`: each way to pay in a 402, and what was paid for, signed so that stock
libraries can read it.

Both are EIP-712 in the extension's own domains, signed by the enclave's settlement key, whose address the
attested key bundle names. They say little: who paid for which address at what time, in which transaction.
What was asked, answered and charged is in Hallmark's own receipt. The payer stands in them, because the
extension wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hallmark.core.document import hex0x
from hallmark.core.hashing import keccak256
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402.messages import Requirements

NAME: Final = "offer-receipt"
VERSION: Final = 1
OFFER: Final = (
    "Offer(uint256 version,string resourceUrl,string scheme,string network,string asset,string payTo,"
    "string amount,uint256 validUntil)"
)
RECEIPT: Final = (
    "Receipt(uint256 version,string network,string resourceUrl,string payer,uint256 issuedAt,"
    "string transaction)"
)
DOMAIN: Final = "EIP712Domain(string name,string version,uint256 chainId)"
SCHEMA: Final[dict[str, Any]] = {"type": "object"}


def signed_offers(offered: Sequence[Requirements], url: str, until: int, key: Key) -> dict[str, Any]:
    """The extension of a 402 for `url`: every way to pay, good until `until` (unix s)."""
    offers = []
    for index, one in enumerate(offered):
        payload = {
            "version": VERSION,
            "resourceUrl": url,
            "scheme": one.scheme,
            "network": one.network,
            "asset": one.asset,
            "payTo": one.pay_to,
            "amount": one.amount,
            "validUntil": until,
        }
        offers.append({**_signed("x402 offer", OFFER, payload, key), "acceptIndex": index})
    return {NAME: {"info": {"offers": offers}, "schema": SCHEMA}}


def signed_receipt(
    *, network: str, url: str, payer: bytes, at: int, transaction: bytes, key: Key
) -> dict[str, Any]:
    """The extension of a PAYMENT-RESPONSE: `payer` paid for `url` at `at` (unix s); `transaction` is empty
    where none was needed, or none is known yet.
    """
    payload = {
        "version": VERSION,
        "network": network,
        "resourceUrl": url,
        "payer": hex0x(payer),
        "issuedAt": at,
        "transaction": hex0x(transaction) if transaction else "",
    }
    return {NAME: {"info": {"receipt": _signed("x402 receipt", RECEIPT, payload, key)}, "schema": SCHEMA}}


def _signed(domain: str, kind: str, payload: dict[str, Any], key: Key) -> dict[str, Any]:
    signature = key.sign(typed_digest(domain, kind, payload))
    return {"format": "eip712", "payload": payload, "signature": hex0x(signature)}


def typed_digest(domain: str, kind: str, payload: dict[str, Any]) -> bytes:
    """The 32 bytes that are signed: the domain names neither contract nor, whatever the chain, another chain
    than 1. Members stand in the order of `kind`.
    """
    separator = keccak256(
        keccak256(DOMAIN.encode()) + keccak256(domain.encode()) + keccak256(b"1") + _word(1)
    )
    words = (_word(one) if isinstance(one, int) else keccak256(one.encode()) for one in payload.values())
    return keccak256(b"\x19\x01" + separator + keccak256(keccak256(kind.encode()) + b"".join(words)))


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
