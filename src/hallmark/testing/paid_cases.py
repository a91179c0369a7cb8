"""Receipts whose money does not hold, each signed by its node as if it did, and the reason that full nodes
and both offline verifiers give; and saved receipts with one field of record, offer or authorization changed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.money import FreeUse, Offer, Payment, Price
from hallmark.core.receipt import Receipt
from hallmark.core.spending import SpendingAuthorization
from hallmark.core.x402_payment import Authorization, payment_bytes, read_payment
from hallmark.testing.answers import Answer
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import ASSET, offer, payment, price_offer, spend_bytes
from hallmark.testing.withheld import Change, put, put_document

replace = msgspec.structs.replace
OTHER20, OTHER32 = hex0x(b"\7" * 20), hex0x(b"\7" * 32)
NOBODY: Final[dict[str, Any]] = {
    "rail": "free", "payer": None, "account": 0, "price": None, "reserved": "0", "charged": "0",
    "authorization": hex0x(bytes(32)), "position": 0,
}  # fmt: skip


class Wrong(NamedTuple):
    """What a dishonest enclave changed in the record, the spend or the offer, and what is found in it."""

    reason: str
    record: dict[str, Any] = {}
    spend: dict[str, Any] = {}
    offer: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """What was changed, in a line."""
        parts = {"record": self.record, "spend": self.spend, "offer": self.offer}
        changed = (f"{part}.{name}={new}" for part, table in parts.items() for name, new in table.items())
        return " ".join((self.reason, *changed))[:200]


WRONGS: Final = (
    Wrong("payment_other_receipt", {"network": OTHER32}),
    Wrong("payment_other_receipt", {"request": OTHER32}),
    Wrong("payment_other_receipt", {"tokens_in": 8}),
    Wrong("payment_other_receipt", {"tokens_out": 1}),
    Wrong("payee_other", {"payee": OTHER20}),
    Wrong("payee_other", offer={"payee": OTHER20}),
    Wrong("payee_other", spend={"payee": b"\7" * 20}),
    Wrong("asset_other", {"asset": None}),
    Wrong("asset_other", {"asset": replace(ASSET, development=False)}),
    Wrong("price_other", {"price": Price("digits", 1, 1)}),
    Wrong("price_other", {"price": None}),
    Wrong("price_of_another_model", offer={"prices": (Price("another", 150_000, 600_000),)}),
    Wrong("charged_wrongly", {"charged": "4"}),
    Wrong("charged_wrongly", {"charged": "2"}),
    Wrong("charged_wrongly", {"reserved": "1", "charged": "0"}),
    Wrong("charged_wrongly", offer={"prices": (Price("digits", call=(1 << 63) - 1, second=(1 << 63) - 1),)},
          record={"milliseconds": (1 << 63) - 1, "charged": "0", "reserved": "0"}),
    Wrong("charged_over_reserved", {"reserved": "1"}),
    Wrong("reserved_over_signed", {"reserved": "1001"}),
    Wrong("reserved_over_signed", spend={"maximum": 1}),
    Wrong("charged_wrongly", {"rail": "exact"}),
    Wrong("authorization_other", {"rail": "upto"}),
    Wrong("rail_not_offered", offer={"vault": None}),
    Wrong("payer_other", {"payer": OTHER20}),
    Wrong("payer_other", {"payer": None}),
    Wrong("payer_other", spend={"payer": b"\7" * 20}),
    Wrong("enclave_other", spend={"enclave": b"\7" * 20}),
    Wrong("authorization_other", {"authorization": hex0x(bytes(32))}),
    Wrong("authorization_expired", spend={"expires": 1}),
    Wrong("offer_of_another", offer={"owner": OTHER20}),
    Wrong("offer_not_in_force", offer={"since": 1, "until": 2}),
    Wrong("free_but_charged", {"rail": "free"}),
    Wrong("free_but_charged", NOBODY | {"reserved": "1"}),
    Wrong("free_but_charged", NOBODY | {"account": 1}),
    Wrong("free_but_charged", NOBODY | {"payer": OTHER20}),
    Wrong("not_free", NOBODY),
    Wrong("not_free", NOBODY, offer={"free": FreeUse(6, 64)}),
    Wrong("not_free", NOBODY, offer={"free": FreeUse(64, 1)}),
    Wrong("not_free", NOBODY | {"images": 1}, offer={"free": FreeUse(64, 64)}),
    Wrong("not_free", NOBODY, offer={"free": FreeUse(models=("other", ""))}),
)  # fmt: skip


def answer_of(net: LittleNetwork, wrong: Wrong) -> Answer:
    """The answer by the first node of a network, signed as an honest one would be."""
    terms = offer(net, **wrong.offer)

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        spent = spend_bytes(net, unhex(terms.payee), 1_000, **wrong.spend)
        nobody = wrong.record.get("rail") == "free" and "payer" in wrong.record
        record = payment(receipt, terms, b"" if nobody else spent, **wrong.record)
        return record, b"" if nobody else spent

    made = net.answers.make(net.nodes[0], paid=pay)
    return replace(made, offer=terms)


def logged(net: LittleNetwork, wrong: Wrong) -> tuple[Answer, int]:
    """The same answer in the log, its offer before it; its position."""
    made = answer_of(net, wrong)
    assert isinstance(made.offer, Offer)
    net.add(price_offer(net, made.offer))
    return made, net.add(made.entry)


def changed_fields(record: Payment, terms: Offer, authorization: bytes) -> Iterator[tuple[str, str, Change]]:
    """(name, reason, change of a saved receipt) for every field of the three, each with another value."""
    for name in Payment.__struct_fields__:
        told = replace(record, **{name: _another(getattr(record, name))})
        yield f"record {name}", "payment_record_other", put_document(payment=told.encode().decode())
    for name in Offer.__struct_fields__:
        asked = replace(terms, **{name: _another(getattr(terms, name))})
        yield f"offer {name}", "offer_mismatch", put_document(offer=asked.encode().decode())
    said = SpendingAuthorization.decode(authorization)
    for part in ("ceiling", "spend"):
        statement = getattr(said, part)
        for name in type(statement).__struct_fields__:
            other = replace(statement, **{name: _another(getattr(statement, name))})
            # The record names the spend by its digest; a ceiling is known by its signature alone.
            reason = "authorization_other" if part == "spend" else "authorization_unsigned"
            yield f"{part} {name}", reason, _signed(replace(said, **{part: other}))
    for part in ("by_payer", "by_session"):
        signature = bytearray(getattr(said, part))
        signature[20] ^= 1
        yield part, "authorization_unsigned", _signed(replace(said, **{part: bytes(signature)}))


def changed_x402(authorization: bytes) -> Iterator[tuple[str, str, Change]]:
    """(name, reason, change of a saved receipt) for every field of an x402 payment."""
    payment = read_payment(authorization)
    yield "scheme", "authorization_other", _x402(replace(payment, scheme="another"))
    for name in ("payer", "amount", "digest", "expires", "token"):
        yield name, "authorization_other", _x402(replace(payment, **{name: _another(getattr(payment, name))}))
    signature = bytearray(payment.signature)
    signature[20] ^= 1
    yield "signature", "authorization_unsigned", _x402(replace(payment, signature=bytes(signature)))
    for part in ("transfer", "permit", "channel"):
        held = getattr(payment, part)
        for name in held.__struct_fields__ if held is not None else ():
            if isinstance(value := getattr(held, name), int | bytes) and value != b"":
                other = replace(held, **{name: _another(value)})
                yield f"{part} {name}", "authorization_other", _x402(replace(payment, **{part: other}))


def _x402(payment: Authorization) -> Change:
    return put(payment_authorization=base64.b64encode(payment_bytes(payment)).decode())


def _signed(said: SpendingAuthorization) -> Change:
    return put(payment_authorization=base64.b64encode(said.encode()).decode())


def _another(value: Any) -> Any:
    """Something else of the same type."""
    match value:
        case None:
            return OTHER20
        case int():
            return value + 1
        case bytes():
            return bytes((value[0] ^ 1, *value[1:]))
        case str() if value.startswith("0x"):
            return value[:-1] + ("0" if value[-1] != "0" else "1")
        case str() if value.isdigit():
            return str(int(value) + 1)
        case str():
            return "upto"
        case Price():
            return replace(value, call=value.call + 1)
        case FreeUse():
            return replace(value, tokens_in=value.tokens_in + 1)
        case tuple():
            return (*value, Price("more", 1))
    return replace(value, decimals=value.decimals + 1)
