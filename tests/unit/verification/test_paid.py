"""The mark `paid` of a saved receipt: what was bought, or that nobody pays; what does not hold is refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.answer import join_hallmark
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.entries import Entry
from hallmark.core.marks import Mark, Question, State, derive_marks
from hallmark.core.money import FreeUse, Offer, Price
from hallmark.core.policy import Outcome, evaluate
from hallmark.services.sdk.receipts import grown
from hallmark.testing.answers import PATH, REQUEST, RESPONSE
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.testing.paid_cases import WRONGS, Wrong, changed_fields, logged
from hallmark.testing.payments import ASSET, free_answer, offer, paid_answer, price_offer
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification import payment_wording
from hallmark.verification.answer_parser import open_answer
from hallmark.verification.dossier import Dossier
from hallmark.verification.live import Inclusion, live_findings
from hallmark.verification.offline import verify_dossier
from hallmark.verification.trust import Trust, read_trust

replace = msgspec.structs.replace
VECTORS = Path(__file__).parents[2] / "vectors" / "payments.json"
EARLY: dict[str, Any] = {"entry": None, "registration": None, "version": None}


@functools.cache
def scene() -> tuple[LittleNetwork, Notary, Dossier, Dossier]:
    """A network with an offer, a paid answer's file and a free one's."""
    net = LittleNetwork()
    notary, terms = Notary(net), offer(net, free=FreeUse(64, 64))
    net.add(price_offer(net, terms))
    made = [make(net, terms) for make in (paid_answer, free_answer)]
    places = [net.add(answer.entry) for answer in made]
    paid, free = (notary.dossier(answer, at) for answer, at in zip(made, places, strict=True))
    return net, notary, paid, free


def mark(dossier: Dossier, trust: Trust | None = None, now: int = 0) -> Mark:
    """The mark `paid` of a file, after a way through its bytes."""
    net, notary, *_ = scene()
    trust = trust or notary.trust()
    found = verify_dossier(
        Dossier.parse(dossier.encode()), trust, now or net.now,
        verify_evidence=verify_stub_evidence, verify_proof=proof_verifier(trust),
    )  # fmt: skip
    return found.marks[Question.PAID]


def test_a_paid_answer_says_what_was_bought_and_what_was_not() -> None:
    """Payer, payee, asset, prices, tokens, sums, offer, rail and request; as high as its parts reach."""
    _, _, paid, _ = scene()
    witnessed, checked = mark(paid), mark(replace(paid, **EARLY))
    assert (witnessed.state, checked.state) == (State.WITNESSED, State.CHECKED)
    detail = witnessed.detail
    assert (detail["shown"], detail["charged"], detail["reserved"]) == ("0.000003 DEV", "3", "43")
    assert detail["rail"] == "vault"
    assert detail["development"] == "yes"
    for said in ("7 tokens in at 0.15 DEV a million", "development money, worth nothing", "no proof"):
        assert said in witnessed.shows
    assert "signed this offer is not shown here" in checked.shows
    assert "signed this offer" not in witnessed.shows
    assert witnessed.does_not_show == "Does not say that the answer is good or that anything was proved."


def test_nobody_pays_by_an_offer_and_never_by_a_record_alone() -> None:
    """Not required by the offer that is shown; without it the node's word alone, and no policy takes either
    for a payment.
    """
    _, _, _, free = scene()
    found = mark(free)
    assert (found.state, found.by) == (State.NOT_REQUIRED, "4 of 4 full nodes")
    assert found.shows.startswith("Not required, according to 4 of 4 full nodes: nobody is charged")
    early = mark(replace(free, **EARLY))
    assert (early.state, early.by) == (State.NOT_REQUIRED, "this verifier")
    hidden = mark(replace(free, documents=replace(free.documents, offer=None)))
    assert (hidden.state, hidden.by) == (State.CLAIMED, "the node")
    others = tuple(question.value for question in Question if question is not Question.PAID)
    needs = ClearingPolicy("p", 1, (Requirement("paid", "claimed"),), others)
    marks = {q: replace(found, question=q) for q in Question}
    assert evaluate(needs, marks, 1).outcome is Outcome.HOLD


@pytest.mark.parametrize("wrong", WRONGS, ids=[wrong.name for wrong in WRONGS])
def test_what_an_enclave_signs_wrongly_is_refused_alike(wrong: Wrong) -> None:
    """The offline verifier fails the mark with the reason that full nodes log."""
    net = LittleNetwork()
    answer, index = logged(net, wrong)
    notary = Notary(net)
    found = mark(replace(notary.dossier(answer, index), **EARLY), notary.trust())
    assert (found.state, found.reason) == (State.FAILED, wrong.reason)
    if wrong.reason != "offer_of_another":
        assert net.replica().failures(index) == (wrong.reason,)


def test_every_field_of_record_offer_and_authorization_counts() -> None:
    """A saved receipt in which one of them reads otherwise fails, whatever else it brings."""
    net, _, paid, free = scene()
    made = paid_answer(net, offer(net))
    assert isinstance(made.offer, Offer)
    assert made.payment is not None
    base = replace(Notary(net).dossier(made, None))
    assert mark(base).state is State.CHECKED
    changes = list(changed_fields(made.payment, made.offer, made.authorization))
    assert len(changes) == 17 + 9 + 6 + 7 + 2
    for name, reason, change in changes:
        found = mark(change(base))
        assert (name, found.state, found.reason) == (name, State.FAILED, reason)
    for dossier in (paid, free):
        documents = replace(dossier.documents, payment=(dossier.documents.payment or "") + " ")
        assert mark(replace(dossier, documents=documents)).reason == "payment_record_other"
    with_word = replace(free, payment_authorization=paid.payment_authorization, **EARLY)
    assert mark(with_word).reason == "authorization_other"


def test_vectors_of_payments() -> None:
    """What the browser's verifier is held to as well (web/test/verify-payments.test.ts)."""
    vectors = json.loads(VECTORS.read_text())
    trust = read_trust(vectors["trust"])
    for case in vectors["cases"]:
        changes = dict(case["changes"])
        changes["documents"] = vectors["base"]["documents"] | changes.get("documents", {})
        dossier = msgspec.json.encode(vectors["base"] | changes)
        found = mark(Dossier.parse(dossier), trust, vectors["now"])
        assert (found.state.value, found.reason) == (case["state"], case["reason"]), case["name"]


