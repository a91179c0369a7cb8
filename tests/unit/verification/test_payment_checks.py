"""Money on receipts: what is charged follows from offer, use and the payer's own signature, or is objected
to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry
from hallmark.core.hashing import ZERO32
from hallmark.core.money import FreeUse, Offer, Payment, Price
from hallmark.core.receipt import Receipt
from hallmark.core.x402_payment import payment_bytes
from hallmark.testing.network import LittleNetwork, key
from hallmark.testing.payments import (
    offer,
    payment,
    price_offer,
    sign_x402,
    spend_bytes,
    x402_payment,
    x402_record,
)

Paid = Callable[[Receipt], tuple[Payment, bytes]]


def honest(net: LittleNetwork, terms: Offer, *, spend: dict[str, Any] | None = None, **changes: Any) -> Paid:
    """What an honest node attaches to a receipt under `terms`, with changes to spend and record."""

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        payee = unhex(terms.payee)
        authorization = spend_bytes(net, payee, 1_000, **(spend or {}))
        return payment(receipt, terms, authorization, **changes), authorization

    return pay


def found(net: LittleNetwork, paid: Paid, **changes: Any) -> tuple[str, ...]:
    """What full nodes find in a receipt that was paid for like this."""
    answer = net.answers.make(net.nodes[0], paid=paid, **changes)
    return judged(net, answer.entry)


def judged(net: LittleNetwork, entry: Entry) -> tuple[str, ...]:
    """What full nodes find in an entry that is logged now."""
    index = net.add(entry)
    return net.replica().failures(index)


def priced(**changes: Any) -> tuple[LittleNetwork, Offer]:
    """A network whose first node's owner made an offer."""
    net = LittleNetwork()
    terms = offer(net, **changes)
    net.add(price_offer(net, terms))
    return net, terms


def test_a_paid_receipt_holds() -> None:
    """Charged at the offered price, under a payer's spend; and again with another one."""
    net, terms = priced()
    assert found(net, honest(net, terms)) == ()
    assert found(net, honest(net, terms, spend={"nonce": b"\2" * 32})) == ()


def test_nobody_pays_more_than_was_reserved() -> None:
    """A use that came out larger than the most that it could be costs what was reserved."""
    net, terms = priced()
    assert found(net, honest(net, terms, reserved="1", charged="1")) == ()


def test_a_spend_is_used_once() -> None:
    """A second receipt under the same spend is objected to, also by a full node that was started in
    between.
    """
    net, terms = priced()
    assert found(net, honest(net, terms)) == ()
    assert found(net, honest(net, terms)) == ("authorization_reused",)


def test_a_place_of_the_journal_is_used_once() -> None:
    """A host that put its enclave's journal back makes two answers end at one place of it: the second is
    objected to, also by a full node that was started in between. Another key's places are its own.
    """
    net, terms = priced()
    assert found(net, honest(net, terms, position=5)) == ()
    again = honest(net, terms, position=5, spend={"nonce": b"\2" * 32})
    assert found(net, again) == ("journal_position_reused",)
    further = honest(net, terms, position=6, spend={"nonce": b"\2" * 32})
    assert found(net, further) == ()
    other, settlement = net.nodes[1], key("another enclave").address
    net.restart(other, settlement=hex0x(settlement))
    theirs = offer(net, owner=hex0x(other.owner.address))
    net.add(price_offer(net, theirs, other.owner))
    paid = honest(net, theirs, position=5, spend={"nonce": b"\3" * 32, "enclave": settlement})
    assert judged(net, net.answers.make(other, paid=paid).entry) == ()


def test_only_a_key_that_the_bundle_names_draws_on_accounts() -> None:
    """A node whose evidence binds no settlement key cannot be paid from an account; it can serve for
    nothing.
    """
    net = LittleNetwork()
    net.restart(net.nodes[0], settlement=msgspec.UNSET)
    terms = offer(net, free=FreeUse(models=(net.card.label,)))
    net.add(price_offer(net, terms))
    assert found(net, honest(net, terms)) == ("settlement_key_absent",)
    assert found(net, free(net, terms)) == ()


