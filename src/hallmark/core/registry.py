"""The registry: what the log has established so far about keys, measurements, labels, policies and receipts.

A fold over entries, made by `hallmark.verification.fold` from entries that admission has already judged
valid. This type only holds the state: it checks nothing and reads no clock. Positions are log indices;
times are admission times in unix ms.

What grows with members, models and policies stands in dictionaries. What grows with the log stands in
mappings that may look up and forget (`hallmark.verification.tables`): their values are replaced, never
changed in place.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

import msgspec

from hallmark.core.derivations import Making
from hallmark.core.documents import (
    AttestationPolicy,
    ClearingPolicy,
    KeyBundle,
    Manifest,
    Measurement,
    ModelCard,
    Profile,
)
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.hashing import sha256
from hallmark.core.money import Offer
from hallmark.core.statements import Review, Role
from hallmark.core.tokens import IssuerKeys

SEQUENCE_BITS: Final = 40
"""A chain has no gaps, so that its sequences stay below the number of entries of the log."""


def host_of(owner: bytes, endpoint: str) -> bytes:
    """What a host is known by, whatever keys its enclaves have: its owner (20 bytes) and its address as the
    bundle spells it; 32 bytes.
    """
    return sha256(owner, endpoint.encode())


class Span(msgspec.Struct):
    """Positions at which something counts: from `since` up to, not including, `until` (None: open), and
    why it ended.
    """

    since: int
    until: int | None = None
    reason: str = ""

    def covers(self, position: int) -> bool:
        """True when `position` is inside."""
        return self.since <= position and (self.until is None or position < self.until)


class Ended(msgspec.Struct, frozen=True):
    """An entry that takes something back: its position, when it was admitted (unix ms), from which position
    on it counts, and its reason code.
    """

    position: int
    admitted: int
    since: int
    reason: str


class Member(msgspec.Struct):
    """A registered key. `bundle`/`bundle_digest`/`evidence` are the newest registration's; `bundles` maps
    every digest ever registered to its position; `valid` ends by retirement, `compromised_since` by
    compromise; `ended` are all statements that it was compromised, in log order.
    """

    key: bytes
    role: Role
    owner: bytes
    valid: Span
    document: bytes
    bundle: KeyBundle | None = None
    profile: Profile | None = None
    evidence_verdict: EvidenceVerdict | None = None
    evidence_at: int = 0
    bundles: dict[bytes, int] = {}
    compromised_since: int | None = None
    faults: list[int] = []
    ended: list[Ended] = []


class Label(msgspec.Struct):
    """A model label: its card, its owner, and its versions as (position, manifest digest, manifest),
    oldest first.
    """

    card: ModelCard
    owner: bytes
    position: int
    versions: list[tuple[int, bytes, Manifest]] = []

    def at(self, position: int) -> tuple[bytes, Manifest] | None:
        """The manifest that the label pointed to at `position`."""
        found = [(digest, manifest) for at, digest, manifest in self.versions if at <= position]
        return found[-1] if found else None


class Link(msgspec.Struct, frozen=True):
    """A receipt's place in its key's chain: log position, receipt digest, and the id of the first entry that
    brought it (32 bytes each).
    """

    position: int
    digest: bytes
    entry: bytes


class Chain(msgspec.Struct, frozen=True):
    """A node key's receipts: its number, the highest sequence, and the receipt that stands there."""

    number: int
    sequence: int = -1
    newest: Link | None = None


class Objection(msgspec.Struct, frozen=True):
    """Negative verdicts on one entry: author to (position, reason); authors whose verdict f+1 full
    nodes refuted do not count.
    """

    by: dict[bytes, tuple[int, str]] = {}
    refuted_by: dict[bytes, frozenset[bytes]] = {}


class Approved(msgspec.Struct):
    """An accepted measurement and the positions at which it counts; `ended` are all its revocations, in log
    order.
    """

    measurement: Measurement
    valid: Span
    ended: list[Ended] = []


class IssuedKeys(msgspec.Struct, frozen=True):
    """An issuer's key set and where it stands in the log."""

    position: int
    document: IssuerKeys


class Derived(msgspec.Struct, frozen=True):
    """What its owner said that a manifest's artifact was made from: the log position of that, the other
    manifest's digest, SHA-256 of the tool (zero: not named), and the document.
    """

    position: int
    source: bytes
    tool: bytes
    making: Making


class Registry(msgspec.Struct):
    """Everything that the log has established up to `size`. Mutable by `hallmark.verification.fold` alone."""

    size: int = 0
    last_admitted: int = 0
    members: dict[bytes, Member] = {}
    labels: dict[str, Label] = {}
    manifests: dict[bytes, tuple[int, Manifest]] = {}
    derivations: dict[bytes, Derived] = {}
    """By the derived manifest's digest: one a manifest, the first."""
    approved: dict[bytes, Approved] = {}
    attestation: list[tuple[int, bytes, AttestationPolicy]] = []
    clearing: dict[str, list[tuple[int, bytes, ClearingPolicy]]] = {}
    offers: dict[bytes, tuple[int, Offer]] = {}
    """Price offers by the digest of their document, with their positions."""
    epochs: dict[bytes, int] = {}
    """The highest epoch that was registered of each host (`host_of`): one number a host, however often its
    enclaves start.
    """
    issuers: dict[bytes, tuple[IssuedKeys, ...]] = {}
    """The newest two key sets of each issuer, the newest last."""
    issuer_keys: dict[bytes, IssuedKeys] = {}
    """Key sets by the digest of their document, as long as receipts that were paid with them are taken."""
    nullifiers: MutableMapping[bytes, int] = {}
    """Tokens that a receipt was paid with, to its position: u64be position of the key set || SHA-256 of the
    token. A key set's are forgotten together with it.
    """
    chains: MutableMapping[bytes, Chain] = {}
    chain_count: int = 0
    links: MutableMapping[int, Link] = {}
    objections: MutableMapping[int, Objection] = {}
    reviews: MutableMapping[bytes, tuple[tuple[int, Review], ...]] = {}
    outcomes: MutableMapping[bytes, tuple[tuple[int, int], ...]] = {}
    """What each speaker said of each receipt: receipt's id || speaker to (position, `Said`), in log order."""
    seen: MutableMapping[bytes, int] = {}
    """Entries by id to position, as far as no `Link` names them."""
    spent: MutableMapping[bytes, int] = {}
    """Payers' authorizations that a receipt used, and places of enclaves' journals at which one ended, by
    their digests, to that receipt's position.
    """

    def member(self, key: bytes, role: Role, position: int) -> Member | None:
        """The member with `key` in `role` that counts at `position`."""
        found = self.members.get(key)
        if found is None or found.role is not role or not found.valid.covers(position):
            return None
        if found.compromised_since is not None and position >= found.compromised_since:
            return None
        return found

    def link(self, chain: Chain, sequence: int) -> Link | None:
        """The receipt that stands at `sequence` of a chain; None when there is none."""
        if sequence == chain.sequence:
            return chain.newest
        if not 0 <= sequence < chain.sequence:
            return None
        return self.links.get(chain.number << SEQUENCE_BITS | sequence)

    def attestation_policy(self, position: int) -> AttestationPolicy | None:
        """The attestation policy in force at `position`."""
        found = [policy for at, _, policy in self.attestation if at <= position]
        return found[-1] if found else None

    def measurements(self, position: int) -> tuple[Measurement, ...]:
        """Measurements that count at `position`."""
        return tuple(a.measurement for a in self.approved.values() if a.valid.covers(position))
