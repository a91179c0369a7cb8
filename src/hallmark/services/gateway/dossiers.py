"""The dossier of a receipt as the log allows it: everything but what belongs to the owner alone."""

from __future__ import annotations

import base64
import contextlib
from collections import OrderedDict
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord
from hallmark.core.entries import Entry, decode, split_leaf
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.receipt import Receipt
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.proof import Proof
from hallmark.services.following.follower import Follower, Logged
from hallmark.services.following.log_client import LogClient
from hallmark.services.gateway.store import Kept
from hallmark.verification.dossier import FORMAT, Anchor, Documents, Dossier, LoggedPart

REMEMBERED: Final = 1024
FEW: Final = 64


class Dossiers:
    """Builds dossiers; keeps proofs of registrations and versions, which many receipts share."""

    def __init__(self, follower: Follower, log: LogClient) -> None:
        self._follower = follower
        self._log = log
        self._proofs: OrderedDict[int, str] = OrderedDict()

    async def build(self, kept: Kept, proof: str | None, anchor: AnchorRecord | None) -> Dossier:
        """The dossier of a receipt. Salts, copies, parameters, provider and input records are the owner's to
        add: without them the digests that commit to them stay unopened.
        """
        entry, receipt = kept.opened()
        registration = self._follower.registration(receipt.node, kept.evidence, receipt.bundle)
        version = self._follower.version(receipt.manifest)
        bundle, evidence = self._identity(receipt, registration)
        route, candidates, ticket = (*entry.attachments, b"", b"", b"")[:3]
        return Dossier(
            format=FORMAT,
            network=hex0x(receipt.network),
            chain_id=self._follower.replica.genesis.chain_id,
            receipt=receipt.to_json(),
            signature=hex0x(entry.signatures[0]),
            id=hex0x(kept.id),
            documents=Documents(
                bundle=bundle,
                route=route.decode(),
                configuration=kept.configuration.decode() or None,
                candidates=candidates.decode() or None,
                manifest=_entry(version).attachments[0].decode() if version else None,
            ),
            ticket=hex0x(ticket) if ticket else None,
            evidence=base64.b64encode(evidence).decode() if evidence else None,
            entry=await self._receipt_part(kept, proof),
            registration=await self._part(registration) if proof else None,
            version=await self._part(version) if proof else None,
            anchor=await self._anchor(kept, anchor),
        )

    async def _receipt_part(self, kept: Kept, proof: str | None) -> LoggedPart | None:
        """The receipt's entry, with the leaves up to the end of its proof's checkpoint when they are few:
        they show every objection to it, or that there is none.
        """
        if kept.position is None or kept.admitted is None:
            return None
        after = None
        if proof is not None:
            start = kept.position + 1
            end = Checkpoint.parse(Proof.parse(proof.encode()).note.text).size
            if end - start <= FEW:
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
        """Key bundle and evidence of the node, as it registered them."""
        if registration is not None:
            bundle, evidence = (*_entry(registration).attachments, b"")[:2]
            return bundle.decode(), evidence
        member = self._follower.replica.registry.members.get(receipt.node)
        if member is None or member.bundle is None:
            return "", b""
        return member.bundle.encode().decode(), b""

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
