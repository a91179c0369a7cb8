"""Who an entry is from, as far as the log cares: which lane it travels in, and whose quota it uses.

`presume` reads it from the statement alone, before any signature is looked at, and refuses what names nobody
known; `confirm` then holds the statement to its signatures and attachments. Both are tables by kind. They
keep strangers from adding entries in the name of others, also by way of copies: each signature and
attachment must be one that the statement calls for, so an entry that was logged has no second form.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec

from hallmark.core.document import Document, digest_of, unhex
from hallmark.core.documents import AttestationPolicy, Candidates, ClearingPolicy, RouteRecord
from hallmark.core.entries import SIGNATURE_SIZE, Entry, Kind
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.money import Payment
from hallmark.core.objected import decode_runs, digest_of_runs
from hallmark.core.receipt import Receipt
from hallmark.core.statements import (
    Derivation,
    Fault,
    IssuerEpoch,
    Outcome,
    Registration,
    Role,
    Ticket,
    Verdict,
    text_of,
)
from hallmark.crypto.secp256k1 import recover
from hallmark.services.log.membership import Member, Membership, Note
from hallmark.verification.judged_statement import CLEARING, DOCUMENTS, ROLES
from hallmark.verification.objections import EQUIVOCATION

Signers = Sequence[bytes | None]


class Lane(enum.IntEnum):
    """How an entry travels: receipts first, then other entries of members, then those of strangers."""

    RECEIPTS = 0
    MEMBERS = 1
    STRANGERS = 2


class Submitter(msgspec.Struct, frozen=True):
    """A lane, the quota that is used (empty: none), and the key that it is used of."""

    lane: Lane
    quota: str = ""
    key: bytes = b""


STRANGER: Final = Submitter(Lane.STRANGERS, "strangers")
AUTHORITY: Final = Submitter(Lane.MEMBERS)


class SignerUnknown(Conflict):
    """The named key is not registered here. It may be soon, so asking again can help."""

    retry = True


class Authority(msgspec.Struct, frozen=True):
    """The network's authority: 20-byte addresses, how many of them must sign together, and the chain id that
    all signatures are for.
    """

    keys: frozenset[bytes]
    threshold: int
    chain_id: int

    def signed(self, signers: Signers) -> bool:
        """Whether these are authority keys, all of them, distinct, and enough."""
        return (
            len(signers) >= self.threshold and len(set(signers)) == len(signers) and set(signers) <= self.keys
        )


def presume(entry: Entry, known: Membership) -> Submitter:
    """What the statement claims. Raises SignerUnknown `signer_unknown` when nobody known may say it."""
    statement: Any = entry.statement
    match entry.kind:
        case Kind.RECEIPT:
            return _receipt(statement, known)
        case Kind.REGISTRATION if statement.role != Role.NODE:
            return AUTHORITY
        case Kind.REGISTRATION:
            return _registration(statement, known)
        case Kind.PUBLICATION:
            return _member(statement.owner) if known.vouched(statement.owner) else STRANGER
        case Kind.OFFER:
            return _member(statement.owner) if known.vouched(statement.owner) else _unknown()
        case Kind.ISSUER_EPOCH:
            known_issuer = known.member(statement.issuer, Role.ISSUER)
            return Submitter(Lane.MEMBERS, "members", statement.issuer) if known_issuer else _unknown()
        case Kind.VERSION:
            return _published(statement.owner, known)
        case Kind.RETIREMENT | Kind.COMPROMISE:
            # Whose quota it uses is settled by who signed: a thief of the key shall not use it up before.
            return AUTHORITY if known.member(statement.key) else _unknown()
        case Kind.VERDICT:
            return _objection(statement.author, known) or _unknown()
        case Kind.FAULT:
            return _objection(statement.author, known) or _accusation(statement, known)
        case Kind.REVIEW:
            registered = known.member(statement.reviewer, Role.REVIEWER)
            return Submitter(Lane.MEMBERS, "reviews", statement.reviewer) if registered else _unknown()
        case Kind.OUTCOME:
            return _outcome(statement, known)
        case Kind.DERIVATION:
            return _published(statement.author, known)
    return AUTHORITY


def _registration(statement: Registration, known: Membership) -> Submitter:
    """A node's. One that refreshes its evidence travels with its receipts: those after it need it."""
    if known.member(statement.key, Role.NODE) is not None:
        return Submitter(Lane.RECEIPTS, "members", statement.key)
    return _member(statement.owner) if known.vouched(statement.owner) else STRANGER


def _published(owner: bytes, known: Membership) -> Submitter:
    """What the owner of a label says of what he published."""
    if known.vouched(owner):
        return _member(owner)
    return STRANGER if known.publisher(owner) else _unknown()


