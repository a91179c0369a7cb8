"""The dossier of a receipt as the log allows it: everything but what belongs to the owner alone."""

from __future__ import annotations

import base64
import contextlib
from collections import OrderedDict
from typing import Final, Protocol

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.entries import Entry, decode, split_leaf
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.merkle import leaf_hash
from hallmark.core.money import Payment
from hallmark.core.receipt import Receipt
from hallmark.core.tokens import TokenSpend
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.proof import Proof
from hallmark.services.following.records import Logged
from hallmark.verification.dossier import FORMAT, Anchor, Documents, Dossier, LoggedPart
from hallmark.verification.fold import Replica

REMEMBERED: Final = 1024
FEW: Final = 64


class Kept(Protocol):
    """What is known of a receipt: its id (32 bytes), log entry, SHA-256 of the evidence that came with it
    (zero: not known), its node's configuration document (may be empty), and where the log put it.
    """

    @property
    def id(self) -> bytes:
        """The receipt's id."""
        ...

    @property
    def entry(self) -> bytes:
        """The entry's bytes."""
        ...

    @property
    def evidence(self) -> bytes:
        """The evidence's digest."""
        ...

    @property
    def configuration(self) -> bytes:
        """The configuration document."""
        ...

    @property
    def position(self) -> int | None:
        """The log position."""
        ...

    @property
    def admitted(self) -> int | None:
        """The admission time, unix ms."""
        ...


class Records(Protocol):
    """Finds the registration and the version that a receipt rests on; a `Follower` does."""

    def registration(self, key: bytes, evidence: bytes, bundle: bytes) -> Logged | None:
        """See `Follower.registration`."""
        ...

    def version(self, manifest: bytes) -> Logged | None:
        """See `Follower.version`."""
        ...