def test_an_answer_brings_its_payment_along() -> None:
    """The receipt's object on an answer becomes the log's entry, and its owner's file, with all three."""
    net, _, paid, free = scene()
    for saved in (paid, free):
        told = {
            "id": saved.id,
            "receipt": saved.receipt,
            "signature": saved.signature,
            "salts": saved.salts,
            "documents": saved.documents,
            "ticket": saved.ticket,
            "payment_authorization": saved.payment_authorization,
            "chain_id": saved.chain_id,
        }
        parsed = open_answer(join_hallmark(RESPONSE, msgspec.json.encode(told)))
        assert saved.entry is not None
        assert parsed.entry == saved.entry.entry().encode()
        mine = parsed.dossier(PATH, REQUEST)
        assert mine.documents == saved.documents
        assert mine.payment_authorization == saved.payment_authorization
        lacking = replace(mine, documents=replace(mine.documents, offer=None), payment_authorization=None)
        merged = grown(lacking, saved)
        assert (merged.documents.offer, merged.payment_authorization) == (
            saved.documents.offer,
            saved.payment_authorization,
        )
    assert net.replica().failures(paid.entry.index if paid.entry else -1) == ()


def test_money_without_a_record_and_a_record_without_money() -> None:
    """Charged without a record, and a record beside a receipt that commits to none."""
    net, notary, paid, _ = scene()
    lone = net.answer(net.nodes[0], charged=1, advance=False)
    assert mark(notary.dossier(lone, None)).reason == "payment_record_absent"
    plain = notary.dossier(net.answer(net.nodes[0], advance=False), None)
    assert mark(plain).state is State.ABSENT
    for documents in ({"payment": paid.documents.payment}, {"offer": paid.documents.offer}):
        beside = replace(plain, documents=replace(plain.documents, **documents))
        assert mark(beside).reason == "payment_record_other"


def test_a_follower_of_the_log_says_the_same() -> None:
    """What an explorer derives from the log's entry, with and without a verified checkpoint."""
    net, _, paid, free = scene()
    replica = net.replica()
    for dossier, states in ((paid, ("checked", "witnessed")), (free, ("not_required", "not_required"))):
        assert dossier.entry is not None
        entry: Entry = dossier.entry.entry()
        size, root = net.beacon()
        covering = Inclusion(size, root, ("a", "b", "c"), 4, net.now)
        for inclusion, state in zip((None, covering), states, strict=True):
            found = derive_marks(
                live_findings(
                    replica, dossier.entry.index, entry, inclusion, by="this explorer", now=net.now,
                    configuration=(dossier.documents.configuration or "").encode(),
                )
            )[Question.PAID]  # fmt: skip
            assert found.state.value == state
            assert found.detail["offer"] == mark(dossier).detail["offer"]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "1,234.567 DEV"),
        ({"decimals": 0}, "1,234,567,000 DEV"),
        ({"decimals": 18}, "0.000000001234567 DEV"),
        ({"symbol": "money that is guaranteed"}, "1234567000 atomic units of token 0x111111...1111"),
        ({"symbol": ""}, "1234567000 atomic units of token 0x111111...1111"),
        ({"decimals": -3}, "1234567000 atomic units of token 0x111111...1111"),
        ({"decimals": 19}, "1234567000 atomic units of token 0x111111...1111"),
    ],
)
def test_amounts_are_shown_whole_and_symbols_are_no_sentences(changes: dict[str, Any], shown: str) -> None:
    """Never rounded; what an owner wrote as a symbol is shown only where it can be one."""
    assert payment_wording.amount(1_234_567_000, replace(ASSET, **changes)) == shown


def test_each_way_of_pricing_has_words() -> None:
    """Tokens, images, seconds, calls."""
    net = LittleNetwork()
    record = paid_answer(net, offer(net)).payment
    assert record is not None
    price = Price("digits", 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)
    assert payment_wording.prices(record, price) == (
        "7 tokens in at 1.00 DEV a million, 2 tokens out at 2.00 DEV a million, 0 images at 3.00 DEV each, "
        "0 ms at 4.00 DEV for each second begun, one call at 5.00 DEV"
    )
    assert payment_wording.prices(record, Price("digits")) == "nothing that is counted"
