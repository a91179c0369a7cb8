"""A receipt entry as it is judged: the receipt and everything beside it, decoded once.

Route tickets are verified once per exact bytes: one ticket may carry many receipts, so what its bytes say is
kept in a bounded table (the gateway's standing is looked up afresh each time).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Candidates, Manifest, RouteRecord
from hallmark.core.entries import SIGNATURE_SIZE, Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.money import Payment
from hallmark.core.receipt import Receipt
from hallmark.core.registry import Chain, IssuedKeys, Link, Member
from hallmark.core.statements import Role, Ticket
from hallmark.core.tokens import GRACE_MS, TokenSpend
from hallmark.crypto.token_keys import KeySet
from hallmark.verification.attested import Attested
from hallmark.verification.judged_entry import SKEW_MS, Context, JudgedEntry, signers_of
from hallmark.verification.lazy import lazy
from hallmark.verification.packed import struct_hash

DIRECT = "0x" + "00" * 32
TICKETS_KEPT = 16_384
KEY_SETS_KEPT = 64
PLACE_TAG = b"hallmark/journal-place/v1\0"
NO_CHAIN = Chain(-1)


class ParsedTicket(msgspec.Struct, frozen=True):
    """A ticket read from its bytes: the statement, its struct hash, who signed it, and the candidates it
    commits to as node to bundle digest (None when the candidates document is not the one it commits to).
    """

    ticket: Ticket
    hash_hex: str
    signer: bytes | None
    candidates: Mapping[bytes, bytes] | None


class ReceiptCaches:
    """What a replica keeps between receipts: bundles by (key, digest), artifacts by manifest, tickets."""

    def __init__(self) -> None:
        self.attested: dict[tuple[bytes, bytes], Attested] = {}
        self.artifacts: dict[bytes, bytes] = {}
        self.passages: dict[bytes, ParsedTicket | None] = {}
        self.candidates: dict[bytes, Mapping[bytes, bytes] | None] = {}
        self.key_sets: dict[bytes, KeySet] = {}

    def passage(self, ticket: bytes, candidates: bytes, chain_id: int) -> ParsedTicket | None:
        """What these exact bytes say; None when they are not a ticket and its candidates."""
        key = sha256(len(ticket).to_bytes(4, "big"), ticket, candidates)
        if key not in self.passages:
            if len(self.passages) >= TICKETS_KEPT:
                self.passages.clear()
            self.passages[key] = parse_ticket(ticket, candidates, chain_id, self.candidates)
        return self.passages[key]

    def key_set(self, digest: bytes, issued: IssuedKeys) -> KeySet:
        """A key set that stands in the log, its keys read once."""
        if digest not in self.key_sets:
            if len(self.key_sets) >= KEY_SETS_KEPT:
                self.key_sets.clear()
            self.key_sets[digest] = KeySet(issued.document)
        return self.key_sets[digest]


class JudgedReceipt(JudgedEntry):
    """A receipt with its attachments decoded and its node looked up."""

    def __init__(
        self,
        context: Context,
        memory: ReceiptCaches,
        *,
        index: int,
        admitted: int,
        entry: Entry,
        packed: bytes,
    ) -> None:
        super().__init__(context, index, admitted, entry, packed=packed)
        self.receipt = receipt = cast(Receipt, entry.statement)
        self.node_hex = hex0x(receipt.node)
        self.node: Member | None = self.registry.member(receipt.node, Role.NODE, index)
        self.chain = self.registry.chains.get(receipt.node, NO_CHAIN)
        self.attested = memory.attested.get((receipt.node, receipt.bundle)) if self.node else None
        known = self.registry.manifests.get(receipt.manifest)
        self.manifest: Manifest | None = known[1] if known else None
        self.manifest_position = known[0] if known else 0
        self.manifest_artifact = memory.artifacts.get(receipt.manifest, b"")
        self._memory = memory
        self.name = b""
        """The entry's id; 32 bytes."""

    @lazy
    def taken(self) -> Link | None:
        """What stands in this key's chain at this sequence."""
        return self.registry.link(self.chain, self.receipt.sequence)

    @lazy
    def before(self) -> Link | None:
        """What stands in this key's chain one sequence earlier."""
        return self.registry.link(self.chain, self.receipt.sequence - 1)

    # What reads a stranger's documents is computed inside the check that first asks, not at the beginning:
    # should reading them fail, that check fails, and the receipt still takes its place in its key's chain.

    @lazy
    def route_committed(self) -> bool:
        """True when the attached route record is the one that the receipt commits to."""
        return digest_of(RouteRecord, self.attachment(0)) == self.receipt.route

    @lazy
    def route(self) -> RouteRecord | None:
        """The route record; None when it is another, or cannot be read."""
        return _route(self.attachment(0)) if self.route_committed else None

    @lazy
    def payment_committed(self) -> bool:
        """True when the attached payment record is the one that the receipt commits to."""
        return digest_of(Payment, self.attachment(3)) == self.receipt.payment

    @lazy
    def payment(self) -> Payment | None:
        """The payment record; None when there is none, it is another, or it cannot be read."""
        if self.receipt.payment == ZERO32 or not self.payment_committed:
            return None
        try:
            return Payment.decode(self.attachment(3))
        except HallmarkError:
            return None

    @lazy
    def journal_place(self) -> bytes:
        """What names the place in a settlement key's journal at which a paid answer ended; 32 bytes, empty
        where nobody pays or the attested bundle names no such key.
        """
        if self.payment is None or self.payment.rail == "free" or self.attested is None:
            return b""
        settlement = self.attested.bundle.settlement
        if settlement is msgspec.UNSET:
            return b""
        return sha256(PLACE_TAG, unhex(settlement), self.payment.position.to_bytes(8, "big"))

    @lazy
    def tokens(self) -> TokenSpend | None:
        """The tokens that were spent; None where it was paid otherwise, or they cannot be read."""
        if self.payment is None or self.payment.rail != "token":
            return None
        try:
            return TokenSpend.decode(self.attachment(4))
        except HallmarkError:
            return None

    @lazy
    def issued(self) -> IssuedKeys | None:
        """The key set of the tokens, as the log has it; None once receipts that it paid come too late."""
        found = self.registry.issuer_keys.get(self.tokens.keys) if self.tokens else None
        return found if found and self.admitted < found.document.until + GRACE_MS else None

    @lazy
    def key_set(self) -> KeySet | None:
        """The same, ready for use."""
        return self._memory.key_set(self.tokens.keys, self.issued) if self.tokens and self.issued else None

    @lazy
    def nullifiers(self) -> tuple[bytes, ...]:
        """What the registry knows the tokens by; 40 bytes each."""
        if self.tokens is None or self.issued is None or self.key_set is None:
            return ()
        place, known = self.issued.position.to_bytes(8, "big"), self.key_set
        return tuple([place + known.nullifier(token) for token in self.tokens.tokens])

    @lazy
    def direct(self) -> bool:
        """True when the request came without a ticket."""
        return self.route is not None and self.route.ticket == DIRECT

    @lazy
    def passage(self) -> ParsedTicket | None:
        """What ticket and candidates say; None without a ticket that can be read."""
        if self.route is None or self.direct:
            return None
        return self._memory.passage(self.attachment(2), self.attachment(1), self.genesis.chain_id)

    @property
    def passage_expired(self) -> bool:
        """True when the ticket had expired, or was not issued yet, as the node started."""
        if self.passage is None:
            return False
        ticket, started = self.passage.ticket, self.receipt.started
        return started > ticket.expires + SKEW_MS or started + SKEW_MS < ticket.issued


