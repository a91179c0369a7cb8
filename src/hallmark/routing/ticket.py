"""The route ticket: a gateway's signed word on who may serve, made before anybody sees the request."""

from __future__ import annotations

import msgspec

from hallmark.core.documents import Candidates
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import Signer, sign_statement

LIFE_MS = 120_000


class Place(msgspec.Struct, frozen=True):
    """Where tickets are made: the network's id (32 bytes), its chain id, and a recent checkpoint."""

    network: bytes
    chain_id: int
    beacon_size: int
    beacon_root: bytes


class SignedTicket(msgspec.Struct, frozen=True):
    """A ticket, its 65-byte signature, and the exact bytes of the document that it commits to."""

    ticket: Ticket
    signature: bytes
    candidates: bytes

    @property
    def packed(self) -> bytes:
        """Packed ticket || signature, as headers and log entries carry it."""
        return self.ticket.pack() + self.signature


def sign_ticket(
    candidates: Candidates, place: Place, signer: Signer, *, now: int, nonce: bytes, life_ms: int = LIFE_MS
) -> SignedTicket:
    """Sign a ticket that is valid from `now` (unix ms) for `life_ms`; `nonce` is 32 random bytes."""
    ticket = Ticket(
        network=place.network,
        gateway=signer.address,
        candidates=candidates.digest(),
        beacon_size=place.beacon_size,
        beacon_root=place.beacon_root,
        issued=now,
        expires=now + life_ms,
        nonce=nonce,
    )
    return SignedTicket(ticket, sign_statement(ticket, place.chain_id, signer), candidates.encode())
