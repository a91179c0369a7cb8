"""Whether a gateway steered: what its tickets of one time say of nodes, held against the log's registry.

A ticket commits to the candidates and to everybody who was left out, each with a reason. Most reasons are
facts of the log that anyone can judge again, at the ticket's own place in it. What concerns load, reach,
payments and what the client asked for is the gateway's own word: it may be true, and nobody else can tell.

Pure. What a later registry cannot tell any more (evidence was renewed since) is held against nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidates
from hallmark.core.evidence import Assurance
from hallmark.core.registry import Ended, Member, Registry
from hallmark.routing.choice import MAX_CANDIDATES
from hallmark.routing.eligibility import ANY_MODE, ASSURANCE, PASSING, Wanted, eligibility

WORD: Final = PASSING | {"other_payee"}
"""Reasons that the log cannot tell."""
SKEW_MS: Final = 60_000
"""How far a gateway's clock may be off."""


class Doubt(enum.StrEnum):
    """What is to be said of one node of one ticket."""

    UNNAMED = "unnamed"
    UNFOUNDED = "unfounded"
    INELIGIBLE = "ineligible"
    WORD = "word"

    @property
    def shows(self) -> bool:
        """Whether it shows that the gateway steered; the gateway's own word shows nothing, either way."""
        return self is not Doubt.WORD

    @property
    def sentence(self) -> str:
        """What it says."""
        return SENTENCES[self]


SENTENCES: Final = {
    Doubt.UNNAMED: "The node stands neither among the candidates nor among those left out, and it should.",
    Doubt.UNFOUNDED: "The log says otherwise than the reason that was given.",
    Doubt.INELIGIBLE: "The node was offered, and by the log it may not serve.",
    Doubt.WORD: "The log does not leave the node out; the reason is the gateway's own word.",
}


class Left(msgspec.Struct, frozen=True):
    """One node in one ticket: which ticket (its place in what was given), the node (0x-hex), the reason that
    was given ("" none), and what is to be said of that.
    """

    ticket: int
    node: str
    reason: str
    doubt: Doubt


class Seen(msgspec.Struct, frozen=True):
    """A ticket as it is judged: when it was issued (unix ms), the size of the log that it names (its beacon),
    and the candidates document under it. Signature and digests are checked by who read them.
    """

    issued: int
    size: int
    candidates: Candidates


def steering(tickets: Sequence[Seen], registry: Registry) -> tuple[Left, ...]:
    """Whoever stands in a ticket, or does not, without a reason that holds; in order of tickets and nodes.

    `tickets` are of one gateway and about one time; `registry` is the log's, as far as it went then or later.

    1. Every registered node stands in each ticket, among the candidates or among those left out. Only who was
       not drawn, of more than three who may serve, is in neither.
    2. A reason that the log can tell is the one that the rules give, within a minute of the ticket's time.
    3. A reason that the log cannot tell is the gateway's word.
    4. Whoever is a candidate may serve, by the log.
    """
    found: list[Left] = []
    for number, seen in enumerate(tickets):
        found += _of_ticket(number, seen, registry)
    return tuple(found)


def offered_of(tickets: Sequence[Seen], registry: Registry) -> dict[str, tuple[int, int]]:
    """How often each node that may serve was a candidate: 0x-hex node -> (tickets that offer it, tickets).

    Candidates are drawn uniformly: over many tickets a node that is offered far less often than others is
    passed over. It is a figure for people; no single ticket shows it.
    """
    counts: dict[str, tuple[int, int]] = {}
    for seen in tickets:
        offered = {each.node for each in seen.candidates.candidates}
        for node, reason in _reasons(seen, registry, seen.issued).items():
            if not reason:
                before, of = counts.get(node, (0, 0))
                counts[node] = before + (node in offered), of + 1
    return dict(sorted(counts.items()))


def _of_ticket(number: int, seen: Seen, registry: Registry) -> Iterator[Left]:
    offered = {each.node for each in seen.candidates.candidates}
    said = {each.node: each.reason for each in seen.candidates.excluded}
    early, late = (_reasons(seen, registry, seen.issued + skew) for skew in (-SKEW_MS, SKEW_MS))
    room = len(offered) < MAX_CANDIDATES
    for node, reason in early.items():
        true = {reason, late[node]}
        doubt = None
        if node in offered:
            doubt = None if "" in true else Doubt.INELIGIBLE
        elif node not in said:
            doubt = Doubt.UNNAMED if room or "" not in true else None
        elif said[node] not in true:
            doubt = _of_reason(said[node], unhex(node), seen, registry)
        if doubt is not None:
            yield Left(number, node, said.get(node, ""), doubt)


def _of_reason(reason: str, key: bytes, seen: Seen, registry: Registry) -> Doubt | None:
    """What to say of a reason that the log's own rules do not give, for a node that the ticket leaves out."""
    member = registry.members[key]
    if reason in WORD:
        return Doubt.WORD
    if reason == "artifact_not_held":
        label = registry.labels.get(seen.candidates.model)
        version = label.at(seen.size - 1) if label else None
        held = member.bundle.artifacts if member.bundle is not None else ()
        return Doubt.UNFOUNDED if version is not None and version[1].artifact in held else None
    if reason == "mode_not_offered":
        bundle = member.bundle
        return None if bundle is not None and bundle.mode != seen.candidates.mode else Doubt.UNFOUNDED
    if reason == "assurance_too_low":
        offered = (registry.members.get(unhex(each.node)) for each in seen.candidates.candidates)
        least = min((_assured(other) for other in offered if other is not None), default=len(ASSURANCE))
        return Doubt.WORD if _assured(member) < least else Doubt.UNFOUNDED
    return Doubt.UNFOUNDED


def _assured(member: Member) -> int:
    verdict = member.evidence_verdict
    return ASSURANCE.index(verdict.assurance if verdict is not None else Assurance.NONE)


def _reasons(seen: Seen, registry: Registry, now: int) -> Mapping[str, str]:
    """Why the log leaves each registered node out, as it stood under the ticket ("": it does not), by 0x-hex
    key. Without those of whom a later log cannot tell that: their evidence was renewed since, or just before,
    or what counts from then on was said later.
    """
    wanted = Wanted(seen.candidates.model, ANY_MODE)
    judged = eligibility(registry, wanted, {}, now=now, position=seen.size - 1)
    reasons = {each.node: each.reason for each in judged.excluded}
    reasons |= {hex0x(each.node): "" for each in judged.eligible}
    revoked_later = any(_later(each.ended, seen.size) for each in registry.approved.values())
    found = {}
    for node, reason in sorted(reasons.items()):
        member = registry.members[unhex(node)]
        renewed = member.evidence_at + SKEW_MS > seen.issued
        unsettled = _later(member.ended, seen.size) or (revoked_later and reason == "measurement_revoked")
        if not renewed and not unsettled:
            found[node] = reason
    return found


def _later(ended: Iterable[Ended], size: int) -> bool:
    """Whether something counts at a size of the log that was said behind it."""
    return any(each.since < size <= each.position for each in ended)
