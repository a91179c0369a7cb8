"""The route of a request as its headers tell it, checked as far as the enclave can.

    Hallmark-Ticket       base64 of the packed Ticket || 65-byte signature
    Hallmark-Candidates   base64 of the Candidates document's exact bytes
    Hallmark-Attempts     JSON list of {"node", "outcome"}: who was tried before
    Hallmark-Nonce        32 bytes in hex, by the client

A ticket that cannot hold is refused before any work: its receipt would fail every full node's check, and the
fault would be this node's. Whether the gateway is registered is for the log to say.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from hallmark.core.document import digest_of, hex0x, unhex
from hallmark.core.documents import Attempt, Candidates, KeyBundle, RouteRecord
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Ticket
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.asgi import Scope, header
from hallmark.services.enclave.runtime import Runtime

MAX_CANDIDATES = 32 * 1024
MAX_ATTEMPTS = 8
SKEW = 60_000


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
    if ticket_text is None:
        record = RouteRecord(hex0x(ZERO32), "direct", sees, hex0x(runtime.address))
        return Route(record.encode())
    packed = _base64(ticket_text)
    candidates = _base64(header(scope, b"hallmark-candidates") or b"")
    ticket = _ticket(packed, candidates, runtime)
    _check_time(ticket, now)
    record = RouteRecord(
        hex0x(ticket.struct_hash()),
        "plain",
        ("gateway", *sees),
        hex0x(runtime.address),
        _attempts(header(scope, b"hallmark-attempts") or b"[]"),
    )
    return Route(record.encode(), candidates, packed)


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


def _ticket(packed: bytes, candidates: bytes, runtime: Runtime) -> Ticket:
    try:
        ticket = Ticket.unpack(packed[:-65])
        signer = recover_statement(ticket, runtime.configuration.chain_id, packed[-65:])
        document = Candidates.decode(candidates)
    except HallmarkError as error:
        raise _bad_ticket() from error
    me = hex0x(runtime.address)
    bundle = hex0x(digest_of(KeyBundle, runtime.bundle))
    chosen = [candidate for candidate in document.candidates if candidate.node == me]
    if (
        signer != ticket.gateway
        or ticket.network != unhex(runtime.configuration.network)
        or ticket.candidates != digest_of(Candidates, candidates)
        or not any(candidate.bundle == bundle for candidate in chosen)
    ):
        raise InvalidInput(
            "ticket_mismatch", "The route ticket is not for this network, these candidates and this node."
        )
    return ticket


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
