"""Registered parties: nodes, gateways, full nodes, reviewers; each with what the log holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hallmark.core.document import hex0x
from hallmark.core.entries import Kind
from hallmark.core.errors import NotFound
from hallmark.core.registry import Member
from hallmark.core.statements import Role
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.entries import words_of
from hallmark.services.explorer.receipt_context import called
from hallmark.services.explorer.shared_views import Fact, Moment
from hallmark.services.explorer.views import NodeRow, Nodes
from hallmark.services.following.followed_log import FollowedLog

MOMENTS: Mapping[Kind, str] = {
    Kind.COMPROMISE: "revoked",
    Kind.RETIREMENT: "revoked",
    Kind.FAULT: "objected",
    Kind.VERDICT: "objected",
    Kind.REVIEW: "reviewed",
    Kind.OUTCOME: "reviewed",
}


def member_of(watch: FollowedLog, key: bytes) -> Member:
    """The party of this key. Raises NotFound `unknown_node`."""
    found = watch.replica.registry.members.get(key)
    if found is None:
        raise NotFound("unknown_node", "No party of this key is registered.", "/explore/nodes lists all.")
    return found


def listed(watch: FollowedLog, receipts: Mapping[bytes, int]) -> Nodes:
    """Every party, in the order in which they joined; `receipts` counts those of each node."""
    members = sorted(watch.replica.registry.members.values(), key=lambda m: m.valid.since)
    rows = tuple(row(watch, member, receipts.get(member.key, 0)) for member in members)
    return Nodes(len(rows), "", watch.replica.size, rows)


def row(watch: FollowedLog, member: Member, receipts: int) -> NodeRow:
    """A party as a line."""
    verdict, bundle = member.evidence_verdict, member.bundle
    return NodeRow(
        key=hex0x(member.key),
        name=called(watch, member),
        role=member.role.name.lower(),
        owner=hex0x(member.owner),
        since=member.valid.since,
        until=-1 if member.valid.until is None else member.valid.until,
        standing=standing(member),
        assurance=(verdict.assurance.value if verdict else "none") if member.role is Role.NODE else "",
        measurement=verdict.measurement if verdict else "",
        capacity=bundle.capacity if bundle else 0,
        receipts=receipts,
        faults=len(member.faults),
    )


def standing(member: Member) -> str:
    """Where the party stands, the worst first."""
    if member.compromised_since is not None:
        return f"not to be believed from log position {member.compromised_since} on"
    if member.faults:
        return f"caught in {wording.count(len(member.faults), 'fault')}"
    if member.valid.until is not None:
        return f"retired at log position {member.valid.until} ({member.valid.reason})"
    return "registered"


def facts(member: Member) -> tuple[Fact, ...]:
    """A party's record, line by line."""
    key, owner = hex0x(member.key), hex0x(member.owner)
    lines = [
        Fact("Key", key, links.node(member.key), key),
        Fact("Owner", owner, "", owner),
        Fact("Registered", f"at log position {member.valid.since}", links.entry(member.valid.since)),
        *(Fact("Fault", f"entry {at}", links.entry(at)) for at in member.faults),
    ]
    if member.profile is not None:
        lines.append(Fact("Address", member.profile.url, "", member.profile.url))
        if member.profile.witness_key:
            lines.append(Fact("Witness key", member.profile.witness_key, "", member.profile.witness_key))
    return (*lines, *_bundle(member))


def _bundle(member: Member) -> list[Fact]:
    bundle, verdict = member.bundle, member.evidence_verdict
    if bundle is None:
        return []
    digest = hex0x(member.document)
    lines = [
        Fact("Endpoint", bundle.endpoint, "", bundle.endpoint),
        Fact("Mode", wording.mode_told(bundle.mode)),
        Fact("Engine", bundle.engine),
        Fact("Slots", f"{bundle.capacity}, shared by all of its models"),
        Fact("Key bundle", digest, "", digest),
        Fact("Image digest", bundle.image, "", bundle.image),
        Fact("Configuration", bundle.configuration, "", bundle.configuration),
        *(Fact("Artifact it may load", a, links.artifact(a), a) for a in bundle.artifacts),
        *(Fact("Label it passes on to a provider", name, links.model(name)) for name in bundle.upstreams),
    ]
    if verdict is not None:
        lines.append(Fact("Evidence", f"{verdict.kind}, {verdict.assurance.value}"))
    return lines


def history(watch: FollowedLog, positions: Sequence[int]) -> tuple[Moment, ...]:
    """Entries about a party, oldest first; `gap` counts from its first registration."""
    found = []
    for index in sorted(set(positions)):
        admitted, entry = watch.leaves.entry(index)
        told = words_of(entry).sentence
        against = watch.replica.failures(index)
        told += " It does not hold, so it changed nothing." if against else ""
        kind = "logged" if against else MOMENTS.get(entry.kind, "logged")
        found.append((admitted, Moment(admitted, 0, kind, told, "", links.entry(index))))
    first = found[0][0] if found else 0
    return tuple(Moment(m.at, m.at - first, m.kind, m.text, m.by, m.link) for _, m in found)
