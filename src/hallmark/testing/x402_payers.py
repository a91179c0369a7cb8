"""Payers as stock x402 clients are: they read a 402, choose a way, and sign for it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import RECEIVE, TRANSFER, Authorization, TokenDomain, authorization_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.x402.messages import SIGNATURE_HEADER

Accepts = dict[str, Any]


def challenge_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """What a 402 says."""
    found: dict[str, Any] = msgspec.json.decode(base64.b64decode(headers["payment-required"]))
    return found


def chosen(headers: Mapping[str, str], scheme: str, method: str = "") -> Accepts:
    """The way of this scheme, and by this transfer method where there are several."""
    for one in challenge_of(headers)["accepts"]:
        if one["scheme"] == scheme and (not method or one["extra"].get("assetTransferMethod") == method):
            return dict(one)
    raise LookupError(scheme)


def signed(accepted: Accepts, payload: dict[str, Any]) -> dict[str, str]:
    """The header of a payment."""
    message = {"x402Version": 2, "accepted": accepted, "payload": payload}
    return {SIGNATURE_HEADER: base64.b64encode(msgspec.json.encode(message)).decode()}


def exact(payer: Key, accepted: Accepts, now: int, nonce: bytes) -> dict[str, str]:
    """An EIP-3009 transfer of exactly the price, at `now` (unix s)."""
    transfer = Authorization(
        payer.address, unhex(accepted["payTo"]), int(accepted["amount"]), 0, now + 300, nonce
    )
    digest = authorization_digest(TRANSFER, transfer, _domain(accepted))
    fields = {
        "from": hex0x(payer.address),
        "to": accepted["payTo"],
        "value": accepted["amount"],
        "validAfter": "0",
        "validBefore": str(now + 300),
        "nonce": hex0x(nonce),
    }
    return signed(accepted, {"signature": hex0x(payer.sign(digest)), "authorization": fields})


def permit(payer: Key, accepted: Accepts, now: int, nonce: int) -> dict[str, str]:
    """A Permit2 permit for the price (`exact`), or for at most that (`upto`)."""
    upto = accepted["scheme"] == "upto"
    proxy = digests.UPTO_PROXY if upto else digests.EXACT_PROXY
    sender = unhex(accepted["extra"]["facilitatorAddress"].lower()) if upto else b""
    amount, token, to = int(accepted["amount"]), unhex(accepted["asset"]), unhex(accepted["payTo"])
    made = digests.Permit(token, amount, proxy, nonce, now + 300, to, 0, sender)
    digest = digests.permit_digest(made, _chain(accepted))
    witness = {"to": accepted["payTo"], "validAfter": "0"}
    fields = {
        "from": hex0x(payer.address),
        "permitted": {"token": accepted["asset"], "amount": accepted["amount"]},
        "spender": hex0x(proxy),
        "nonce": str(nonce),
        "deadline": str(now + 300),
        "witness": witness | ({"facilitator": hex0x(sender)} if upto else {}),
    }
    return signed(accepted, {"permit2Authorization": fields, "signature": hex0x(payer.sign(digest))})


def voucher(
    payer: Key, accepted: Accepts, charged: int, *, deposit: int = 0, now: int = 0, salt: bytes = bytes(32)
) -> dict[str, str]:
    """A channel's next voucher after `charged` in all, with a deposit before it where there is one."""
    extra = accepted["extra"]
    config = digests.Channel(
        payer.address,
        bytes(20),
        unhex(accepted["payTo"]),
        unhex(extra["receiverAuthorizer"]),
        unhex(accepted["asset"]),
        extra["withdrawDelay"],
        salt,
    )
    name, most = digests.channel_id(config, _chain(accepted)), charged + int(accepted["amount"])
    digest = digests.voucher_digest(name, most, _chain(accepted))
    payload: dict[str, Any] = {
        "type": "deposit" if deposit else "voucher",
        "channelConfig": {
            "payer": hex0x(config.payer),
            "payerAuthorizer": hex0x(config.payer_authorizer),
            "receiver": hex0x(config.receiver),
            "receiverAuthorizer": hex0x(config.receiver_authorizer),
            "token": hex0x(config.token),
            "withdrawDelay": config.withdraw_delay,
            "salt": hex0x(config.salt),
        },
        "voucher": {
            "channelId": hex0x(name),
            "maxClaimableAmount": str(most),
            "signature": hex0x(payer.sign(digest)),
        },
    }
    if deposit:
        nonce = digests.deposit_nonce(name, salt)
        transfer = Authorization(payer.address, digests.DEPOSIT_COLLECTOR, deposit, 0, now + 300, nonce)
        paid = payer.sign(authorization_digest(RECEIVE, transfer, _domain(accepted)))
        by = {"validAfter": "0", "validBefore": str(now + 300), "salt": hex0x(salt), "signature": hex0x(paid)}
        payload["deposit"] = {"amount": str(deposit), "authorization": {"erc3009Authorization": by}}
    return signed(accepted, payload)


def _domain(accepted: Accepts) -> TokenDomain:
    extra = accepted["extra"]
    return TokenDomain(extra["name"], extra["version"], _chain(accepted), unhex(accepted["asset"]))


def _chain(accepted: Accepts) -> int:
    return int(accepted["network"].removeprefix("eip155:"))
