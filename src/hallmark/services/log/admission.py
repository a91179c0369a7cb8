"""What an entry must be to get into the log. Cheap on purpose: full nodes judge, the log orders.

In this order, so that what costs more is only done for what passed before:

1. The bytes are no more than its kind needs, and an entry (`core.entries`) for this network, signed.
2. It speaks in the name of somebody who may say such things: a registered key, an owner, the authority. In
   nobody's name a node may register, a label be claimed, an equivocation be shown, with a proof of work.
3. The quota of that key (of a stranger: of the address, and of all strangers together) has room.
4. Its signatures are those that it calls for, and its attachments those that it commits to.
5. It is new. The same entry is told its place again, at no charge; another form of a statement is refused.
6. Only then is the quota used: nobody can use up another's.

That a receipt's predecessor is in the log is the sequencer's to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hallmark.core.entries import MAX_ENTRY, Entry, Kind, decode, entry_id
from hallmark.core.errors import (
    Conflict,
    HallmarkError,
    InvalidInput,
    RateLimited,
    TooLarge,
    VerificationFailed,
)
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import recover
from hallmark.ledger import proof_of_work
from hallmark.services.log.membership import Membership, Note
from hallmark.services.log.quotas import Buckets, source_of, whole_seconds
from hallmark.services.log.settings import Quota, Quotas
from hallmark.services.log.submitters import Authority, Lane, Submitter, confirm, presume, settled

SMALL: Final = 2_048
SIZES: Final[dict[int, int]] = {
    Kind.REGISTRATION: 49_152,
    Kind.RETIREMENT: SMALL,
    Kind.COMPROMISE: SMALL,
    Kind.APPROVAL: 16_384,
    Kind.REVOCATION: SMALL,
    Kind.PUBLICATION: 16_384,
    Kind.VERSION: 32_768,
    Kind.RECEIPT: 32_768,
    Kind.VERDICT: 8_192,
    Kind.FAULT: SMALL,
    Kind.REVIEW: SMALL,
    Kind.POLICY: 32_768,
    Kind.OFFER: 16_384,
    Kind.ISSUER_EPOCH: 16_384,
    Kind.OUTCOME: 16_384,
    Kind.DERIVATION: 16_384,
}
"""The largest entry of each kind, in bytes."""
MAX_SIGNATURES: Final = 16
ONE: Final = frozenset(
    (
        Kind.RECEIPT,
        Kind.VERDICT,
        Kind.FAULT,
        Kind.REVIEW,
        Kind.PUBLICATION,
        Kind.VERSION,
        Kind.RETIREMENT,
        Kind.OFFER,
        Kind.ISSUER_EPOCH,
        Kind.OUTCOME,
        Kind.DERIVATION,
    )
)
"""Kinds with one signature."""
MAX_MANY_ENTRIES: Final = 4_096
ALL: Final = b""
TOGETHER: Final = {"strangers": "all_strangers", "new": "all_new"}
"""Quotas by key that another one, of all of them together, bounds as well."""


class Submission(msgspec.Struct, frozen=True):
    """An entry that may be logged. `node` and `sequence` are a receipt's, else empty and 0."""

    data: bytes
    entry_id: bytes
    node: bytes = b""
    sequence: int = 0
    standing: Submitter = Submitter(Lane.RECEIPTS)
    note: Note = Note()
    source: bytes = b""


class Claim(msgspec.Struct, frozen=True):
    """An entry whose signatures were not looked at yet: its bytes, what they say, and in whose name."""

    data: bytes
    entry_id: bytes
    entry: Entry
    standing: Submitter
    source: bytes


