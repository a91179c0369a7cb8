"""The vault rail: what a payer's client sends with one request, and what the enclave makes of it.

    Hallmark-Payment: base64 of

        SpendingAuthorization                362   see core.spending
        salt                                  32   of the request's name

The ceiling is signed once, by a wallet; each request is signed by the session key that it names, which can
do nothing else. A spend names one request, so that a copy of it pays for nothing else, and is used once.
Spends stand in the log beside their receipts: the salt, which does not, keeps the request's name from
telling what was asked.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend, SpendingAuthorization
from hallmark.core.typed import TypedStruct
from hallmark.core.vault import SpendingCeiling, Vault
from hallmark.crypto.secp256k1 import Signer, is_signed_by
from hallmark.payments.accounts import PaymentRequired

HEADER: Final = "hallmark-payment"
MAX_HEADER: Final = 1024
SALT: Final = 32
REQUEST_TAG: Final = b"hallmark/spend/v1\0"


class Spending(msgspec.Struct, frozen=True):
    """A spend whose signatures hold. Only `verify_spending` makes one. `digest` (32 bytes) is used once."""

    authorization: SpendingAuthorization
    digest: bytes


def request_name(salt: bytes, path: str, body: bytes) -> bytes:
    """What a spend names a request by: SHA-256(tag || salt || u16be path length || path || body); 32 bytes.

    `salt` is 32 random bytes.
    """
    name = path.encode()
    return sha256(REQUEST_TAG, salt, len(name).to_bytes(2, "big"), name, body)


def sign_spending(
    ceiling: SpendingCeiling, signature: bytes, spend: Spend, salt: bytes, *, session: Signer, vault: Vault
) -> str:
    """The header's value. `signature` is the payer's under the ceiling, `salt` that of the request's name."""
    signed = session.sign(vault.digest(spend))
    authorization = SpendingAuthorization(ceiling, signature, spend, signed)
    return base64.b64encode(authorization.encode() + salt).decode()


def verify_spending(
    value: bytes, vault: Vault, payee: bytes, enclave: bytes, *, path: str, body: bytes, now: int
) -> Spending:
    """Read a header and judge it for one request at `now` (unix ms).

    1. The ceiling is signed by its payer, for this vault.
    2. The spend is signed by the ceiling's session key, or by the payer where it names none.
    3. Both are of one payer, and for this payee; the spend is for this enclave and this request.
    4. Neither has expired.

    What only the chain can say (that this is the newest ceiling, what is left under it) comes after. Raises
    InvalidInput `bad_payment_header`; PaymentRequired `payment_signature`, `payment_mismatch`,
    `payment_expired`.
    """
    authorization, salt = _read(value)
    ceiling, spend = authorization.ceiling, authorization.spend
    _signed_by(ceiling, authorization.by_payer, ceiling.payer, vault)
    digest = _signed_by(spend, authorization.by_session, authorization.session, vault)
    _require(spend.payer == ceiling.payer, "payer")
    _require(spend.payee == ceiling.payee == payee, "payee")
    _require(spend.enclave == enclave, "enclave")
    _require(spend.request == request_name(salt, path, body), "request")
    if now >= spend.expires or now >= 1000 * ceiling.valid_until:
        raise PaymentRequired("payment_expired", "The payment or its ceiling has expired.", "Sign a new one.")
    return Spending(authorization, digest)


def _read(value: bytes) -> tuple[SpendingAuthorization, bytes]:
    try:
        data = base64.b64decode(value[:MAX_HEADER], validate=True)
        return SpendingAuthorization.decode(data[:-SALT]), data[-SALT:]
    except (binascii.Error, ValueError, InvalidInput) as error:
        raise _unreadable() from error


def _signed_by(statement: TypedStruct, signature: bytes, by: bytes, vault: Vault) -> bytes:
    digest = vault.digest(statement)
    if not is_signed_by(digest, signature, by):
        raise PaymentRequired(
            "payment_signature",
            "The payment is not signed by its payer.",
            "Sign for this vault and chain, with the payer's key and the session key of its ceiling.",
        )
    return digest


def _require(holds: bool, field: str) -> None:
    if not holds:
        raise PaymentRequired(
            "payment_mismatch",
            f"The payment's {field} is not this request's.",
            "Sign a new payment for exactly the request that is sent.",
        )


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "bad_payment_header",
        "The payment header cannot be read.",
        "Hallmark-Payment is base64 of a signed ceiling and a signed spend, 394 bytes.",
    )
