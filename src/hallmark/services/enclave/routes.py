"""The route of a request as its headers tell it, checked as far as the enclave can.

    Hallmark-Ticket       base64 of the packed Ticket || 65-byte signature
    Hallmark-Candidates   base64 of the Candidates document's exact bytes
    Hallmark-Attempts     JSON list of {"node", "outcome"}: who was tried before
    Hallmark-Nonce        32 bytes in hex, by the client

A sealed request carries the same headers inside; its record says how it came, and that no gateway saw it.

A ticket that cannot hold is refused before any work: its receipt would fail every full node's check, and the
fault would be this node's. Whether the gateway is registered is for the log to say.
"""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Final, NamedTuple

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Attempt, Candidates, KeyBundle, RouteRecord, SealedPath
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.asgi import Scope, header
from hallmark.services.enclave.runtime import Runtime
from hallmark.services.sealing.inner import Came, came_sealed

MAX_CANDIDATES = 32 * 1024
MAX_ATTEMPTS = 8
SKEW = 60_000
REMEMBERED: Final = 64
"""Tickets whose signature is not recovered again; each is at most 33 KB."""


class Route(msgspec.Struct, frozen=True):
    """A request's route: exact bytes of the RouteRecord, of the Candidates document, and of the ticket with
    its signature; the last two are empty when direct.
    """

    record: bytes
    candidates: bytes = b""
    ticket: bytes = b""

    @property
    def attachments(self) -> tuple[bytes, bytes, bytes]:
        """As the log entry carries them."""
        return self.record, self.candidates, self.ticket


def read_route(scope: Scope, runtime: Runtime, now: int, *, upstream: bool) -> Route:
    """The route of a request that arrived at `now` (unix ms).

    Raises InvalidInput `bad_ticket`, `ticket_mismatch`; Unavailable `ticket_expired`, `ticket_early`.
    """
    sees = ("enclave", "upstream") if upstream else ("enclave",)
    ticket_text = header(scope, b"hallmark-ticket")
    sealed = _sealed(came_sealed(scope))
    if ticket_text is None:
        node = hex0x(runtime.address)
        if sealed is None:
            return Route(RouteRecord(hex0x(ZERO32), "direct", sees, node).encode())
        return Route(RouteRecord(hex0x(ZERO32), "sealed", sees, node, sealed=sealed).encode())
    me = _Me(
        runtime.configuration.chain_id,
        runtime.configuration.network,
        runtime.address,
        digest_of(KeyBundle, runtime.bundle),
    )
    offer = _offer(ticket_text, header(scope, b"hallmark-candidates") or b"", me)
    _check_time(offer.ticket, now)
    attempts = header(scope, b"hallmark-attempts") or b"[]"
    return Route(_record(offer.ticket, me.address, sees, attempts, sealed), offer.candidates, offer.packed)


class _Me(NamedTuple):
    """What a ticket has to name: chain id, network (0x-hex), this key's address, its bundle's digest."""

    chain_id: int
    network: str
    address: bytes
    bundle: bytes


class _Offer(NamedTuple):
    """A ticket that offers this node: the statement, its exact bytes with the signature, the candidates."""

    ticket: Ticket
    packed: bytes
    candidates: bytes


def _check_time(ticket: Ticket, now: int) -> None:
    """A ticket that is not valid by this clock: its receipt would fail every full node's check.

    Whoever made the ticket or whoever keeps the clocks is to blame, and not the request.
    """
    if now > ticket.expires + SKEW:
        raise Unavailable(
            "ticket_expired",
            f"By this node's clock the route ticket ran out {(now - ticket.expires) // 1000} s ago: it was "
            "kept for too long, or the clocks of gateway and node differ.",
            "Ask the gateway for a new ticket; if that has run out too, the operators must set the clocks.",
        )
    if now + SKEW < ticket.issued:
        raise Unavailable(
            "ticket_early",
            f"By this node's clock the route ticket is made in {(ticket.issued - now) // 1000} s only: the "
            "clocks of gateway and node differ.",
            "The operators must set the clocks.",
        )


def client_nonce(scope: Scope) -> bytes:
    """The client's 32-byte nonce, zero when it sent none. Raises InvalidInput `bad_nonce`."""
    text = header(scope, b"hallmark-nonce")
    if text is None:
        return ZERO32
    try:
        nonce = bytes.fromhex(text.decode("ascii").removeprefix("0x"))
    except ValueError:
        nonce = b""
    if len(nonce) != 32:
        raise InvalidInput("bad_nonce", "Hallmark-Nonce must be 32 bytes in hexadecimal.")
    return nonce


@functools.lru_cache(maxsize=REMEMBERED)
def _offer(ticket_text: bytes, candidates_text: bytes, me: _Me) -> _Offer:
    """Everything about a ticket but its time. One ticket comes with many requests, and holds for all or none.

    Raises InvalidInput `bad_ticket`, `ticket_mismatch`.
    """
    packed, candidates = _base64(ticket_text), _base64(candidates_text)
    try:
        ticket = Ticket.unpack(packed[:-65])
        signer = recover_statement(ticket, me.chain_id, packed[-65:])
        document = Candidates.decode(candidates)
    except HallmarkError as error:
        raise _bad_ticket() from error
    node, bundle = hex0x(me.address), hex0x(me.bundle)
    chosen = [candidate for candidate in document.candidates if candidate.node == node]
    if (
        signer != ticket.gateway
        or ticket.network != unhex(me.network)
        or ticket.candidates != digest_of(Candidates, candidates)
        or not any(candidate.bundle == bundle for candidate in chosen)
    ):
        raise InvalidInput(
            "ticket_mismatch", "The route ticket is not for this network, these candidates and this node."
        )
    return _Offer(ticket, packed, candidates)


@functools.lru_cache(maxsize=REMEMBERED)
def _record(
    ticket: Ticket, node: bytes, sees: tuple[str, ...], attempts: bytes, sealed: SealedPath | None
) -> bytes:
    """Exact bytes of the route record under this ticket."""
    named, chosen, tried = hex0x(ticket.struct_hash()), hex0x(node), _attempts(attempts)
    if sealed is not None:
        return RouteRecord(named, "sealed", sees, chosen, tried, sealed=sealed).encode()
    return RouteRecord(named, "plain", ("gateway", *sees), chosen, tried).encode()


def _sealed(came: Came | None) -> SealedPath | None:
    if came is None:
        return None
    return SealedPath(hex0x(came.configuration), came.window, came.suite, came.size, came.relay)


def _attempts(text: bytes) -> tuple[Attempt, ...]:
    try:
        attempts = msgspec.json.decode(text, type=tuple[Attempt, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_ticket() from error
    if len(attempts) > MAX_ATTEMPTS or any(len(attempt.outcome) > 64 for attempt in attempts):
        raise _bad_ticket()
    return attempts


def _base64(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_ticket() from error
    if len(data) > MAX_CANDIDATES:
        raise _bad_ticket()
    return data


def _bad_ticket() -> InvalidInput:
    return InvalidInput("bad_ticket", "The headers of the route ticket cannot be read.")