class Admission:
    """See the module docstring. `clock` gives seconds; `highest` a node's highest sequence, -1 for none."""

    def __init__(
        self,
        network: bytes,
        known: Membership,
        *,
        authority: Authority,
        quotas: Quotas,
        clock: Callable[[], float],
        highest: Callable[[bytes], int] = lambda _: -1,
    ) -> None:
        self.quotas = quotas
        self._network = network
        self._known, self._authority = known, authority
        self._clock, self._highest = clock, highest
        fields = msgspec.structs.asdict(quotas).items()
        self._buckets = {name: Buckets(quota) for name, quota in fields if isinstance(quota, Quota)}
        self._shared = {source_of(host) for host in quotas.shared_addresses}

    def hears(self, source: bytes) -> bool:
        """Whether an address has not sent too much that had to be refused."""
        return not self._closed_for(source)

    def open_to(self, source: bytes) -> None:
        """Raises RateLimited `too_much_refused` to an address that sent too much that had to be refused."""
        wait = self._closed_for(source)
        if wait:
            seconds = whole_seconds(wait)
            raise RateLimited("too_much_refused", "Too much from this address had to be refused.", seconds)

    def _closed_for(self, source: bytes) -> float:
        """Seconds for which an address is not heard; 0 when it is."""
        return 0.0 if source in self._shared else self._buckets["refusals"].wait(source, self._clock())

    def refused(self, source: bytes) -> None:
        """Something from this address was damaged, foreign or forged."""
        self._buckets["refusals"].take(source, self._clock())

    def claim(self, data: bytes, source: bytes = b"", nonce: bytes = b"") -> Claim:
        """Rules 1 to 3. Raises InvalidInput `bad_entry`, `wrong_network`, `too_many_signatures`; TooLarge
        `entry_too_large`; VerificationFailed `signature_missing`; SignerUnknown `signer_unknown`; WorkMissing
        `work_missing`; RateLimited `quota_used`.
        """
        entry = read(data, self._network)
        standing = presume(entry, self._known)
        name = entry_id(data)
        bits = self.quotas.work_bits
        if standing.lane is Lane.STRANGERS and not proof_of_work.holds(name, nonce, bits):
            raise proof_of_work.missing(bits)
        receipt = entry.statement
        if not isinstance(receipt, Receipt) or receipt.sequence > self._highest(receipt.node):
            self._look(standing, source)  # of the others `charge` will say what they use
        return Claim(data, name, entry, standing, source)

    def admit(self, claim: Claim) -> Submission:
        """Rule 4; what is dear, and fit for a thread. Raises what `confirm` raises."""
        digest = claim.entry.statement.signing_digest(self._authority.chain_id)
        signers = tuple(_recovered(digest, signature) for signature in claim.entry.signatures)
        note = confirm(claim.entry, signers, self._known, self._authority)
        standing = settled(claim.entry, signers, self._authority, claim.standing)
        statement = claim.entry.statement
        node, sequence = (statement.node, statement.sequence) if isinstance(statement, Receipt) else (b"", 0)
        return Submission(claim.data, claim.entry_id, node, sequence, standing, note, claim.source)

    def repeats(self, submission: Submission) -> bool:
        """Whether a receipt for that sequence is in the log, or on its way, already."""
        return submission.node != b"" and submission.sequence <= self._highest(submission.node)

    def charge(self, submission: Submission) -> Submission:
        """Rule 6, for what is about to get a place; as it is to be placed. Raises RateLimited `quota_used`,
        Conflict `statement_logged`.
        """
        if submission.note.statement and self._known.is_coming(submission.note.statement):
            raise statement_logged()
        if self.repeats(submission):
            standing = Submitter(Lane.STRANGERS, "repeats", submission.node)
            submission = msgspec.structs.replace(submission, standing=standing)
        self._look(submission.standing, submission.source)
        now = self._clock()
        for bucket, key in self._used(submission.standing, submission.source):
            bucket.take(key, now)
        self._known.expect(submission.note)
        return submission

    def _look(self, standing: Submitter, source: bytes) -> None:
        now = self._clock()
        wait = max((bucket.wait(key, now) for bucket, key in self._used(standing, source)), default=0.0)
        if wait:
            seconds = whole_seconds(wait)
            raise RateLimited("quota_used", "More of this kind was sent than the quota allows.", seconds)

    def _used(self, standing: Submitter, source: bytes) -> list[tuple[Buckets, bytes]]:
        if not standing.quota:
            return []
        one = self._buckets[standing.quota], standing.key or source
        together = TOGETHER.get(standing.quota)
        return [one, (self._buckets[together], ALL)] if together else [one]


def statement_logged() -> Conflict:
    """The refusal of another form of what the log has."""
    return Conflict("statement_logged", "The log has this statement already, in another entry.")


def read(data: bytes, network: bytes) -> Entry:
    """Rule 1; raises as `Admission.claim` says."""
    limit = SIZES.get(data[1], MAX_ENTRY) if len(data) > 1 else MAX_ENTRY
    if len(data) > limit:
        raise TooLarge(
            "entry_too_large", f"An entry of this kind has at most {limit} bytes, this one {len(data)}."
        )
    entry = decode(data)
    if getattr(entry.statement, "network", None) != network:
        raise InvalidInput("wrong_network", "The entry is for another network.")
    if not entry.signatures:
        raise VerificationFailed("signature_missing", "The entry carries no signature.")
    most = 1 if entry.kind in ONE else MAX_SIGNATURES
    if len(entry.signatures) > most:
        raise InvalidInput("too_many_signatures", f"An entry of this kind has at most {most} signatures.")
    return entry


def _recovered(digest: bytes, signature: bytes) -> bytes | None:
    try:
        return recover(digest, signature)
    except HallmarkError:
        return None


def split_many(body: bytes) -> list[bytes]:
    """Entries of an add-many body: u32be length || entry, repeated. Raises InvalidInput `bad_add_many`,
    TooLarge `too_many_entries`.
    """
    entries: list[bytes] = []
    at, end = 0, len(body)
    while at < end:
        if len(entries) == MAX_MANY_ENTRIES:
            raise TooLarge("too_many_entries", f"At most {MAX_MANY_ENTRIES} entries at a time.")
        length = int.from_bytes(body[at : at + 4], "big")
        at += 4
        if at + length > end:
            raise InvalidInput("bad_add_many", "The body is cut off.")
        entries.append(body[at : at + length])
        at += length
    return entries


def join_many(entries: list[bytes]) -> bytes:
    """An add-many body."""
    return b"".join(part for entry in entries for part in (len(entry).to_bytes(4, "big"), entry))