def _receipt(receipt: Receipt, known: Membership) -> Submitter:
    member = known.member(receipt.node, Role.NODE)
    if member is None:
        return _unknown()
    slowed, new = known.is_slowed(receipt.node), known.is_new(member)
    quota = "slowed" if slowed else "new" if new else "receipts"
    return Submitter(Lane.RECEIPTS, quota, receipt.node)


def _objection(author: bytes, known: Membership) -> Submitter | None:
    if known.member(author, Role.FULL_NODE) is None:
        return None
    return Submitter(Lane.MEMBERS, "objections", author)


def _accusation(fault: Fault, known: Membership) -> Submitter:
    """Anybody may prove an equivocation; only full nodes refute verdicts."""
    if text_of(fault.kind) != EQUIVOCATION:
        return _unknown()
    return _member(fault.author) if known.member(fault.author) else STRANGER


def _outcome(outcome: Outcome, known: Membership) -> Submitter:
    """Anybody may say how an answer turned out: reviewers as they review, strangers for a proof of work."""
    if known.member(outcome.speaker, Role.REVIEWER):
        return Submitter(Lane.MEMBERS, "reviews", outcome.speaker)
    vouched = known.member(outcome.speaker) or known.vouched(outcome.speaker)
    return _member(outcome.speaker) if vouched else STRANGER


def _member(key: bytes) -> Submitter:
    return Submitter(Lane.MEMBERS, "members", key)


def _unknown() -> Submitter:
    raise SignerUnknown(
        "signer_unknown",
        "The key in whose name this entry speaks is not registered in this log.",
        "Register it first.",
    )


def confirm(entry: Entry, signers: Signers, known: Membership, authority: Authority) -> Note:
    """What the log remembers of an entry that is what it claims to be. Raises VerificationFailed
    `bad_signature`, `wrong_signer`, InvalidInput `attachments_malformed`, `document_mismatch`,
    `objected_malformed`.
    """
    if None in signers:
        raise VerificationFailed("bad_signature", "A signature of the entry is none.")
    return _CONFIRM[entry.kind](entry, signers, known, authority)


def settled(entry: Entry, signers: Signers, authority: Authority, presumed: Submitter) -> Submitter:
    """The standing of what was confirmed: what ends a key uses the quota of whoever signed, none when
    that is the authority.
    """
    ends = entry.kind in (Kind.RETIREMENT, Kind.COMPROMISE)
    if not ends or signers[0] is None or authority.signed(signers):
        return presumed
    return _member(signers[0])


def _confirm_receipt(entry: Entry, signers: Signers, _known: Membership, authority: Authority) -> Note:
    receipt = cast(Receipt, entry.statement)
    _signed(signers, receipt.node)
    paid = receipt.payment != ZERO32
    _attached(entry, 5 if paid else 3, RouteRecord, receipt.route)
    if not _passed(authority.chain_id, *entry.attachments[:3]):
        raise _mismatch()
    if paid and not _recorded(receipt.payment, *entry.attachments[3:]):
        raise _mismatch()
    return Note(key=receipt.node)


def _recorded(payment: bytes, record: bytes, authorization: bytes) -> bool:
    """Whether the payment record is the receipt's, and a payer signed something where one pays. That it is
    what the record names is for full nodes: the record alone does not tell in which contract it counts.
    """
    try:
        free = Payment.decode(record).rail == "free"
    except HallmarkError:
        return False
    return digest_of(Payment, record) == payment and bool(authorization) is not free


def _passed(chain_id: int, route: bytes, candidates: bytes, ticket: bytes) -> bool:
    """Whether ticket and candidates are those of the route record, none beside a direct one."""
    try:
        named, packed = unhex(RouteRecord.decode(route).ticket), ticket[:-SIGNATURE_SIZE]
        if named == ZERO32:
            return not candidates and not ticket
        statement = Ticket.unpack(packed)
        signer = recover(statement.signing_digest(chain_id), ticket[-SIGNATURE_SIZE:])
    except HallmarkError:
        return False
    offered = digest_of(Candidates, candidates)
    return (statement.struct_hash(), signer, offered) == (named, statement.gateway, statement.candidates)


def _confirm_registration(entry: Entry, signers: Signers, _known: Membership, authority: Authority) -> Note:
    s = cast(Registration, entry.statement)
    if tuple(signers[:2]) != (s.key, s.owner):
        raise _wrong()
    if s.role == Role.NODE:
        _signed(signers, s.key, s.owner)
    elif not authority.signed(signers[2:]):
        raise _wrong()
    document = ROLES.get(s.role)
    _attached(entry, 2, document, s.document)
    evidence = entry.attachments[1]
    if s.evidence != sha256(evidence) and (evidence or s.evidence != ZERO32):
        raise _mismatch()
    return Note(s.struct_hash(), s.key, joins=Member(s.key, s.role, s.owner))