def test_a_refused_receipt_uses_no_spend_up() -> None:
    """What is objected to leaves the payer's authorization as it was."""
    net, terms = priced()
    assert found(net, honest(net, terms, charged="1")) == ("charged_wrongly",)
    assert found(net, honest(net, terms)) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": hex0x(b"\7" * 32)}, "payment_other_receipt"),
        ({"request": hex0x(b"\7" * 32)}, "payment_other_receipt"),
        ({"tokens_out": 1}, "payment_other_receipt"),
        ({"offer": hex0x(b"\7" * 32)}, "offer_unknown"),
        ({"payee": hex0x(b"\7" * 20)}, "payee_other"),
        ({"asset": None}, "asset_other"),
        ({"price": Price("digits", 1, 1)}, "price_other"),
        ({"price": None}, "price_other"),
        ({"charged": "4"}, "charged_wrongly"),
        ({"charged": "2"}, "charged_wrongly"),
        ({"images": 1_000_000, "charged": "0"}, "charged_wrongly"),
        ({"reserved": "1"}, "charged_over_reserved"),
        ({"reserved": "1", "charged": "0"}, "charged_wrongly"),
        ({"reserved": "1001"}, "reserved_over_signed"),
        ({"rail": "exact"}, "charged_wrongly"),
        ({"rail": "upto"}, "authorization_other"),
        ({"payer": hex0x(b"\7" * 20)}, "payer_other"),
        ({"payer": None}, "payer_other"),
        ({"authorization": hex0x(ZERO32)}, "authorization_other"),
        ({"rail": "free"}, "free_but_charged"),
    ],
)
def test_each_member_of_the_record_counts(changes: dict[str, Any], reason: str) -> None:
    """A record that says something else than receipt, offer and spend is objected to by name."""
    net, terms = priced()
    assert found(net, honest(net, terms, **changes)) == (reason,)


@pytest.mark.parametrize(
    ("spend", "reason"),
    [
        ({"payee": b"\7" * 20}, "payee_other"),
        ({"payer": b"\7" * 20}, "payer_other"),
        ({"enclave": b"\7" * 20}, "enclave_other"),
        ({"maximum": 1}, "reserved_over_signed"),
        ({"expires": 1}, "authorization_expired"),
    ],
)
def test_the_spend_must_allow_it(spend: dict[str, Any], reason: str) -> None:
    """For this payee, by this payer, for as much, and in time."""
    net, terms = priced()
    assert found(net, honest(net, terms, spend=spend)) == (reason,)


def test_nobody_signs_for_the_payer() -> None:
    """Each of the two signatures is the right key's over these bytes, and in a form that contracts take."""
    for at, new in ((84, 1), (84 + 65 + 148, 1), (0, 9), (84 + 65, 9)):
        net, terms = priced()
        honest_pay = honest(net, terms)

        def pay(receipt: Receipt, honest_pay: Paid = honest_pay, at: int = at, new: int = new) -> Any:
            record, authorization = honest_pay(receipt)
            changed = bytearray(authorization)
            changed[at + 5] ^= new
            return record, bytes(changed)

        reasons = found(net, pay)
        assert reasons in (("authorization_unsigned",), ("authorization_other",))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"since": 1, "until": 2}, "offer_not_in_force"),
        ({"payee": hex0x(b"\7" * 20)}, "payee_other"),
        ({"vault": None}, "rail_not_offered"),
        ({"prices": (Price("another", 150_000, 600_000),)}, "price_of_another_model"),
    ],
)
def test_the_offer_must_be_this_answers(changes: dict[str, Any], reason: str) -> None:
    """In force when it began, of this payee, for this rail and this model."""
    net, terms = priced(**changes)
    assert found(net, honest(net, terms)) == (reason,)