def parse_ticket(
    ticket: bytes,
    candidates: bytes,
    chain_id: int,
    known: dict[bytes, Mapping[bytes, bytes] | None] | None = None,
) -> ParsedTicket | None:
    """Read packed ticket || signature and the candidates beside it; None unless the first is a ticket.

    `known` keeps what candidates documents say, by digest: many tickets offer the same nodes.
    """
    packed, signature = ticket[:-SIGNATURE_SIZE], ticket[-SIGNATURE_SIZE:]
    try:
        statement = Ticket.unpack(packed)
    except HallmarkError:
        return None
    hashed = struct_hash(Ticket, packed)
    (signer,) = signers_of(hashed, (signature,), chain_id)
    digest = digest_of(Candidates, candidates)
    if digest != statement.candidates:
        return ParsedTicket(statement, hex0x(hashed), signer, None)
    table = {} if known is None else known
    if digest not in table:
        if len(table) >= TICKETS_KEPT:
            table.clear()
        table[digest] = _candidates(candidates)
    return ParsedTicket(statement, hex0x(hashed), signer, table[digest])


def _candidates(data: bytes) -> Mapping[bytes, bytes] | None:
    try:
        return {unhex(c.node): unhex(c.bundle) for c in Candidates.decode(data).candidates}
    except HallmarkError:
        return None


def _route(data: bytes) -> RouteRecord | None:
    try:
        return RouteRecord.decode(data)
    except HallmarkError:
        return None
