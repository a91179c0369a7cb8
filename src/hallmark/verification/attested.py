"""Which evidence stands behind a node's bundle: the newest accepted registration of that key and bundle."""

from __future__ import annotations

import msgspec

from hallmark.core.document import unhex
from hallmark.core.documents import KeyBundle, Measurement
from hallmark.core.evidence import Verdict
from hallmark.core.registry import Registry

FLOOR = "_FLOOR"


class Attested(msgspec.Struct, frozen=True):
    """A key bundle as registered: position, what judging its evidence gave (None for a vanilla node), the
    digest of the approved measurement that it matched, and the artifacts (blob IDs) it may load.
    """

    position: int
    bundle: KeyBundle
    evidence: Verdict | None
    measurement: bytes
    artifacts: frozenset[bytes]


def attest(registry: Registry, position: int, bundle: KeyBundle, evidence: Verdict | None) -> Attested:
    """What is kept of an accepted registration."""
    measurement = approved_by(registry, position, evidence) if evidence else b""
    return Attested(position, bundle, evidence, measurement, frozenset(unhex(a) for a in bundle.artifacts))


def approved_by(registry: Registry, position: int, evidence: Verdict) -> bytes:
    """Digest of the measurement in force at `position` that the evidence's registers match; empty if none."""
    for digest, approved in registry.approved.items():
        if approved.valid.covers(position) and matches(approved.measurement, evidence):
            return digest
    return b""


def matches(measurement: Measurement, evidence: Verdict) -> bool:
    """True when this is the measurement that accepted evidence was judged to meet: name, kind, registers.

    Registers named *_FLOOR are lower bounds of another register; judging the evidence compared those.
    """
    exact = {n: v for n, v in measurement.registers.items() if not n.endswith(FLOOR)}
    return (
        bool(exact)
        and measurement.evidence == evidence.kind
        and evidence.measurement == f"{measurement.name} {measurement.version}"
        and all(_plain(evidence.registers.get(name, "")) == _plain(value) for name, value in exact.items())
    )


def _plain(register: str) -> str:
    return register.removeprefix("0x").lower()
