"""Pages about money, from the log alone: what an account was charged, what an offer asks, what is unknown."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.core.money import FreeUse, Price
from hallmark.testing.payments import PAYER, free_answer, offer, paid_answer, price_offer
from hallmark.verification.dossier import Dossier

PAYER_HEX = hex0x(PAYER.address)


async def charged(exploring: Any, count: int = 2) -> tuple[Any, list[Any]]:
    """An offer, answers under it that a payer is charged for, and one that nobody pays for; witnessed."""
    net = exploring.net
    terms = offer(net, free=FreeUse(64, 64))
    net.add(price_offer(net, terms))
    answers = [paid_answer(net, terms, spend={"nonce": bytes([n]) * 32}) for n in range(1, count + 1)]
    answers.append(free_answer(net, terms))
    for answer in answers:
        net.add(answer.entry)
    await exploring.witness()
    return terms, answers


async def test_a_receipt_says_what_was_charged_and_that_no_chain_is_read(exploring: Any) -> None:
    """Payer, payee, offer and sum, each with its page; who learns what; and nothing about what was moved."""
    terms, answers = await charged(exploring)
    page = await exploring.explorer.receipt(hex0x(answers[0].receipt.digest()))
    assert page.money is not None
    assert page.money.settled == "unknown"
    assert "this explorer reads no chain" in page.money.sentence
    told = {fact.name: fact for fact in page.money.facts}
    assert told["Payer"].link == f"/explore/accounts/{PAYER_HEX}"
    assert told["Offer"].link == f"/explore/offers/{hex0x(terms.digest())}"
    assert told["Charged"].value == "0.000003 DEV"
    assert told["What the money is"].value == "development money, worth nothing"
    assert {fact.name for fact in page.money.learned} >= {"Payer", "Facilitator", "The chain", "Gateway"}
    assert next(fact.value for fact in page.facts if fact.name == "Charged") == "0.000003 DEV"
    mark = next(mark for mark in page.row.marks if mark.question == "paid")
    assert mark.state == "witnessed"


async def test_an_answer_that_nobody_pays_for_says_so(exploring: Any) -> None:
    """Its mark is not required by the offer, and there is nothing to settle; a receipt without a record has
    no such part.
    """
    _, answers = await charged(exploring)
    page = await exploring.explorer.receipt(hex0x(answers[-1].receipt.digest()))
    assert page.money is not None
    assert page.money.settled == "nothing"
    mark = next(mark for mark in page.row.marks if mark.question == "paid")
    assert mark.state == "not_required"
    net = exploring.net
    plain = net.answer(net.nodes[1])
    net.add(plain.entry)
    await exploring.witness()
    assert (await exploring.explorer.receipt(hex0x(plain.receipt.digest()))).money is None


async def test_the_file_of_a_receipt_brings_record_offer_and_authorization(exploring: Any) -> None:
    """What the log holds of a payment is in the dossier that the explorer gives away."""
    terms, answers = await charged(exploring)
    for answer in answers:
        saved = Dossier.parse(await exploring.explorer.dossier(hex0x(answer.receipt.digest())))
        assert saved.documents.payment == answer.payment.encode().decode()
        assert saved.documents.offer == terms.encode().decode()
        assert bool(saved.payment_authorization) == bool(answer.authorization)


async def test_an_account_lists_what_it_was_charged(exploring: Any) -> None:
    """A payer's answers and their sum; a payee's offers; an address that nothing names says so."""
    terms, answers = await charged(exploring, 3)
    payments = exploring.explorer.payments
    payer = await payments.account(PAYER_HEX)
    assert payer.sentence == "An address that pays for answers."
    newest = [hex0x(answer.receipt.digest()) for answer in reversed(answers[:3])]
    assert [row.id for row in payer.receipts] == newest
    assert {fact.name: fact.value for fact in payer.facts}[
        "Charged, by the log"
    ] == "0.000009 DEV for 3 answers"
    assert payer.chain == "This explorer reads no chain."
    payee = await payments.account(terms.payee)
    assert payee.sentence == "An address that is paid for answers."
    assert [row.digest for row in payee.offers] == [hex0x(terms.digest())]
    assert (await payments.account("0x" + "77" * 20)).sentence.startswith("An address of which nothing")
    for name in ("0x12", PAYER_HEX.upper(), "x" * 42):
        with pytest.raises(NotFound):
            await payments.account(name)


async def test_offers_are_listed_and_each_has_a_page(exploring: Any) -> None:
    """Newest first, with what became of each; the network page names prices of those in force alone."""
    net = exploring.net
    terms, answers = await charged(exploring)
    ended = offer(net, since=1, until=2)
    later = offer(net, since=net.now + 10**6, until=net.now + 10**7)
    newer = offer(net, free=FreeUse(everything=True), prices=(), asset=None, vault=None)
    stranger = offer(net, owner="0x" + "77" * 20)
    for made in (ended, later, newer, stranger):
        net.add(price_offer(net, made))
    await exploring.witness()
    payments = exploring.explorer.payments
    standing = {row.digest: row.standing for row in (await payments.offers()).rows}
    assert standing == {
        hex0x(terms.digest()): "replaced by a newer one",
        hex0x(ended.digest()): "ended",
        hex0x(later.digest()): "not yet in force",
        hex0x(newer.digest()): "in force",
    }
    page = await payments.offer(hex0x(terms.digest()))
    assert [row.million_tokens_out for row in page.prices] == ["0.60 DEV"]
    assert len(page.receipts) == len(answers)
    assert page.row.free == "requests of at most 64 tokens in and 64 out"
    assert (await payments.offer(hex0x(newer.digest()))).row.free == "everything"
    for name in ("0x12", hex0x(b"\7" * 32)):
        with pytest.raises(NotFound):
            await payments.offer(name)
    prices = (await exploring.explorer.network()).prices
    assert [(row.label, row.free) for row in prices] == [("", "everything")]


async def test_a_price_of_every_kind_has_words(exploring: Any) -> None:
    """Tokens, images, seconds and calls, and that the money is for development."""
    net = exploring.net
    price = Price(net.card.label, 1, 2, 3, 4, 5)
    net.add(price_offer(net, offer(net, prices=(price,), free=FreeUse(models=(net.card.label,)))))
    await exploring.witness()
    (row,) = (await exploring.explorer.network()).prices
    assert row.price == (
        "0.000001 DEV for a million tokens in, 0.000002 DEV for a million tokens out, 0.000003 DEV for an "
        "image, 0.000004 DEV for a second begun, 0.000005 DEV for a call (development money)"
    )
    assert row.free == f"every request to {net.card.label}"


async def test_settlements_are_unknown_without_a_chain(exploring: Any) -> None:
    """The list is empty and says why; a name that is none, or of none, is not found."""
    await charged(exploring)
    payments = exploring.explorer.payments
    page = await payments.settlements()
    assert (page.rows, page.chain) == ((), "This explorer reads no chain.")
    for name, sequence in ((hex0x(b"\1" * 32), -1), (hex0x(b"\1" * 20), 0), ("0x12", -1), ("0x12", 1)):
        with pytest.raises(NotFound):
            await payments.settlement(name, sequence)


async def test_an_explorer_without_offers_asks_no_chain(exploring: Any) -> None:
    """Where nobody made an offer nothing is charged, and every page about money says so."""
    await exploring.witness()
    payments = exploring.explorer.payments
    assert (await payments.offers()).rows == ()
    assert (await payments.settlements()).chain == "No offer names a vault, so no chain was asked."
