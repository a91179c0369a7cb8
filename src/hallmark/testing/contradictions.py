"""Saved receipts of which one part contradicts another one, or itself, whatever else is left out.

Each is a contradiction that is easily taken for something absent: the mark that speaks of it must fail, with
the reason that is named here. Both verifiers are held to these.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry, decode
from hallmark.core.hashing import ZERO32
from hallmark.core.marks import Question
from hallmark.core.merkle import leaf_hash
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.withheld import Withheld, put, put_document, put_entry
from hallmark.verification.dossier import Dossier, LoggedPart
from hallmark.verification.tree import Tree

replace = msgspec.structs.replace


class Contradiction(NamedTuple):
    """A file, the mark that must fail, and the reason."""

    name: str
    dossier: Dossier
    question: Question
    reason: str


def contradictions(made: Withheld) -> Iterator[Contradiction]:
    """Every contradiction that is known of a file about an artifact's answer."""
    yield from _of_the_log(made)
    yield from _of_what_is_hidden(made)
    yield from _of_attachments(made)


def _of_the_log(made: Withheld) -> Iterator[Contradiction]:
    whole, fork = made.whole, Notary(forked(made.net))
    registered, version = made.net.nodes[0].registered, made.net.version_index
    for name, at in (("registration", registered), ("version", version)):
        two = put(**{name: fork.part(at)})(whole)
        yield Contradiction(f"{name} below another root", two, Question.PROVED, "checkpoint_conflict")
    review = put(reviews=(fork.part(made.reviewed_at),))(whole)
    yield Contradiction("review below another root", review, Question.PROVED, "checkpoint_conflict")
    unplaced = put(entry=None, reviews=())(whole)
    assert whole.anchor is not None
    for name, change in {"root": {"root": hex0x(ZERO32)}, "contract": {"contract": "0x" + "bb" * 20}}.items():
        saved = put(anchor=replace(whole.anchor, **change))(unplaced)
        yield Contradiction(f"anchor of another {name}, no entry", saved, Question.PROVED, "anchor_mismatch")
    assert whole.entry is not None
    *lines, last, end = (whole.entry.proof or "").split("\n")
    wrong = last[:-8] + ("A" if last[-8] != "A" else "B") + last[-7:]
    flipped = put_entry(proof="\n".join((*lines, wrong, end)), after=None)(whole)
    yield Contradiction("one cosignature of four is wrong", flipped, Question.PROVED, "proof_invalid")


def _of_what_is_hidden(made: Withheld) -> Iterator[Contradiction]:
    whole = made.whole
    junk = base64.b64encode(b"junk").decode()
    hidden = put(evidence=junk, registration=None)(put_document(bundle="")(whole))
    yield Contradiction("unreadable evidence, no bundle", hidden, Question.RAN, "evidence_unreadable")
    plain = _vanilla(made.net, made.notary)
    saved = put(evidence=whole.evidence)(put_document(bundle="")(plain))
    yield Contradiction("evidence without an enclave, no bundle", saved, Question.RAN, "evidence_unexpected")
    ticket = (whole.ticket or "")[:-4] + "001b"
    saved = put(ticket=ticket, entry=None)(put_document(route="")(whole))
    yield Contradiction("unsigned ticket, no route", saved, Question.ROUTE, "ticket_unsigned")
    unsigned = _unsigned(made.notary.part(made.reviewed_at))
    for name, change in {
        "entry": put(entry=None),
        "ticket": put(ticket=None),
        "bundle": put_document(bundle=""),
    }.items():
        saved = put(reviews=(unsigned,))(change(whole))
        yield Contradiction(f"unsigned review, no {name}", saved, Question.REVIEWED, "bad_signature")


def _of_attachments(made: Withheld) -> Iterator[Contradiction]:
    whole = made.whole
    assert whole.entry is not None
    assert whole.registration is not None
    assert whole.version is not None
    other = base64.b64decode(made.notary.part(made.net.nodes[1].registered).data)
    foreign = decode(other).attachments
    bare = put_document(route="", bundle="", manifest=None, candidates=None)(
        put(ticket=None, evidence=None, reviews=())(whole)
    )
    rows = (
        ("entry", whole.entry, 0, b"{}", Question.PROVED, "entry_mismatch"),
        ("registration", whole.registration, 0, foreign[0], Question.RAN, "registration_mismatch"),
        ("registration", whole.registration, 1, foreign[1], Question.RAN, "registration_mismatch"),
        ("version", whole.version, 0, b"{}", Question.MODEL, "version_mismatch"),
    )
    for name, part, at, data, question, reason in rows:
        saved = put(**{name: _attached(part, at, data)})(bare)
        yield Contradiction(f"{name} attaches another {at}", saved, question, reason)


def forked(net: LittleNetwork) -> LittleNetwork:
    """The same network with another last leaf: a log of the same size and another root, by the same keys."""
    fork = copy.copy(net)
    fork.leaves, fork.tree = [*net.leaves[:-1], b"another leaf"], Tree()
    for leaf in fork.leaves:
        fork.tree.append(leaf_hash(leaf))
    return fork


def _vanilla(net: LittleNetwork, notary: Notary) -> Dossier:
    party = Party("without an enclave", Role.NODE)
    party.bundle = net.bundle(party, Mode.VANILLA)
    return replace(notary.dossier(net.answer(party), None))


def _unsigned(part: LoggedPart) -> LoggedPart:
    entry = decode(base64.b64decode(part.data))
    signature = entry.signatures[0]
    return _unproven(part, replace(entry, signatures=(bytes((signature[0] ^ 1,)) + signature[1:],)))


def _attached(part: LoggedPart, at: int, data: bytes) -> LoggedPart:
    entry = decode(base64.b64decode(part.data))
    attachments = tuple(data if i == at else each for i, each in enumerate(entry.attachments))
    return _unproven(part, replace(entry, attachments=attachments))


def _unproven(part: LoggedPart, entry: Entry) -> LoggedPart:
    data = base64.b64encode(entry.encode()).decode()
    return replace(part, data=data, proof=None, after=None)