def _confirm_ending(entry: Entry, signers: Signers, known: Membership, authority: Authority) -> Note:
    s: Any = entry.statement
    member = known.member(s.key)
    if member is None:
        _unknown()
    elif tuple(signers) not in ((s.key,), (member.owner,)) and not (
        entry.kind is Kind.COMPROMISE and authority.signed(signers)
    ):
        raise _wrong()
    _attached(entry, 0)
    return Note(s.struct_hash())


def _confirm_authority(entry: Entry, signers: Signers, _known: Membership, authority: Authority) -> Note:
    s: Any = entry.statement
    if not authority.signed(signers):
        raise _wrong()
    if entry.kind is Kind.REVOCATION:
        _attached(entry, 0)
    elif entry.kind is Kind.POLICY:
        clearing = text_of(s.kind).startswith(CLEARING)
        _attached(entry, 1, ClearingPolicy if clearing else AttestationPolicy, s.document)
    else:
        _attached(entry, 1, DOCUMENTS[entry.kind], s.document)
    return Note(s.struct_hash())


def _confirm_owner(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    s: Any = entry.statement
    _signed(signers, s.owner)
    _attached(entry, 1, DOCUMENTS[entry.kind], s.document)
    return Note(s.struct_hash(), publisher=s.owner)


def _confirm_issuer(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    s = cast(IssuerEpoch, entry.statement)
    _signed(signers, s.issuer)
    _attached(entry, 1, DOCUMENTS[entry.kind], s.document)
    return Note(s.struct_hash(), s.issuer)


def _confirm_outcome(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    s = cast(Outcome, entry.statement)
    _signed(signers, s.speaker)
    _attached(entry, 1, DOCUMENTS[entry.kind], s.document)
    return Note(s.struct_hash(), s.speaker)


def _confirm_derivation(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    s = cast(Derivation, entry.statement)
    _signed(signers, s.author)
    _attached(entry, 1, DOCUMENTS[entry.kind], s.document)
    return Note(s.struct_hash())


def _confirm_verdict(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    s = cast(Verdict, entry.statement)
    _signed(signers, s.author)
    _attached(entry, 1)
    if digest_of_runs(entry.attachments[0]) != s.objected:
        raise _mismatch()
    return Note(s.struct_hash(), s.author, objects=decode_runs(entry.attachments[0]))


def _confirm_said(entry: Entry, signers: Signers, _known: Membership, _authority: Authority) -> Note:
    """A fault or a review: one signature, nothing attached."""
    s: Any = entry.statement
    author = s.author if entry.kind is Kind.FAULT else s.reviewer
    _signed(signers, author)
    _attached(entry, 0)
    return Note(s.struct_hash(), author)


_CONFIRM: Final[dict[Kind, Callable[[Entry, Signers, Membership, Authority], Note]]] = {
    Kind.RECEIPT: _confirm_receipt,
    Kind.REGISTRATION: _confirm_registration,
    Kind.RETIREMENT: _confirm_ending,
    Kind.COMPROMISE: _confirm_ending,
    Kind.APPROVAL: _confirm_authority,
    Kind.REVOCATION: _confirm_authority,
    Kind.POLICY: _confirm_authority,
    Kind.PUBLICATION: _confirm_owner,
    Kind.VERSION: _confirm_owner,
    Kind.OFFER: _confirm_owner,
    Kind.ISSUER_EPOCH: _confirm_issuer,
    Kind.VERDICT: _confirm_verdict,
    Kind.FAULT: _confirm_said,
    Kind.REVIEW: _confirm_said,
    Kind.OUTCOME: _confirm_outcome,
    Kind.DERIVATION: _confirm_derivation,
}


def _signed(signers: Signers, *by: bytes) -> None:
    if tuple(signers) != by:
        raise _wrong()


def _attached(entry: Entry, count: int, document: type[Document] | None = None, digest: bytes = b"") -> None:
    if len(entry.attachments) != count:
        raise InvalidInput("attachments_malformed", "The entry's attachments are not those of its kind.")
    if digest and (document is None or digest_of(document, entry.attachments[0]) != digest):
        raise _mismatch()


def _wrong() -> HallmarkError:
    return VerificationFailed(
        "wrong_signer", "The entry is not signed by those, and those alone, whom it names."
    )


def _mismatch() -> HallmarkError:
    return InvalidInput("document_mismatch", "An attachment is not the one that the statement commits to.")
