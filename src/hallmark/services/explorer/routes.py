"""The way of a request as the log holds it: the node's record, the gateway's ticket and its candidates."""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidates, RouteRecord
from hallmark.core.evidence import Assurance
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Mode
from hallmark.core.sealing import relay_address
from hallmark.routing.steering import Doubt, Seen, steering
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
from hallmark.services.explorer.shared_views import Hop, Left, RouteView, SealedView
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.judged_receipt import DIRECT, ParsedTicket

EXPOSED: Final = {
    Assurance.HARDWARE: "",
    Assurance.SIMULATED: "simulated hardware",
    Assurance.NONE: "no evidence of its enclave",
}
"""Why the host of an enclave could read what the enclave reads."""
NOT_NAMED: Final = "The ticket does not name it."
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
    left = _left(watch, offered, passage) if offered and passage else []
    sealed = None if record.sealed is msgspec.UNSET else SealedView(*msgspec.structs.astuple(record.sealed))
    return RouteView(
        True,
        record.path,
        _hops(watch, told, record, passage),
        tuple(c.node for c in offered.candidates) if offered else (),
        (*tried, *left),
        "" if record.ticket == DIRECT else record.ticket,
        sealed,
    )


def _left(watch: FollowedLog, offered: Candidates, passage: ParsedTicket) -> list[Left]:
    """Who was left out, with what the log says to the reason; and who should be named and is not."""
    seen = Seen(passage.ticket.issued, passage.ticket.beacon_size, offered)
    doubts = {each.node: each.doubt for each in steering([seen], watch.replica.registry)}
    left = [
        Left(e.node, e.reason, wording.routing(e.reason), doubt=_told(doubts.get(e.node)))
        for e in offered.excluded
    ]
    named = {e.node for e in offered.excluded} | {e.node for e in offered.candidates}
    unnamed = [(node, doubt) for node, doubt in doubts.items() if node not in named]
    return [*left, *(Left(node, "unnamed", NOT_NAMED, doubt=_told(doubt)) for node, doubt in unnamed)]


def _told(doubt: Doubt | None) -> str:
    return doubt.sentence if doubt else ""


def saw_prompt(watch: FollowedLog, told: ReceiptContext) -> tuple[Hop, ...]:
    """Who handled the prompt in clear, the client apart."""
    return tuple(hop for hop in route(watch, told).hops if hop.saw and hop.role != "client")


def _hops(
    watch: FollowedLog, told: ReceiptContext, record: RouteRecord, passage: ParsedTicket | None
) -> tuple[Hop, ...]:
    saw, members = set(record.saw_prompt), watch.replica.registry.members
    sealed = record.sealed
    hops = [Hop("client", "", "whoever asked", True)]
    if sealed is not msgspec.UNSET:
        address = relay_address(sealed.relay)
        unnamed = "named by the client, but by no address" if sealed.relay else "not named by the client"
        named = f"{address}, by the client's word" if address else unnamed
        sees = f"saw an address, a size class of {sealed.size} bytes and a time"
        hops.append(Hop("relay", "", named, False, sees=sees))
    if passage is not None or "gateway" in saw:
        gateway = gateway_of(passage)
        named = name_of(members.get(unhex(gateway))) if gateway else "a gateway that no ticket names"
        aside = sealed is not msgspec.UNSET
        sees = "saw a route request and not the prompt" if aside else ""
        hops.append(Hop("gateway", gateway, named, "gateway" in saw, sees=sees, beside=aside))
    node = hex0x(told.receipt.node)
    named = called(watch, members.get(told.receipt.node))
    known = watch.replica.memory.attested.get((told.receipt.node, told.receipt.bundle))
    vouched = known.evidence.assurance if known is not None and known.evidence is not None else Assurance.NONE
    # Without an enclave the node's host itself is what the record calls the enclave. It is taken to be so,
    # too, where the bundle that says what confines the node is not known here.
    bare = known is None or known.bundle.mode == Mode.VANILLA
    carried = "" if sealed is msgspec.UNSET else "carried ciphertext"
    clear = "node" in saw or (bare and "enclave" in saw)
    hops.append(Hop("node", node, named, clear, EXPOSED[vouched], carried))
    if "enclave" in saw and not bare:
        hops.append(Hop("enclave", hex0x(told.receipt.bundle), "", True))
    if told.receipt.upstream != ZERO32:
        hops.append(Hop("upstream", "", asserted_by(watch, told) or "an upstream provider", True))
    return tuple(hops)
