"""A receipt that tokens paid for: who owes whom what, by whose word, and that no chain ever shows it."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.apps.web.claims import Facts, of_text, violations
from hallmark.core.document import hex0x
from hallmark.core.marks import Question
from hallmark.core.money import Price
from hallmark.services.explorer.payment_views import Money
from hallmark.testing.payments import issuer_epoch, keys_of_issuer, offer, price_offer, token_answer
from hallmark.testing.token_cases import TokenWrong, logged
from hallmark.verification.wording import short

WITNESSED = Facts(dict.fromkeys((question.value for question in Question), "witnessed"))


async def money(exploring: Any, answer: Any) -> Money:
    """What the receipt's page says of money, which breaks no rule of words."""
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    found = page.money
    assert isinstance(found, Money)
    assert violations({"-": WITNESSED}, of_text("page", found.sentence)) == ()
    return found


async def test_the_issuer_owes_what_was_charged_by_the_nodes_word(exploring: Any) -> None:
    """Rounded up to its smallest token, because no change is smaller; nothing of it reads as settled."""
    net = exploring.net
    answer, _ = logged(net)
    await exploring.witness()
    found = await money(exploring, answer)
    assert (answer.payment.charged, answer.payment.reserved, answer.issuer_keys.unit) == ("3", "40", 10)
    assert (found.settled, found.transaction) == ("unknown", "")
    for said in (
        f"Issuer {short(hex0x(net.issuer.address))} signed the tokens",
        "that word does not stand in the receipt, so for it the node is believed",
        "the issuer owes the payee 0.00001 DEV: what was charged, rounded up to a whole number",
        "all that it owes in one transaction, which names no receipt",
    ):
        assert said in found.sentence
    facts = {fact.name: fact for fact in found.facts}
    assert facts["Issuer"].value == hex0x(net.issuer.address)
    assert "Spent token of 0.00004 DEV" in facts


@pytest.mark.parametrize("unit", [1, 3])
async def test_what_needs_no_rounding_is_owed_as_it_was_charged(exploring: Any, unit: int) -> None:
    """The sum alone stands there."""
    net = exploring.net
    terms, keys = offer(net), keys_of_issuer(net, unit=unit)
    net.register(net.issuer)
    net.add(issuer_epoch(net, keys))
    net.add(price_offer(net, terms))
    answer = token_answer(net, terms, keys)
    net.add(answer.entry)
    await exploring.witness()
    assert "the issuer owes the payee 0.000003 DEV. It pays" in (await money(exploring, answer)).sentence


@pytest.mark.parametrize(
    "wrong",
    [
        TokenWrong("a sum of its own", "token_sum_other", {"reserved": "41"}),
        TokenWrong("a payer that is named", "token_payer_named", {"payer": hex0x(b"\7" * 20)}),
    ],
    ids=lambda wrong: wrong.name,
)
async def test_by_a_receipt_that_does_not_hold_nobody_owes(exploring: Any, wrong: TokenWrong) -> None:
    """What is objected to says nothing about who owes."""
    answer, _ = logged(exploring.net, wrong)
    await exploring.witness()
    found = await money(exploring, answer)
    assert found.settled == "unknown"
    assert found.sentence.endswith("the receipt is objected to, so nobody is believed by it.")


async def test_tokens_of_an_issuer_that_the_log_does_not_know(exploring: Any) -> None:
    """No key set stands in the log: whoever signed them is not named."""
    net = exploring.net
    terms = offer(net)
    net.add(price_offer(net, terms))
    answer = token_answer(net, terms, keys_of_issuer(net))
    net.add(answer.entry)
    await exploring.witness()
    found = await money(exploring, answer)
    assert "Issuer" not in found.sentence
    assert found.sentence.startswith("What the issuer of the tokens owes for this cannot be said here: ")


async def test_before_a_quorum_covers_it_nobody_owes_by_it(exploring: Any) -> None:
    """In the log alone it is the node's word, and nobody looked at the tokens."""
    await exploring.witness()
    answer, _ = logged(exploring.net)
    await exploring.watch.tail.poll()
    found = await money(exploring, answer)
    assert found.settled == "unknown"
    assert found.sentence.endswith("cannot be said here yet: no quorum of full nodes covers this receipt.")


async def test_an_answer_that_cost_nothing_leaves_nothing_to_settle(exploring: Any) -> None:
    """The tokens all came back."""
    net = exploring.net
    terms, keys = offer(net, prices=(Price(net.card.label, image=5),)), keys_of_issuer(net)
    net.register(net.issuer)
    net.add(issuer_epoch(net, keys))
    net.add(price_offer(net, terms))
    answer = token_answer(net, terms, keys)
    net.add(answer.entry)
    await exploring.witness()
    found = await money(exploring, answer)
    assert (answer.payment.charged, found.settled) == ("0", "nothing")
    assert "nothing to settle" in found.sentence