class Source(Protocol):
    """Gives leaves and proofs; a `LogClient` does."""

    async def proof(self, index: int, wait_ms: int = 0, /) -> str:
        """A tlog-proof. Raises Unavailable."""
        ...

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end)."""
        ...

    async def path(self, index: int, size: int) -> tuple[str, ...]:
        """The inclusion path of an entry at `size`, 0x-hex nodes."""
        ...


class Dossiers:
    """Builds dossiers; keeps proofs of registrations, versions and reviews, which many builds share."""

    def __init__(self, replica: Replica, source: Source) -> None:
        self._replica = replica
        self._log = source
        self._proofs: OrderedDict[int, str] = OrderedDict()

    async def build(
        self,
        kept: Kept,
        proof: str | None,
        anchor: AnchorRecord | None,
        *,
        records: Records,
        after: int = FEW,
    ) -> Dossier:
        """The dossier of a receipt. Salts, copies, parameters, provider and input records are the owner's to
        add: without them the digests that commit to them stay unopened. The leaves behind the receipt come
        along when there are at most `after` of them up to the end of the proof's checkpoint.
        """
        entry = decode(kept.entry)
        receipt = entry.statement
        assert isinstance(receipt, Receipt)
        registration = records.registration(receipt.node, kept.evidence, receipt.bundle)
        version = records.version(receipt.manifest)
        bundle, evidence = self._identity(receipt, registration)
        route, candidates, ticket, payment, authorization = (*entry.attachments, *(b"",) * 5)[:5]
        return Dossier(
            format=FORMAT,
            network=hex0x(receipt.network),
            chain_id=self._replica.genesis.chain_id,
            receipt=receipt.to_json(),
            signature=hex0x(entry.signatures[0]),
            id=hex0x(kept.id),
            documents=Documents(
                bundle=bundle,
                route=route.decode(),
                configuration=kept.configuration.decode() or None,
                candidates=candidates.decode() or None,
                manifest=_entry(version).attachments[0].decode() if version else None,
                payment=_shown(payment),
                offer=self._offer(payment),
                issuer_keys=self._issuer_keys(payment, authorization),
            ),
            ticket=hex0x(ticket) if ticket else None,
            evidence=base64.b64encode(evidence).decode() if evidence else None,
            entry=await self._receipt_part(kept, proof, after),
            registration=await self._part(registration) if proof else None,
            version=await self._part(version) if proof else None,
            reviews=await self._reviews(kept) if proof else (),
            anchor=await self._anchor(kept, anchor),
            payment_authorization=base64.b64encode(authorization).decode() or None,
        )

    def _offer(self, payment: bytes) -> str | None:
        """The exact text of the offer that a payment record names; None when the log has none."""
        try:
            named = unhex(Payment.decode(payment).offer) if payment else b""
        except HallmarkError:
            return None
        known = self._replica.registry.offers.get(named)
        return known[1].encode().decode() if known else None

    def _issuer_keys(self, payment: bytes, authorization: bytes) -> str | None:
        """The exact text of the key set that the tokens name; None where it was not paid by tokens, or when
        the log's is forgotten.
        """
        try:
            if not payment or Payment.decode(payment).rail != "token":
                return None
            known = self._replica.registry.issuer_keys.get(TokenSpend.decode(authorization).keys)
        except HallmarkError:
            return None
        return known.document.encode().decode() if known else None

    async def _receipt_part(self, kept: Kept, proof: str | None, most: int) -> LoggedPart | None:
        """The receipt's entry, with the leaves up to the end of its proof's checkpoint when they are few:
        they show every objection to it, or that there is none.
        """
        if kept.position is None or kept.admitted is None:
            return None
        after = None
        if proof is not None:
            start = kept.position + 1
            end = Checkpoint.parse(Proof.parse(proof.encode()).note.text).size
            if end - start <= most:
                with contextlib.suppress(HallmarkError):
                    after = (
                        tuple(_text(leaf) for leaf in await self._log.leaves(start, end))
                        if end > start
                        else ()
                    )
        return LoggedPart(kept.position, kept.admitted, _text(kept.entry), proof, after)

    async def _anchor(self, kept: Kept, record: AnchorRecord | None) -> Anchor | None:
        """The anchor with the path that leads to it; without a path when the log gives none."""
        if record is None or kept.position is None:
            return None
        try:
            path = await self._log.path(kept.position, record.size)
        except HallmarkError:
            path = ()
        return Anchor(
            record.chain_id,
            record.contract,
            record.transaction,
            record.block,
            record.size,
            record.root,
            record.confirmations,
            path,
        )

    def _identity(self, receipt: Receipt, registration: Logged | None) -> tuple[str, bytes]:
        """Key bundle and evidence of the node, as it registered them; empty when it registered others:
        what is not the receipt's would read as contrary, and what is left out reads as not shown.
        """
        if registration is not None:
            bundle, evidence = (*_entry(registration).attachments, b"")[:2]
            return bundle.decode(), evidence
        member = self._replica.registry.members.get(receipt.node)
        if member is None or member.bundle is None or member.bundle.digest() != receipt.bundle:
            return "", b""
        return member.bundle.encode().decode(), b""

    async def _reviews(self, kept: Kept) -> tuple[LoggedPart, ...]:
        """Every review of this receipt that was accepted, with its proof; one whose leaf is not to be had, or
        that no quorum covers yet, is left out.
        """
        parts = []
        for position, _ in self._replica.registry.reviews.get(kept.id, ()):
            with contextlib.suppress(HallmarkError):
                (leaf,) = await self._log.leaves(position, position + 1)
                if leaf_hash(leaf) == self._replica.leaf_hash(position):
                    part = await self._part(Logged(position, leaf, b""))
                    parts += [part] if part is not None and part.proof is not None else []
        return tuple(parts)

    async def _part(self, logged: Logged | None) -> LoggedPart | None:
        if logged is None:
            return None
        admitted, data = split_leaf(logged.leaf)
        return LoggedPart(
            logged.index, admitted, base64.b64encode(data).decode(), await self._proof(logged.index)
        )

    async def _proof(self, index: int) -> str | None:
        known = self._proofs.get(index)
        if known is None:
            try:
                known = await self._log.proof(index)
            except Unavailable:
                return None
            self._proofs[index] = known
            while len(self._proofs) > REMEMBERED:
                self._proofs.popitem(last=False)
        return known


def _entry(logged: Logged) -> Entry:
    return decode(split_leaf(logged.leaf)[1])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _shown(data: bytes) -> str | None:
    """An attachment that is a text; None when there is none, or it is no text."""
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        return None
