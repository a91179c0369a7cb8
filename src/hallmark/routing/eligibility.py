"""Who may serve a request, and for every node that may not, why. Hard, by evidence, closed by default.

A node is asked only when, at this log position and time, every rule of `RULES` lets it pass; the first rule
that does not gives the reason code. Load never enters here except as `at_capacity` and `not_reachable`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import (
    AttestationPolicy,
    Candidate,
    Candidates,
    Exclusion,
    KeyBundle,
    Manifest,
    Measurement,
)
from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.core.evidence import Assurance
from hallmark.core.evidence import Verdict as EvidenceVerdict
from hallmark.core.model_names import ModelName, require_pin
from hallmark.core.modes import NAMES, possible
from hallmark.core.naming import no_such_model
from hallmark.core.receipt import Mode
from hallmark.core.registry import Member, Registry
from hallmark.core.statements import Role
from hallmark.routing.load import NodeLoad

ANY_MODE: Final = 255
# An answer may take this long; evidence must not run out before it is given. Milliseconds.
MARGIN: Final = 60_000
# What a node or its own host says when it has no free place.
BUSY: Final = frozenset(("at_capacity", "node_busy"))
# What keeps a node away for a moment only. Whatever a node that was asked answered is of this kind, too.
PASSING: Final = frozenset(("at_capacity", "not_reachable", "payment_elsewhere"))
OFFERING: Final = PASSING | {"", "mode_not_offered"}
"""What is said of a node whose modes are those of the model."""
NEEDS: Final[Mapping[int, str]] = {
    Mode.VANILLA: "Vanilla answers come from nodes without an enclave.",
    Mode.TEE: "Tee answers come from nodes in an enclave.",
    Mode.REPLAY: "Replay needs a model whose artifact is of integers.",
    Mode.ZKML: "Nothing makes zkml answers yet.",
}
UNASKED: Final = "No node that answers in it can be asked now."
HINT: Final = "Nothing was computed or charged. GET /v1/models has the modes of each model."
_possible: Final = lru_cache(maxsize=1024)(possible)
"""Every request asks it of every node, and there are few answers."""
ASSURANCE: Final = (Assurance.NONE, Assurance.SIMULATED, Assurance.HARDWARE)


class NoNode(Unavailable):
    """Nobody can serve now. `busy`: a node could, had it not its hands full. `bound`: only the nodes of the
    payment's payee were looked at.
    """

    def __init__(self, message: str, *, busy: bool, passing: bool = True, bound: bool = False) -> None:
        """`passing`: what keeps a node away may be over in a moment; otherwise asking again cannot help."""
        super().__init__("no_node", message, "See GET /v1/hallmark/network for every node and its reason.")
        self.busy, self.bound = busy, bound
        self.retry = passing


class NoNodeForPayee(HallmarkError):
    """No node that the payment could pay can serve this, and waiting does not change it (402)."""

    status = 402
    retry = False


class ModeUnavailable(Unavailable):
    """No node answers with this model in this mode, and waiting does not change it."""

    retry = False


class Wanted(msgspec.Struct, frozen=True):
    """What a request needs: the model's label, the mode (ANY_MODE: any), the least assurance, and the
    artifact (0x-hex) that the label is to point to; empty for any.
    """

    model: str
    mode: int = ANY_MODE
    assurance: Assurance = Assurance.NONE
    artifact: str = ""


class Eligible(msgspec.Struct, frozen=True):
    """A node that may serve: its key, key bundle and that bundle's digest (32 bytes)."""

    node: bytes
    bundle: KeyBundle
    bundle_digest: bytes

    def candidate(self) -> Candidate:
        """As a route ticket lists it."""
        return Candidate(hex0x(self.node), hex0x(self.bundle_digest))


