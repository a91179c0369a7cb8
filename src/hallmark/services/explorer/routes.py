"""The way of a request as the log holds it: the node's record, the gateway's ticket and its candidates."""

from __future__ import annotations

from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import RouteRecord
from hallmark.core.evidence import Assurance
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Mode
from hallmark.services.explorer import wording
from hallmark.services.explorer.receipt_context import (
    ReceiptContext,
    asserted_by,
    called,
    candidates,
    gateway_of,
    name_of,
    passage_of,
    route_record,
)
from hallmark.services.explorer.shared_views import Hop, Left, RouteView
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.judged_receipt import DIRECT, ParsedTicket

EXPOSED: Final = {
    Assurance.HARDWARE: "",
    Assurance.SIMULATED: "simulated hardware",
    Assurance.NONE: "no evidence of its enclave",
}
"""Why the host of an enclave could read what the enclave reads."""
UNKNOWN = RouteView(False, "", (), (), ())


def route(watch: FollowedLog, told: ReceiptContext) -> RouteView:
    """Hops in order, who was offered, who was left out or failed before. Unknown without the record that the
    receipt commits to.
    """
    record = route_record(told)
    if record is None:
        return UNKNOWN
    passage = passage_of(watch, told, record)
    offered = candidates(told, passage)
    tried = [
        Left(a.node, a.outcome, wording.routing(a.outcome), True)
        for a in record.attempts
        if a.outcome != "answered"
    ]
    left = [Left(e.node, e.reason, wording.routing(e.reason)) for e in offered.excluded] if offered else []
    return RouteView(
        True,
        record.path,
        _hops(watch, told, record, passage),
        tuple(c.node for c in offered.candidates) if offered else (),
        (*tried, *left),
        "" if record.ticket == DIRECT else record.ticket,
    )


def saw_prompt(watch: FollowedLog, told: ReceiptContext) -> tuple[Hop, ...]:
    """Who handled the prompt in clear, the client apart."""
    return tuple(hop for hop in route(watch, told).hops if hop.saw and hop.role != "client")


def _hops(
    watch: FollowedLog, told: ReceiptContext, record: RouteRecord, passage: ParsedTicket | None
) -> tuple[Hop, ...]:
    saw, members = set(record.saw_prompt), watch.replica.registry.members
    hops = [Hop("client", "", "whoever asked", True)]
    if passage is not None or "gateway" in saw:
        gateway = gateway_of(passage)
        named = name_of(members.get(unhex(gateway))) if gateway else "a gateway that no ticket names"
        hops.append(Hop("gateway", gateway, named, "gateway" in saw))
    node = hex0x(told.receipt.node)
    named = called(watch, members.get(told.receipt.node))
    # Without an enclave the node's host itself is what the record calls the enclave.
    bare = told.receipt.mode == Mode.VANILLA
    known = watch.replica.memory.attested.get((told.receipt.node, told.receipt.bundle))
    vouched = known.evidence.assurance if known is not None and known.evidence is not None else Assurance.NONE
    hops.append(Hop("node", node, named, "node" in saw or (bare and "enclave" in saw), EXPOSED[vouched]))
    if "enclave" in saw and not bare:
        hops.append(Hop("enclave", hex0x(told.receipt.bundle), "", True))
    if told.receipt.upstream != ZERO32:
        hops.append(Hop("upstream", "", asserted_by(watch, told) or "an upstream provider", True))
    return tuple(hops)
