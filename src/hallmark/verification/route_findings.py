"""What a dossier establishes about the route: who saw the request, and who was offered it."""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.core.document import hex0x
from hallmark.core.documents import RouteRecord
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Finding, Question
from hallmark.verification import route_wording, wording
from hallmark.verification.examination import (
    Examination,
    committed,
    failure,
    require,
)
from hallmark.verification.judged_entry import SKEW_MS
from hallmark.verification.judged_receipt import DIRECT, ParsedTicket, parse_ticket
from hallmark.verification.mark_ladder import claimed, ladder, registered, upstream_record
from hallmark.verification.outcome import OK
from hallmark.verification.proving import sound
from hallmark.verification.sealed_rules import record_reason, sealed_reason


def route(exam: Examination) -> Iterable[Finding]:
    """Who saw the request, and that a gateway of the trust file offered this node."""
    receipt, documents = exam.receipt, exam.dossier.documents
    if not documents.route:
        if exam.dossier.ticket is not None:
            _passage(exam, None)
        return [claimed(exam, Question.ROUTE, receipt.route, {"what": wording.NOT_SHOWN["route"]})]
    record = committed(RouteRecord, documents.route, receipt.route, "route_mismatch")
    against_bundle = record.path == "sealed" and exam.shows_bundle
    reason = sealed_reason(record, exam.bundle, receipt) if against_bundle else record_reason(record, receipt)
    require(reason == OK, reason)
    require(record.chosen == hex0x(receipt.node), "route_other_node")
    passage, hidden = None, ""
    if record.ticket == DIRECT:
        entry = sound(lambda: exam.entry)
        none = entry is None or not any(entry.entry.attachments[1:])
        require(none and exam.dossier.ticket is None and documents.candidates is None, "ticket_mismatch")
    elif exam.dossier.ticket is None:
        hidden = "ticket"
    else:
        passage = _passage(exam, record)
        hidden = "" if documents.candidates is not None else "candidates"
    lacks = [] if exam.shows_bundle or record.path != "sealed" else [wording.NOT_SHOWN["bundle"]]
    lacks += [wording.NOT_SHOWN[hidden]] if hidden else []
    gateway = passage.ticket.gateway if passage else None
    upstream = ""
    if receipt.upstream != ZERO32:
        shown = upstream_record(exam)
        upstream = shown.provider if shown else wording.PROVIDER
    offered = len(passage.candidates or ()) if passage else 0
    told = route_wording.route(record, route_wording.Party(gateway, offered, upstream, exam.assurance))
    detail = {"what": "; ".join([told, *lacks]), **route_wording.detail(record, gateway)}
    if lacks:
        return [claimed(exam, Question.ROUTE, receipt.route, detail)]
    return ladder(exam, Question.ROUTE, receipt.route, detail, rests_on=registered(exam))


def _passage(exam: Examination, record: RouteRecord | None) -> ParsedTicket:
    """The ticket behind a route record, if that is shown: signed by a gateway of the trust file, valid,
    naming this node.
    """
    candidates = (exam.dossier.documents.candidates or "").encode()
    passage = parse_ticket(exam.ticket_bytes(), candidates, exam.trust.chain_id)
    if passage is None or (record is not None and passage.hash_hex != record.ticket):
        raise failure("ticket_mismatch")
    ticket, receipt = passage.ticket, exam.receipt
    require(ticket.network == receipt.network, "wrong_network")
    require(passage.signer == ticket.gateway, "ticket_unsigned")
    require(hex0x(ticket.gateway) in exam.trust.gateways, "gateway_not_registered")
    require(ticket.issued <= receipt.started + SKEW_MS, "ticket_expired")
    require(receipt.started <= ticket.expires + SKEW_MS, "ticket_expired")
    if passage.candidates is None:
        require(exam.dossier.documents.candidates is None, "candidates_mismatch")
        return passage
    require(receipt.node in passage.candidates, "node_not_candidate")
    require(passage.candidates[receipt.node] == receipt.bundle, "candidate_bundle")
    return passage
