"""A receipt as the story's chapters read it, and what they look up beside it."""

from __future__ import annotations

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import Candidates, EnclaveConfiguration, Manifest, RouteRecord
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.names import shown_name
from hallmark.core.receipt import Receipt
from hallmark.core.registry import Member
from hallmark.core.statements import Role
from hallmark.core.upstreams import host_of
from hallmark.services.following.followed_log import FollowedLog
from hallmark.services.following.mark_deriver import Logged
from hallmark.services.following.pending_receipts import PendingReceipt
from hallmark.verification.attested import Attested
from hallmark.verification.judged_receipt import DIRECT, ParsedTicket


class ReceiptContext(msgspec.Struct, frozen=True):
    """One receipt: id (32 bytes), place in the folded log (-1: no quorum covers it yet; `said` is then the
    place that the log itself gives), admission time (unix ms).
    """

    id: bytes
    index: int
    said: int
    admitted: int
    entry: Entry
    receipt: Receipt

    @property
    def asserted(self) -> bool:
        """True when an upstream provider answered, so that no artifact of the network ran."""
        return self.receipt.artifact == ZERO32


def of_logged(logged: Logged) -> ReceiptContext:
    """A receipt of the folded log."""
    return ReceiptContext(
        logged.id, logged.index, logged.index, logged.admitted, logged.entry, logged.receipt
    )


def of_pending(pending: PendingReceipt) -> ReceiptContext:
    """A receipt of the tail."""
    return ReceiptContext(pending.id, -1, pending.position, pending.admitted, pending.entry, pending.receipt)


def route_record(told: ReceiptContext) -> RouteRecord | None:
    """The record that the receipt commits to; None when it is not beside it or cannot be read."""
    data = _attachment(told, 0)
    if digest_of(RouteRecord, data) != told.receipt.route:
        return None
    try:
        return RouteRecord.decode(data)
    except HallmarkError:
        return None


def candidates(told: ReceiptContext, passage: ParsedTicket | None) -> Candidates | None:
    """Who was offered and who was left out, as the ticket commits to it."""
    if passage is None or passage.candidates is None:
        return None
    try:
        return Candidates.decode(_attachment(told, 1))
    except HallmarkError:
        return None


def passage_of(watch: FollowedLog, told: ReceiptContext, record: RouteRecord | None) -> ParsedTicket | None:
    """The ticket that the route record names, signed by the gateway that it names; None otherwise."""
    if record is None or record.ticket == DIRECT:
        return None
    replica = watch.replica
    found = replica.memory.passage(_attachment(told, 2), _attachment(told, 1), replica.genesis.chain_id)
    if found is None or found.hash_hex != record.ticket or found.signer != found.ticket.gateway:
        return None
    return found


def attested(watch: FollowedLog, told: ReceiptContext) -> Attested | None:
    """What was registered behind the receipt's key bundle."""
    return watch.replica.memory.attested.get((told.receipt.node, told.receipt.bundle))


def manifest(watch: FollowedLog, told: ReceiptContext) -> Manifest | None:
    """The logged manifest that the receipt names."""
    known = watch.replica.registry.manifests.get(told.receipt.manifest)
    return known[1] if known else None


def configuration(watch: FollowedLog, told: ReceiptContext) -> EnclaveConfiguration | None:
    """The enclave's configuration, where it is known here."""
    data = watch.configurations.of(told.receipt)
    return EnclaveConfiguration.decode(data) if data else None


def label(watch: FollowedLog, told: ReceiptContext) -> str:
    """The label that was asked for: the manifest's, or for a provider's answer the ticket's; "" when nothing
    in the log says so. For a provider's answer it is an assertion, see `asserted_by`.
    """
    if not told.asserted:
        known = manifest(watch, told)
        return known.label if known else ""
    passage = passage_of(watch, told, route_record(told))
    offered = candidates(told, passage)
    return offered.model if offered else ""


def asserted_by(watch: FollowedLog, told: ReceiptContext) -> str:
    """Who asserts which model answered, for an upstream's answer; "" when an artifact answered."""
    if not told.asserted:
        return ""
    known, asked = configuration(watch, told), label(watch, told)
    url = known.upstreams.get(asked, "") if known else ""
    return host_of(url) or "an upstream provider"


def name_of(member: Member | None) -> str:
    """What a registered party calls itself; "" for one that gives no name, or one that claims something."""
    return shown_name(member.profile.name) if member is not None and member.profile is not None else ""


def called(watch: FollowedLog, member: Member | None) -> str:
    """What a party calls itself; of a node, whose registration has no name, what the operator calls it."""
    own = name_of(member)
    if own or member is None or member.role is not Role.NODE:
        return own
    return shown_name(watch.names.get(member.owner, ""))


def gateway_of(passage: ParsedTicket | None) -> str:
    """The gateway's address; "" when there is no ticket."""
    return hex0x(passage.ticket.gateway) if passage else ""


def _attachment(told: ReceiptContext, at: int) -> bytes:
    attachments = told.entry.attachments
    return attachments[at] if at < len(attachments) else b""