class Eligibility(msgspec.Struct, frozen=True):
    """Who may serve, and who was left out with which reason code; both in order of their keys."""

    wanted: Wanted
    eligible: tuple[Eligible, ...]
    excluded: tuple[Exclusion, ...]
    known: bool
    there: tuple[str, ...] = ()
    """The models that there are, when the wanted one is none of them."""
    artifact: str | None = None
    """What the label points to; None where it is a provider's alone."""
    payee: str = ""
    """Whom the request pays: only nodes of this payee are left (see `routing.payees`)."""
    modes: tuple[str, ...] = ()
    """The modes in which some node that offers the model can answer, as the log has it."""

    def _no_such_mode(self) -> tuple[str, str, str]:
        asked, there = NAMES.get(self.wanted.mode, "unknown"), ", ".join(self.modes) or "none"
        why = f"No node answers with {self.wanted.model} in the mode {asked}; its modes are: {there}."
        return "mode_unavailable", f"{why} {NEEDS.get(self.wanted.mode, '')}".rstrip(), HINT

    def require(self) -> None:
        """Raises NotFound `model_not_found`, PinNotMet `model_moved` or `model_not_pinnable`, Unavailable
        `no_node` naming counts per reason, NoNodeForPayee `no_node_for_payee`.
        """
        if not self.known:
            raise NotFound("model_not_found", *no_such_model(self.wanted.model, self.there))
        require_pin(ModelName(self.wanted.model, self.wanted.artifact), self.artifact)
        if not self.eligible:
            raise self.refusal()

    def refusal(self, tried: Iterable[str] = ()) -> NoNode | NoNodeForPayee | ModeUnavailable:
        """The error when nobody can serve; `tried` are the outcomes of nodes that were asked."""
        counts = Counter([exclusion.reason for exclusion in self.excluded])
        outcomes = tuple(tried)
        counts.update(outcomes)
        told = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items()))
        passing = bool(outcomes) or not PASSING.isdisjoint(counts)
        if counts and set(counts) == {"mode_not_offered"}:
            return ModeUnavailable(*self._no_such_mode())
        if self.payee and not passing:
            return NoNodeForPayee(
                "no_node_for_payee",
                f"No node that this payment can pay serves {self.wanted.model}: {told}.",
                "Nothing was charged. GET /v1/hallmark/offers says whom to pay for which model.",
            )
        return NoNode(
            f"No node can serve {self.wanted.model}: {told or 'no node is registered'}.",
            busy=not BUSY.isdisjoint(counts),
            passing=passing,
            bound=bool(self.payee),
        )


class _Case(msgspec.Struct, frozen=True):
    """One node under judgement."""

    member: Member
    bundle: KeyBundle
    wanted: Wanted
    artifact: str | None
    manifest: Manifest | None
    policy: AttestationPolicy | None
    measurements: tuple[Measurement, ...]
    load: NodeLoad
    position: int
    now: int
    newest: bool


def eligibility(
    registry: Registry,
    wanted: Wanted,
    loads: Mapping[bytes, NodeLoad],
    *,
    now: int,
    position: int | None = None,
) -> Eligibility:
    """Judge every registered node at `now` (unix ms), by the whole registry or up to a `position`."""
    at = registry.size if position is None else position
    label = registry.labels.get(wanted.model)
    version = label.at(at) if label else None
    artifact = version[1].artifact if version else None
    policy, measurements = registry.attestation_policy(at), registry.measurements(at)
    eligible, excluded, modes = [], [], set[Mode]()
    offered = False
    newest = _newest(registry, at)
    for key, member in sorted(registry.members.items()):
        if member.role is not Role.NODE or member.valid.since > at:
            continue
        if member.bundle is None:
            excluded.append(Exclusion(hex0x(key), "bundle_missing"))
            continue
        load = loads.get(key) or NodeLoad()
        place = (member.owner, member.bundle.endpoint)
        case = _Case(
            member,
            member.bundle,
            wanted,
            artifact,
            version[1] if version else None,
            policy,
            measurements,
            load,
            at,
            now,
            newest[place] == member.valid.since,
        )
        offered = offered or wanted.model in member.bundle.upstreams
        reason = next((reason for reason, holds in RULES if not holds(case)), "")
        if reason in OFFERING:
            modes.update(modes_of(member.bundle, case.manifest))
        if reason:
            excluded.append(Exclusion(hex0x(key), reason))
        else:
            eligible.append(Eligible(key, member.bundle, member.document))
    known = artifact is not None or offered
    there = () if known else tuple(_there(registry))
    names = tuple(NAMES[mode] for mode in sorted(modes))
    return Eligibility(wanted, tuple(eligible), tuple(excluded), known, there, artifact=artifact, modes=names)


