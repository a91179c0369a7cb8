"""Every part that a saved receipt may leave out: there, left out, and with something contrary in its place.

Left out is not contrary: a mark may stand lower without a part and has to say what is not shown, but it fails
only when a part is there and does not hold. Both verifiers are held to these rows.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import InputRecord, UpstreamRecord
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Question
from hallmark.core.merkle import inclusion_proof
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.testing.payments import (
    issuer_epoch,
    keys_of_issuer,
    offer,
    paid_answer,
    price_offer,
    token_answer,
)
from hallmark.verification.dossier import Anchor, Dossier, LoggedPart, RequestCopy, ResponseCopy, Salts
from hallmark.verification.tree import root_of
from hallmark.verification.trust import AnchorContract, Trust

replace = msgspec.structs.replace
Change = Callable[[Dossier], Dossier]
CONTRACT = "0x" + "aa" * 20
PROVIDER = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")


class Row(NamedTuple):
    """One part: the mark that speaks of it, the file without it, in which state and with which words the mark
    then stands, the file with something contrary in its place, and the reason why the mark then fails.
    """

    part: str
    question: Question
    without: Change
    state: str
    says: str
    contrary: Change
    reason: str


class Withheld:
    """Three answers with everything that a file can hold: one by an artifact, paid for from the vault, one
    that tokens paid for, and one by a provider.
    """

    def __init__(self, net: LittleNetwork) -> None:
        self.net, self.notary = net, Notary(net)
        records = (InputRecord("tool", hex0x(b"\x01" * 32), "client"),)
        root = root_of(record.encode() for record in records)
        terms = offer(net)
        net.add(price_offer(net, terms))
        self._answer = paid_answer(net, terms, inputs=records, inputs_root=root)
        net.register(net.issuer)
        keys = keys_of_issuer(net)
        net.add(issuer_epoch(net, keys))
        tokened = token_answer(net, terms, keys)
        tokened_at = net.add(tokened.entry)
        provided = net.answer(net.nodes[0], upstream_record=PROVIDER)
        self._other = net.answer(net.nodes[1])
        at = net.add(self._answer.entry)
        self.at, self._provided_at = at, net.add(provided.entry)
        self._other_at = net.add(self._other.entry)
        self.reviewed_at = net.add(net.review(net.reviewers[0], at))
        self._foreign = net.add(net.review(net.reviewers[0], self._other_at))
        self.whole = self._followed(self.notary.dossier(self._answer, at, reviews=[self.reviewed_at]), at)
        self.tokened = self.notary.dossier(tokened, tokened_at)
        self.provided = self.notary.dossier(provided, self._provided_at)

    def trust(self, trust: Trust) -> Trust:
        """The trust file with the contract that the anchor names."""
        return replace(trust, anchor=AnchorContract(CONTRACT, self.net.genesis.chain_id))

    def rows(self) -> Iterator[Row]:
        """A row for each part of a file about an artifact's answer."""
        yield from self._of_ran()
        yield from self._of_model_and_route()
        yield from self._of_paid()
        yield from self._of_the_log()
        yield from self._of_reviews()

    # fmt: off
    def _of_ran(self) -> Iterator[Row]:
        other, ran = self.net.nodes[1], Question.RAN
        evidence = base64.b64encode(other.evidence.encode()).decode() if other.evidence else ""
        asked, said = self.whole.salts.request, self.whole.salts.response
        yield Row("request", ran, put(request=None, salts=Salts(None, said)), "witnessed",
                  "the request was not compared", put(request=RequestCopy("/x", "{}")), "request_mismatch")
        yield Row("response", ran, put(response=None, salts=Salts(asked, None)), "witnessed",
                  "the response was not compared", put(response=ResponseCopy("8")), "response_mismatch")
        yield Row("salts", ran, put(request=None, response=None, salts=Salts()), "witnessed",
                  "its owner's to show", put(salts=Salts(hex0x(ZERO32), said)), "request_mismatch")
        yield document("bundle", ran, "", "claimed", says="its key bundle is not shown")
        yield document("parameters", ran, None, "witnessed", says="its parameters are not shown")
        yield document("configuration", ran, None, "claimed", says="its configuration is not shown")
        yield Row("insecure", ran, put(insecure=()), "witnessed", "ran this in",
                  put(insecure=("no-seccomp",)), "insecure_mismatch")
        yield Row("evidence", ran, put(evidence=None), "claimed", "its evidence is not shown",
                  put(evidence=evidence), "registration_mismatch")
        yield Row("registration", ran, put(registration=None), "checked", "registration is not proven here",
                  put(registration=self.notary.part(other.registered)), "registration_mismatch")

    def _of_model_and_route(self) -> Iterator[Row]:
        model, route, ticket = Question.MODEL, Question.ROUTE, self.whole.ticket or ""
        yield document("manifest", model, None, "claimed", says="its manifest is not shown")
        yield Row("version", model, put(version=None), "checked", "the label's version is not proven here",
                  put(version=self.notary.part(0)), "version_mismatch")
        yield document("route", route, "", "claimed", says="its route record is not shown")
        yield document("candidates", route, None, "claimed", says="candidates of its ticket are not shown")
        yield Row("ticket", route, put(ticket=None), "claimed", "its route ticket is not shown",
                  put(ticket=ticket[:-4] + "001b"), "ticket_unsigned")
        yield Row("inputs", Question.INPUTS, put_document(inputs=()), "claimed", "records are not shown",
                  put_document(inputs=("{}",)), "inputs_mismatch")

    def _of_paid(self) -> Iterator[Row]:
        paid, signed = Question.PAID, self.whole.payment_authorization or ""
        yield Row("payment", paid, put_document(payment=None), "claimed", "payment record is not shown",
                  put_document(payment="{}"), "payment_record_other")
        yield Row("offer", paid, put_document(offer=None), "claimed", "the offer that it names is not shown",
                  put_document(offer="{}"), "offer_mismatch")
        yield Row("payment_authorization", paid, put(payment_authorization=None), "claimed",
                  "the payer's authorization is not shown",
                  put(payment_authorization=signed[:-4] + "AAA="), "authorization_unsigned")

    def _of_the_log(self) -> Iterator[Row]:
        proved, unknown = Question.PROVED, "No full node's check of this receipt is known here"
        yield Row("entry", proved, put(entry=None), "absent", unknown,
                  put(entry=self.notary.part(self._other_at)), "entry_mismatch")
        yield Row("proof", proved, put_entry(proof=None, after=None), "absent", unknown,
                  put_entry(index=self.at + 1), "proof_invalid")
        yield Row("after", proved, put_entry(after=None), "witnessed", "does not rule out",
                  put_entry(after=()), "after_mismatch")
        yield Row("anchor", proved, put(anchor=None), "witnessed", "every log entry below",
                  lambda d: replace(d, anchor=d.anchor and replace(d.anchor, root=hex0x(ZERO32))),
                  "anchor_mismatch")

    def _of_reviews(self) -> Iterator[Row]:
        foreign = put(reviews=(self.notary.part(self._foreign),))
        yield Row("reviews", Question.REVIEWED, put(reviews=()), "absent",
                  "No judgement of this answer is known here", foreign, "review_subject")
        # What a review's distance from the answer is judged by: without it, a review is not counted.
        without = {"entry": put(entry=None), "ticket": put(ticket=None), "bundle": put_document(bundle=""),
                   "route": lambda d: put(ticket=None)(put_document(route="")(d))}
        for part, change in without.items():
            yield Row(f"{part} of a reviewed answer", Question.REVIEWED, change, "absent",
                      "were not counted", foreign, "review_subject")

    def token_rows(self) -> Iterator[Row]:
        """A row for each part that only an answer has that tokens paid for."""
        paid = Question.PAID
        yield Row("issuer_keys", paid, put_document(issuer_keys=None), "claimed",
                  "the issuer's keys are not shown", put_document(issuer_keys="{}"), "token_keys_mismatch")
        yield Row("payment_authorization", paid, put(payment_authorization=None), "claimed",
                  "the payer's authorization is not shown",
                  put(payment_authorization="AAAA"), "authorization_other")

    def provider_rows(self) -> Iterator[Row]:
        """A row for each part that only a provider's answer has."""
        yield document("upstream", Question.MODEL, None, "claimed", says="asserted by that provider alone")
        yield document("upstream", Question.ROUTE, None, "witnessed", says="upstream provider")
        yield document("bundle", Question.RAN, "", "claimed", says="passed this on")
    # fmt: on

    def _followed(self, dossier: Dossier, index: int) -> Dossier:
        size, root = self.net.beacon()
        after = tuple(base64.b64encode(leaf).decode() for leaf in self.net.leaves[index + 1 :])
        path = tuple(hex0x(s) for s in inclusion_proof(index, size, self.net.tree.node))
        anchor = Anchor(self.net.genesis.chain_id, CONTRACT, hex0x(ZERO32), 7, size, hex0x(root), 2, path)
        return replace(put_entry(after=after)(dossier), anchor=anchor)


def put(**changes: Any) -> Change:
    """A change of a file's own members."""
    return lambda dossier: replace(dossier, **changes)


def put_document(**changes: Any) -> Change:
    """A change among a file's documents."""
    return lambda dossier: replace(dossier, documents=replace(dossier.documents, **changes))


def put_entry(**changes: Any) -> Change:
    """A change of the receipt's log entry."""

    def change(dossier: Dossier) -> Dossier:
        entry: LoggedPart | None = dossier.entry
        return replace(dossier, entry=entry and replace(entry, **changes))

    return change


def document(name: str, question: Question, none: Any, state: str, *, says: str) -> Row:
    """The row of a document: left out as `none`, contrary as an empty object."""
    contrary = put_document(**{name: "{}"})
    return Row(name, question, put_document(**{name: none}), state, says, contrary, f"{name}_mismatch")
