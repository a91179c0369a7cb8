"""The receipt in words, line by line: what its node signed, and what the log knows of that node and model."""

from __future__ import annotations

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import hex0x
from hallmark.core.hashing import ZERO32
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.receipt_context import (
    ReceiptContext,
    asserted_by,
    attested,
    called,
    configuration,
    label,
    manifest,
)
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.live import payment_of
from hallmark.verification.payment_wording import amount
from hallmark.verification.wording import SIMULATED


def facts(watch: FollowedLog, told: ReceiptContext) -> tuple[Fact, ...]:
    """Every line, in the order in which a reader asks: which, where, who, what, how much, under what."""
    return (
        Fact("Receipt", hex0x(told.id), links.receipt(told.id), hex0x(told.id)),
        _place(told),
        *_node(watch, told),
        *_model(watch, told),
        Fact("Mode", _mode(watch, told)),
        *_code(watch, told),
        *_work(watch, told),
        *_commitments(told),
    )


def _place(told: ReceiptContext) -> Fact:
    if told.index < 0:
        return Fact("Log position", f"no quorum covers it yet; the log says {told.said}")
    return Fact("Log position", str(told.index), links.entry(told.index))


def _node(watch: FollowedLog, told: ReceiptContext) -> list[Fact]:
    receipt = told.receipt
    key, member = hex0x(receipt.node), watch.replica.registry.members.get(receipt.node)
    lines = [Fact("Node", called(watch, member) or key, links.node(receipt.node), key)]
    if member is not None:
        owner = hex0x(member.owner)
        lines.append(Fact("Owner of the node", owner, "", owner))
    lines.append(Fact("Answers of this key before it", f"{receipt.sequence:,}"))
    return lines


def _model(watch: FollowedLog, told: ReceiptContext) -> list[Fact]:
    if told.asserted:
        asked, by = label(watch, told), asserted_by(watch, told)
        value = f"{asked}, asserted by {by}" if asked else f"asserted by {by}"
        return [
            Fact("Model", value),
            Fact("Artifact", "none of this network ran; a provider answered"),
            _digest("Provider's record", told.receipt.upstream),
        ]
    artifact, known = hex0x(told.receipt.artifact), manifest(watch, told)
    lines = []
    if known is not None:
        lines.append(Fact("Label", f"{known.label}, version {known.version}", links.model(known.label)))
    lines.append(Fact("Artifact", artifact, links.artifact(artifact), artifact))
    if known is not None:
        lines.append(Fact("SHA-256 of the artifact", known.sha256, "", known.sha256))
    return lines


def _mode(watch: FollowedLog, told: ReceiptContext) -> str:
    """The mode in words. Simulated hardware is named on the very line that speaks of an enclave."""
    known, mode = attested(watch, told), wording.mode_told(told.receipt.mode)
    simulated = known is not None and known.evidence is not None and known.evidence.assurance == "simulated"
    return f"{mode}; its hardware is simulated" if simulated else mode


def _code(watch: FollowedLog, told: ReceiptContext) -> list[Fact]:
    known = attested(watch, told)
    if known is None:
        return [Fact("Image", "the node registered no such key bundle")]
    lines = [Fact("Engine", known.bundle.engine)]
    if known.evidence is None:
        lines.append(Fact("Image", "nothing measured it"))
    else:
        digest = hex0x(known.measurement)
        lines.append(Fact("Image", known.evidence.measurement, links.measurement(digest), known.bundle.image))
        assurance = known.evidence.assurance.value
        lines.append(Fact("Hardware", f"simulated: {SIMULATED}" if assurance == "simulated" else assurance))
    told_off = configuration(watch, told)
    if told_off is None:
        lines.append(Fact("Checks switched off", "not known here: the configuration is not shown"))
    else:
        lines.append(
            Fact("Checks switched off", ", ".join(told_off.insecure) or "none, by its configuration")
        )
    return lines


def _was_seen(watch: FollowedLog, size: int) -> bool:
    return any(seen.size == size for seen in watch.heads.page(size + 1, 1))


def _work(watch: FollowedLog, told: ReceiptContext) -> list[Fact]:
    receipt = told.receipt
    took = wording.lasted(receipt.finished - receipt.started)
    return [
        Fact("Tokens", f"{receipt.tokens_in:,} in, {receipt.tokens_out:,} out, as the node counted"),
        Fact("Answered", f"in {took}, by the node's clock"),
        Fact("Charged", _charged(told)),
        _digest("Payment", receipt.payment, none="no payment record is named"),
        _digest("Inputs from outside", receipt.inputs, none="none is named", empty=EMPTY_ROOT),
        Fact(
            "Made after",
            f"the log had {wording.count(receipt.beacon_size, 'entry')}",
            links.checkpoint(receipt.beacon_size) if _was_seen(watch, receipt.beacon_size) else "",
            hex0x(receipt.beacon_root),
        ),
    ]


def _charged(told: ReceiptContext) -> str:
    record, units = payment_of(told.entry), told.receipt.charged
    if record is None or not record.payer:
        return f"{units:,} atomic units" if units else "nothing"
    return amount(units, record.asset)


def _commitments(told: ReceiptContext) -> list[Fact]:
    receipt = told.receipt
    lines = [
        _digest("Request", receipt.request),
        _digest("Response", receipt.response),
        _digest("Parameters", receipt.parameters),
        _digest("Key bundle", receipt.bundle),
        _digest("Route", receipt.route),
        _digest("Policy", receipt.policy, none="none is named"),
    ]
    signature = told.entry.signatures[0] if told.entry.signatures else b""
    return [*lines, Fact("Signature", hex0x(signature), "", hex0x(signature))]


def _digest(name: str, digest: bytes, *, none: str = "", empty: bytes = ZERO32) -> Fact:
    if digest in (empty, ZERO32) and none:
        return Fact(name, none)
    return Fact(name, hex0x(digest), "", hex0x(digest))