def _there(registry: Registry) -> set[str]:
    offered = (member.bundle.upstreams for member in registry.members.values() if member.bundle)
    return set(registry.labels).union(*offered)


def candidates_document(found: Eligibility, order: Iterable[Eligible], mode: int) -> Candidates:
    """What a ticket commits to: `order` is the order of preference."""
    return Candidates(found.wanted.model, mode, tuple(node.candidate() for node in order), found.excluded)


def _newest(registry: Registry, at: int) -> dict[tuple[bytes, str], int]:
    """Where the newest node of each owner and endpoint was registered: an enclave's keys die with it, so an
    older key at the same place belongs to an enclave that is gone.
    """
    newest: dict[tuple[bytes, str], int] = {}
    for member in registry.members.values():
        if member.role is Role.NODE and member.bundle is not None and member.valid.since <= at:
            place = (member.owner, member.bundle.endpoint)
            newest[place] = max(newest.get(place, -1), member.valid.since)
    return newest


def _not_retired(case: _Case) -> bool:
    return case.member.valid.covers(case.position)


def _not_compromised(case: _Case) -> bool:
    since = case.member.compromised_since
    return since is None or case.position < since


def _offers_model(case: _Case) -> bool:
    if case.artifact is not None and case.artifact in case.bundle.artifacts:
        return True
    return case.wanted.model in case.bundle.upstreams


def _holds_artifact(case: _Case) -> bool:
    """Of a pinned request: the node runs the label's artifact itself."""
    return not case.wanted.artifact or case.artifact in case.bundle.artifacts


def _offers_mode(case: _Case) -> bool:
    """By what confines the node, and by what the manifest says of an artifact that the node runs itself."""
    if case.wanted.mode == ANY_MODE:
        return True
    return case.wanted.mode in modes_of(case.bundle, case.manifest)


def modes_of(bundle: KeyBundle, manifest: Manifest | None) -> tuple[Mode, ...]:
    """The modes in which a node can answer with the model that this manifest binds; None: a provider's."""
    own = manifest if manifest is not None and manifest.artifact in bundle.artifacts else None
    return _possible(bundle.mode, own)


def _has_evidence(case: _Case) -> bool:
    return case.bundle.mode == Mode.VANILLA or case.member.evidence_verdict is not None


def _evidence_holds(case: _Case) -> bool:
    verdict = case.member.evidence_verdict
    return verdict is None or verdict.ok


def _evidence_fresh(case: _Case) -> bool:
    verdict = case.member.evidence_verdict
    if verdict is None:
        return True
    return case.policy is not None and case.now + MARGIN <= verdict.made_at + case.policy.max_age


def _measurement_accepted(case: _Case) -> bool:
    verdict = case.member.evidence_verdict
    return verdict is None or any(_matches(m, verdict, case.now) for m in case.measurements)


def _assured(case: _Case) -> bool:
    verdict = case.member.evidence_verdict
    found = verdict.assurance if verdict is not None else Assurance.NONE
    return ASSURANCE.index(found) >= ASSURANCE.index(case.wanted.assurance)


def _matches(measurement: Measurement, verdict: EvidenceVerdict, now: int) -> bool:
    return (
        measurement.evidence == verdict.kind
        and verdict.measurement == f"{measurement.name} {measurement.version}"
        and (measurement.not_after == 0 or now <= measurement.not_after)
    )


RULES: Final[tuple[tuple[str, Callable[[_Case], bool]], ...]] = (
    ("compromised", _not_compromised),
    ("retired", _not_retired),
    ("superseded", lambda case: case.newest),
    ("faulted", lambda case: not any(at <= case.position for at in case.member.faults)),
    ("model_not_offered", _offers_model),
    ("artifact_not_held", _holds_artifact),
    ("mode_not_offered", _offers_mode),
    ("evidence_missing", _has_evidence),
    ("evidence_rejected", _evidence_holds),
    ("evidence_stale", _evidence_fresh),
    ("measurement_revoked", _measurement_accepted),
    ("assurance_too_low", _assured),
    ("not_reachable", lambda case: case.load.reachable(case.now)),
    ("at_capacity", lambda case: case.load.in_flight < case.bundle.capacity),
)