def test_an_offer_is_signed_by_the_owner_that_it_names() -> None:
    """Another's offer is objected to, and nobody can be charged under it; nor can one that can't be meant."""
    net = LittleNetwork()
    terms = offer(net)
    stranger = price_offer(net, terms, owner=key("stranger"))
    assert judged(net, stranger) == ("offer_names_other",)
    assert found(net, honest(net, terms)) == ("offer_unknown",)
    backwards = offer(net, since=5, until=5)
    assert judged(net, price_offer(net, backwards)) == ("offer_unsound",)
    nothing = offer(net, prices=(Price(net.card.label),))
    assert judged(net, price_offer(net, nothing)) == ("offer_unsound",)


def free(net: LittleNetwork, terms: Offer, **changes: Any) -> Paid:
    """The record of an answer that nobody pays."""
    nobody: dict[str, Any] = {"rail": "free", "payer": None, "account": 0, "price": None}
    nobody |= {"reserved": "0", "charged": "0", **changes}
    return lambda receipt: (payment(receipt, terms, b"", **nobody), b"")


def test_an_answer_is_free_by_an_offer_only() -> None:
    """A small use where the offer says so; everything under an offer that serves for nothing; else not."""
    net, terms = priced(free=FreeUse(tokens_in=64, tokens_out=64))
    assert found(net, free(net, terms)) == ()
    assert found(net, free(net, terms), tokens_out=65) == ("not_free",)
    assert found(net, free(net, terms, reserved="5")) == ("free_but_charged",)
    net, terms = priced(free=FreeUse(everything=True), prices=(), asset=None, vault=None)
    assert found(net, free(net, terms), tokens_out=10**6) == ()
    for models, reasons in (((net.card.label,), ()), (("other", ""), ("not_free",))):
        net, terms = priced(free=FreeUse(models=models))
        assert found(net, free(net, terms), tokens_out=10**6) == reasons
    net, terms = priced()
    assert found(net, free(net, terms)) == ("not_free",)


def test_attachments_are_the_ones_committed_to() -> None:
    """Whoever submits can change what stands beside the receipt: the same receipt is judged afresh when it
    comes again as it was.
    """
    net, terms = priced()
    answer = net.answers.make(net.nodes[0], paid=honest(net, terms))
    plain = answer.entry
    for at, reason in ((3, "payment_record_other"), (4, "authorization_other")):
        changed = list(plain.attachments)
        changed[at] = b"{}"
        entry = msgspec.structs.replace(plain, attachments=tuple(changed))
        assert judged(net, entry) == (reason,)
    cut = msgspec.structs.replace(plain, attachments=plain.attachments[:3])
    assert "attachments_malformed" in judged(net, cut)
    assert judged(net, plain) == ()


