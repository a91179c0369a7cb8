"""x402's `offer-receipt`: what is signed is the EIP-712 that any wallet library computes."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from hallmark.core.document import hex0x, unhex
from hallmark.core.hashing import sha256
from hallmark.crypto.secp256k1 import Key, recover
from hallmark.payments.x402.messages import Requirements
from hallmark.payments.x402.offer_receipt import (
    NAME,
    OFFER,
    RECEIPT,
    signed_offers,
    signed_receipt,
    typed_digest,
)

KEY = Key(sha256(b"offer-receipt"))
URL = "https://node.example/v1/chat/completions"
WAY = Requirements("exact", "eip155:31337", "29", "0x" + "11" * 20, "0x" + "12" * 20, 300)


def by_library(domain: str, kind: str, payload: dict[str, Any]) -> str:
    """Who signed, as eth-account recovers it."""
    name, _, fields = kind.rstrip(")").partition("(")
    types = [dict(zip(("type", "name"), field.split(), strict=True)) for field in fields.split(",")]
    message = encode_typed_data(
        domain_data={"name": domain, "version": "1", "chainId": 1},
        message_types={name: types},
        message_data=payload,
    )
    return str(
        Account.recover_message(message, signature=hex0x(KEY.sign(typed_digest(domain, kind, payload))))
    )


def test_offers_are_signed_for_every_way() -> None:
    """In order, each under its own payload; a wallet library finds the settlement key."""
    other = Requirements("upto", "eip155:31337", "30", "0x" + "11" * 20, "0x" + "12" * 20, 300)
    (offer, second) = signed_offers((WAY, other), URL, 1_790_000_000, KEY)[NAME]["info"]["offers"]
    assert (offer["format"], offer["acceptIndex"], second["acceptIndex"]) == ("eip712", 0, 1)
    assert offer["payload"]["amount"] == "29"
    for one in (offer, second):
        signed = typed_digest("x402 offer", OFFER, one["payload"])
        assert recover(signed, unhex(one["signature"])) == KEY.address
        assert by_library("x402 offer", OFFER, one["payload"]).lower() == hex0x(KEY.address)


@pytest.mark.parametrize("transaction", [b"", b"\x21" * 32])
def test_a_receipt_is_signed_with_and_without_transaction(transaction: bytes) -> None:
    """It names payer, address, time; and the transaction where there is one."""
    made = signed_receipt(
        network="eip155:31337", url=URL, payer=b"\x13" * 20, at=7, transaction=transaction, key=KEY
    )
    receipt = made[NAME]["info"]["receipt"]
    assert receipt["payload"]["transaction"] == (hex0x(transaction) if transaction else "")
    assert (receipt["payload"]["payer"], receipt["payload"]["issuedAt"]) == ("0x" + "13" * 20, 7)
    assert by_library("x402 receipt", RECEIPT, receipt["payload"]).lower() == hex0x(KEY.address)


def test_offer_and_receipt_cannot_stand_for_each_other() -> None:
    """The same bytes under the other domain are another digest, and nothing of the vault's."""
    payload = signed_offers((WAY,), URL, 1, KEY)[NAME]["info"]["offers"][0]["payload"]
    assert typed_digest("x402 offer", OFFER, payload) != typed_digest("x402 receipt", OFFER, payload)
