"""The registry: what the log has established so far about keys, measurements, labels, policies and receipts.

A fold over entries, made by `hallmark.verification.fold` from entries that admission has already judged
valid. This type only holds the state: it checks nothing and reads no clock. Positions are log indices;
times are admission times in unix ms.
"""

from __future__ import annotations

import msgspec

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
from hallmark.core.statements import Review, Role


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


class Member(msgspec.Struct):
    """A registered key. `bundle`/`bundle_digest`/`evidence` are the newest registration's; `bundles` maps
    every digest ever registered to its position; `valid` ends by retirement, `compromised_since` by
    compromise.
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


class Chain(msgspec.Struct):
    """A node key's receipts: the highest sequence, its receipt digest, and position by sequence."""

    sequence: int = -1
    digest: bytes = bytes(32)
    positions: dict[int, tuple[int, bytes]] = {}


class Objection(msgspec.Struct):
    """Negative verdicts on one entry: author to (position, reason); authors whose verdict f+1 full
    nodes refuted do not count.
    """

    by: dict[bytes, tuple[int, str]] = {}
    refuted_by: dict[bytes, set[bytes]] = {}


class Approved(msgspec.Struct):
    """An accepted measurement and the positions at which it counts."""

    measurement: Measurement
    valid: Span


class Registry(msgspec.Struct):
    """Everything that the log has established up to `size`. Mutable by `hallmark.verification.fold` alone."""

    size: int = 0
    last_admitted: int = 0
    members: dict[bytes, Member] = {}
    labels: dict[str, Label] = {}
    manifests: dict[bytes, tuple[int, Manifest]] = {}
    approved: dict[bytes, Approved] = {}
    attestation: list[tuple[int, bytes, AttestationPolicy]] = []
    clearing: dict[str, list[tuple[int, bytes, ClearingPolicy]]] = {}
    chains: dict[bytes, Chain] = {}
    objections: dict[int, Objection] = {}
    reviews: dict[bytes, list[tuple[int, Review]]] = {}
    seen: set[bytes] = set()

    def member(self, key: bytes, role: Role, position: int) -> Member | None:
        """The member with `key` in `role` that counts at `position`."""
        found = self.members.get(key)
        if found is None or found.role is not role or not found.valid.covers(position):
            return None
        if found.compromised_since is not None and position >= found.compromised_since:
            return None
        return found

    def attestation_policy(self, position: int) -> AttestationPolicy | None:
        """The attestation policy in force at `position`."""
        found = [policy for at, _, policy in self.attestation if at <= position]
        return found[-1] if found else None

    def measurements(self, position: int) -> tuple[Measurement, ...]:
        """Measurements that count at `position`."""
        return tuple(a.measurement for a in self.approved.values() if a.valid.covers(position))
