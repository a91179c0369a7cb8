"""The route ticket: a gateway's signed word on who may serve, made before anybody sees the request.

Nothing in it is about one request, so requests for which it would say the same share one for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from hallmark.core.documents import Candidates
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import Signer, sign_statement

LIFE_MS: Final = 120_000
SHARED_MS: Final = 10_000
"""A ticket is given to requests for this long: far less than its life, so that none runs out on its way."""
KEPT: Final = 256


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


class Tickets:
    """A gateway's tickets of a moment ago, by what they say: the same words are not signed anew each time."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._kept: OrderedDict[tuple[bytes, int, bytes], SignedTicket] = OrderedDict()

    def of(self, candidates: Candidates, place: Place, *, now: int, nonce: bytes) -> SignedTicket:
        """A ticket for these candidates on this network, at most SHARED_MS old at `now` (unix ms); a new one
        is made at `place` with `nonce` (32 random bytes).
        """
        said = (place.network, place.chain_id, candidates.encode())
        kept = self._kept.get(said)
        if kept is not None and 0 <= now - kept.ticket.issued < SHARED_MS:
            return kept
        signed = sign_ticket(candidates, place, self._signer, now=now, nonce=nonce)
        self._kept[said] = signed
        self._kept.move_to_end(said)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return signed
