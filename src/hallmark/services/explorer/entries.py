"""Log entries of every kind in words. A table from statement to a function; no kind is without words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from hallmark.core.derivations import Making
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Manifest, Measurement, ModelCard
from hallmark.core.entries import Entry, Kind
from hallmark.core.errors import HallmarkError
from hallmark.core.money import Offer
from hallmark.core.names import shown_name
from hallmark.core.objected import Run, decode_runs
from hallmark.core.outcomes import EVALUATION, Basis
from hallmark.core.receipt import Receipt
from hallmark.core.statements import (
    Approval,
    Compromise,
    Derivation,
    Fault,
    IssuerEpoch,
    Judgement,
    Outcome,
    PolicyStatement,
    PriceOffer,
    Publication,
    Registration,
    Retirement,
    Review,
    Revocation,
    Role,
    Said,
    Verdict,
    Version,
    text_of,
)
from hallmark.core.tokens import IssuerKeys
from hallmark.services.explorer import links
from hallmark.services.explorer.shared_views import Fact
from hallmark.verification.judged_statement import CLEARING
from hallmark.verification.reasons import sentence_of

SHOWN_RUNS: Final = 20
FREE_OFFER: Final = "Answers of this owner's nodes cost nothing."


class Words(NamedTuple):
    """An entry in words: one sentence, its lines, and the page that it leads to ("": none)."""

    sentence: str
    facts: tuple[Fact, ...]
    link: str


def words_of(entry: Entry) -> Words:
    """What an entry says, whether it holds or not."""
    found: Words = _TABLE[entry.kind](entry.statement, entry)
    network = hex0x(entry.statement.network)  # type: ignore[attr-defined]  # every statement names its network
    kind = Fact("Kind", entry.kind.name.lower())
    signed = Fact("Signatures", str(len(entry.signatures)))
    return found._replace(facts=(kind, *found.facts, Fact("Network", network, "", network), signed))


def _registration(s: Registration, _entry: Entry) -> Words:
    role = Role(s.role).name.lower().replace("_", " ") if s.role in tuple(Role) else f"role {s.role}"
    facts = (
        _key("Key", s.key),
        _bytes("Owner", s.owner),
        Fact("Role", role),
        _bytes("Document", s.document),
        _bytes("Evidence", s.evidence),
        Fact("Made after", f"log size {s.beacon_size}"),
    )
    return Words(f"A {role} joins, or refreshes its evidence.", facts, links.node(s.key))


def _retirement(s: Retirement, _entry: Entry) -> Words:
    facts = (_key("Key", s.key), _reason(s.reason))
    return Words("A key leaves; what it signed before stays as it was.", facts, links.node(s.key))


def _compromise(s: Compromise, _entry: Entry) -> Words:
    facts = (_key("Key", s.key), Fact("From log position", str(s.since)), _reason(s.reason))
    return Words(f"A key is not to be believed from log position {s.since} on.", facts, links.node(s.key))


def _approval(s: Approval, entry: Entry) -> Words:
    measured = _document(entry, Measurement)
    what = f"{measured.name} {measured.version}" if measured else "an image"
    digest = hex0x(s.document)
    return Words(
        f"The authority accepts the measurement of {what}.",
        (_bytes("Measurement", s.document),),
        links.measurement(digest),
    )


def _revocation(s: Revocation, _entry: Entry) -> Words:
    facts = (
        _bytes("Measurement", s.document),
        Fact("From log position", str(s.since)),
        _reason(s.reason),
    )
    told = f"The authority no longer accepts a measurement, from log position {s.since} on."
    return Words(told, facts, links.measurement(hex0x(s.document)))


def _publication(s: Publication, entry: Entry) -> Words:
    card = _document(entry, ModelCard)
    facts = (_bytes("Owner", s.owner), _bytes("Card", s.document))
    if card is None:
        return Words("A label is taken.", facts, "")
    link = links.model(card.label)
    return Words(f"Label {card.label} is taken.", (Fact("Label", card.label, link), *facts), link)


def _version(s: Version, entry: Entry) -> Words:
    manifest = _document(entry, Manifest)
    artifact = hex0x(s.artifact)
    facts = (
        Fact("Artifact", artifact, links.artifact(artifact), artifact),
        _bytes("SHA-256 of the artifact", s.sha256),
        _bytes("Manifest", s.document),
        _bytes("Owner", s.owner),
    )
    if manifest is None:
        return Words("A label points to an artifact from here on.", facts, "")
    link = links.model(manifest.label)
    told = f"Label {manifest.label} points to version {manifest.version} from here on."
    return Words(told, (Fact("Label", manifest.label, link), *facts), link)


def _offer(s: PriceOffer, entry: Entry) -> Words:
    offer = _document(entry, Offer)
    facts = (_bytes("Owner", s.owner), _bytes("Offer", s.document))
    if offer is None:
        return Words("A node's owner says what answers cost.", facts, "")
    labels = ", ".join(price.label for price in offer.prices)
    told = f"Answers of this owner's nodes have a price: {labels}." if labels else FREE_OFFER
    payee = _bytes("Paid to", unhex(offer.payee))
    return Words(told, (Fact("Models", labels or "all"), payee, *facts), "")


def _issuer_epoch(s: IssuerEpoch, entry: Entry) -> Words:
    keys = _document(entry, IssuerKeys)
    facts = (_key("Issuer", s.issuer), Fact("Epoch", str(s.epoch)), _bytes("Keys", s.document))
    told = f"An issuer of unlinkable tokens says its only keys for epoch {s.epoch}."
    if keys is None:
        return Words(told, facts, links.node(s.issuer))
    asset = f"{keys.unit} atomic units of token {keys.asset.address}"
    more = (Fact("Smallest token", asset), Fact("Values", str(len(keys.keys))))
    return Words(told, (*facts, *more), links.node(s.issuer))


def _receipt(s: Receipt, _entry: Entry) -> Words:
    receipt_id = s.digest()
    facts = (_bytes("Receipt", receipt_id, links.receipt(receipt_id)), _key("Node", s.node))
    return Words("A node signed a receipt for one answer.", facts, links.receipt(receipt_id))


def _verdict(s: Verdict, entry: Entry) -> Words:
    runs = objected_by(entry)
    facts = (
        _key("Full node", s.author),
        *(Fact(_about(run), run.reason, links.entry(run.first)) for run in runs[:SHOWN_RUNS]),
        Fact("In the history of", f"{s.size} entries"),
        _bytes("Its root", s.root),
    )
    if not runs:
        return Words("A full node's objection, which cannot be read.", facts, "")
    return Words(objection_words(runs), facts, links.entry(runs[0].first))


def objected_by(entry: Entry) -> tuple[Run, ...]:
    """What a verdict entry objects to; empty when its list cannot be read."""
    try:
        return decode_runs(entry.attachments[0]) if entry.attachments else ()
    except HallmarkError:
        return ()


def objection_words(runs: tuple[Run, ...]) -> str:
    """What a full node objects to, in a sentence: the one entry with its reason, or how many."""
    count, first = sum(run.count for run in runs), runs[0]
    if count == 1:
        return f"A full node objects to entry {first.first}: {sentence_of(first.reason)}"
    told = f"A full node objects to {count} entries, the first of them {first.first}"
    return f"{told}: {sentence_of(first.reason)}"


def _about(run: Run) -> str:
    return f"Entry {run.first}" if run.count == 1 else f"Entries {run.first} to {run.end - 1}"


def _fault(s: Fault, _entry: Entry) -> Words:
    facts = (
        _key("Culprit", s.culprit),
        _key("Author", s.author),
        Fact("Fault", text_of(s.kind)),
        Fact("First entry", str(s.first), links.entry(s.first)),
        Fact("Second entry", str(s.second), links.entry(s.second)),
    )
    return Words(FAULTS.get(text_of(s.kind), "A rule was broken."), facts, links.node(s.culprit))


def _review(s: Review, _entry: Entry) -> Words:
    said = Judgement(s.judgement).name.lower() if s.judgement in tuple(Judgement) else str(s.judgement)
    facts = (
        _key("Reviewer", s.reviewer),
        _bytes("Receipt", s.item, links.receipt(s.item)),
        Fact("At entry", str(s.subject), links.entry(s.subject)),
        Fact("Judgement", said),
        _reason(s.reason),
        _bytes("Policy", s.policy),
        _bytes("Screen", s.screen),
        _bytes("Comments", s.comment),
    )
    return Words(f"A reviewer says of an answer: {said}.", facts, links.receipt(s.item))


def _outcome(s: Outcome, entry: Entry) -> Words:
    said = Said(s.said).name.lower() if s.said in tuple(Said) else str(s.said)
    basis = _document(entry, Basis)
    facts = (
        _key("Speaker", s.speaker),
        _bytes("Receipt", s.item, links.receipt(s.item)),
        Fact("At entry", str(s.subject), links.entry(s.subject)),
        Fact("Said", said),
        Fact("Rests on", basis_told(basis) if basis else "nothing that can be read"),
        _bytes("Basis", s.document),
    )
    return Words(f"Somebody says how an answer turned out: {said}.", facts, links.receipt(s.item))


def basis_told(basis: Basis) -> str:
    """What a word rests on, in a line."""
    if basis.kind == EVALUATION:
        name = shown_name(basis.name) or "with a name that claims something"
        return f"evaluation {name}, report {basis.rests_on}"
    return f"{basis.kind} {basis.rests_on}"


def _derivation(s: Derivation, entry: Entry) -> Words:
    making = _document(entry, Making)
    facts = (
        _key("Author", s.author),
        _bytes("Made from manifest", s.source),
        _bytes("Made", s.derived),
        Fact("Tool", tool_told(making) if making else "nothing that can be read"),
        _bytes("Tool's bytes", s.tool),
        _bytes("Document", s.document),
    )
    said = "An owner says what a model was made from. Nothing here shows that it was."
    return Words(said, facts, f"/explore/search?q={hex0x(s.derived)}")


def tool_told(making: Making) -> str:
    """A tool and its version, in a line."""
    name = shown_name(making.tool) or "something whose name is not shown here"
    return f"{name}, version {shown_name(making.version) or 'not shown here'}"


def _policy(s: PolicyStatement, _entry: Entry) -> Words:
    kind = text_of(s.kind)
    link = links.policy(kind.removeprefix(CLEARING)) if kind.startswith(CLEARING) else ""
    facts = (Fact("Policy", kind, link), _bytes("Document", s.document))
    return Words(f"The network's policy {kind} is this document from here on.", facts, link)


FAULTS: Final = {
    "equivocation": "A node signed two different receipts for one position.",
    "refuted_verdict": "A full node objected to an entry in which others find nothing wrong.",
}
_TABLE: Final[dict[Kind, Callable[[Any, Entry], Words]]] = {
    Kind.REGISTRATION: _registration,
    Kind.RETIREMENT: _retirement,
    Kind.COMPROMISE: _compromise,
    Kind.APPROVAL: _approval,
    Kind.REVOCATION: _revocation,
    Kind.PUBLICATION: _publication,
    Kind.VERSION: _version,
    Kind.RECEIPT: _receipt,
    Kind.VERDICT: _verdict,
    Kind.FAULT: _fault,
    Kind.REVIEW: _review,
    Kind.OUTCOME: _outcome,
    Kind.DERIVATION: _derivation,
    Kind.POLICY: _policy,
    Kind.OFFER: _offer,
    Kind.ISSUER_EPOCH: _issuer_epoch,
}


def _document(entry: Entry, kind: type[Any]) -> Any:
    """The attached document, where it can be read."""
    try:
        return kind.decode(entry.attachments[0])
    except (HallmarkError, IndexError):
        return None


def _key(name: str, key: bytes) -> Fact:
    return _bytes(name, key, links.node(key))


def _bytes(name: str, value: bytes, link: str = "") -> Fact:
    text = hex0x(value)
    return Fact(name, text if any(value) else "none", link, text if any(value) else "")


def _reason(code: bytes) -> Fact:
    return Fact("Reason", text_of(code))