def test_nothing_is_charged_without_a_record() -> None:
    """An amount without a record is objected to, and so is a record that cannot be read."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0], charged=1)
    assert judged(net, entry) == ("payment_record_absent",)


WAYS = ("transfer", "permit", "upto", "voucher")


def _same(paid: Any) -> Any:
    return paid


def by_x402(
    net: LittleNetwork, terms: Offer, way: str, change: Callable[[Any], Any] = _same, **record: Any
) -> Paid:
    """What an honest node attaches to a receipt that was paid for by x402, with changes."""

    def pay(receipt: Receipt) -> tuple[Payment, bytes]:
        paid = x402_payment(net, unhex(terms.payee), way, 40)
        return x402_record(receipt, terms, paid, **record), payment_bytes(change(paid))

    return pay


@pytest.mark.parametrize("way", WAYS)
def test_an_x402_payment_holds(way: str) -> None:
    """Exactly what was signed, or what it came to; used once, but a voucher, which is one per request."""
    net, terms = priced()
    assert found(net, by_x402(net, terms, way)) == ()
    again = found(net, by_x402(net, terms, way))
    assert again == (() if way == "voucher" else ("authorization_reused",))


@pytest.mark.parametrize(
    ("way", "record", "reason"),
    [
        *((way, {"payer": hex0x(b"\7" * 20)}, "payer_other") for way in WAYS),
        *((way, {"authorization": hex0x(ZERO32)}, "authorization_other") for way in WAYS),
        *((way, {"charged": "1"}, "charged_wrongly") for way in WAYS),
        *((way, {"reserved": "41", "charged": "41"}, "reserved_over_signed") for way in WAYS[:2]),
        *((way, {"reserved": "41"}, "reserved_over_signed") for way in WAYS[2:]),
        ("upto", {"rail": "batch-settlement"}, "authorization_other"),
        ("voucher", {"rail": "vault"}, "authorization_other"),
    ],
)
def test_an_x402_record_says_what_was_signed(way: str, record: dict[str, Any], reason: str) -> None:
    """Rail, payer, name and amount; never more than was signed."""
    net, terms = priced()
    assert found(net, by_x402(net, terms, way, **record)) == (reason,)


@pytest.mark.parametrize("way", WAYS)
def test_every_field_of_an_x402_payment_is_signed(way: str) -> None:
    """One byte or number of it changed, anywhere: full nodes object."""
    net, terms = priced()
    honest_payment = x402_payment(net, unhex(terms.payee), way, 40)
    part = honest_payment.transfer or honest_payment.permit or honest_payment.channel
    assert part is not None
    name = {"transfer": "transfer", "voucher": "channel"}.get(way, "permit")
    fields = [field for field in part.__struct_fields__ if field != "deposit"]
    for field in fields:
        value = getattr(part, field)
        if isinstance(value, msgspec.Struct):
            for inner in value.__struct_fields__:
                other = msgspec.structs.replace(value, **{inner: another(getattr(value, inner))})
                changed = msgspec.structs.replace(part, **{field: other})
                refused_x402(way, name, changed)
            continue
        refused_x402(way, name, msgspec.structs.replace(part, **{field: another(value)}))
    for field in ("signature", "digest", "payer", "scheme", "token", "expires", "amount"):
        changed_payment = msgspec.structs.replace(
            honest_payment, **{field: another(getattr(honest_payment, field))}
        )
        net, terms = priced()
        reasons = found(net, by_x402(net, terms, way, lambda _, made=changed_payment: made))
        assert reasons in (("authorization_other",), ("authorization_unsigned",)), field


def refused_x402(way: str, name: str, part: Any) -> None:
    """Full nodes object to a payment with another part."""
    net, terms = priced()
    reasons = found(net, by_x402(net, terms, way, lambda paid: msgspec.structs.replace(paid, **{name: part})))
    assert reasons in (("authorization_other",), ("authorization_unsigned",)), (name, part)


def another(value: Any) -> Any:
    """Something else of the same type."""
    if isinstance(value, bytes):
        return bytes((value[0] ^ 1, *value[1:])) if value else b"\1" * 20
    return value + 1 if isinstance(value, int) else "exact-ly"


@pytest.mark.parametrize("way", WAYS)
def test_an_x402_payment_is_for_this_payee_and_in_time(way: str) -> None:
    """Signed for another payee, or for a time that was over; a voucher, for another enclave."""
    net, terms = priced()

    def other_payee(_: Any) -> Any:
        return x402_payment(net, b"\7" * 20, way, 40)

    def renamed(change: Callable[[Any], Any]) -> Paid:
        def pay(receipt: Receipt) -> tuple[Payment, bytes]:
            made = change(x402_payment(net, unhex(terms.payee), way, 40))
            return x402_record(receipt, terms, made), payment_bytes(made)

        return pay

    assert found(net, renamed(other_payee)) == ("payee_other",)
    late = {"transfer": "valid_before", "permit": "deadline", "upto": "deadline"}

    def expired(paid: Any) -> Any:
        if way == "voucher":
            config = msgspec.structs.replace(paid.channel.config, receiver_authorizer=b"\7" * 20)
            made = digests.channel_id(config, 31_337)
            channel = msgspec.structs.replace(paid.channel, config=config, id=made)
            return sign_x402(msgspec.structs.replace(paid, channel=channel))
        name = "transfer" if way == "transfer" else "permit"
        part = msgspec.structs.replace(getattr(paid, name), **{late[way]: 1})
        return sign_x402(msgspec.structs.replace(paid, **{name: part}))

    reason = "enclave_other" if way == "voucher" else "authorization_expired"
    assert found(net, renamed(expired)) == (reason,)
