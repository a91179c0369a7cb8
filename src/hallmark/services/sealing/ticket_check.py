"""The route ticket as a client reads it before it seals anything: who may serve, by whose word.

1. It is of this network and signed by a gateway of the trust file, which it names.
2. It is in force now.
3. The candidates are those that it commits to, at most three, of the model that was asked for.

The client draws among the candidates itself (`drawn`), so that a gateway cannot choose who answers.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidates
from hallmark.core.errors import HallmarkError
from hallmark.core.statements import Ticket
from hallmark.services.sealing.refusals import NothingSent
from hallmark.verification.judged_entry import SKEW_MS
from hallmark.verification.judged_receipt import parse_ticket
from hallmark.verification.trust import Trust

MOST_CANDIDATES: Final = 3


class Choice(msgspec.Struct, frozen=True):
    """One candidate: node (20 bytes) and digest of its key bundle (32 bytes)."""

    node: bytes
    bundle: bytes


class CheckedTicket(msgspec.Struct, frozen=True):
    """A ticket that holds: packed || signature, its struct hash (0x-hex), its candidates' exact text."""

    packed: bytes
    digest: str
    text: str
    choices: tuple[Choice, ...]
    ticket: Ticket


def check_ticket(packed: bytes, candidates: str, trust: Trust, now: int, *, model: str = "") -> CheckedTicket:
    """See the module docstring; `now` is unix ms. Raises NothingSent `ticket_unreadable`,
    `ticket_wrong_network`, `ticket_unsigned`, `ticket_gateway_unknown`, `ticket_not_in_force`,
    `candidates_mismatch`, `ticket_other_model`, `candidates_steered`.
    """
    read = parse_ticket(packed, candidates.encode(), trust.chain_id)
    if read is None:
        raise NothingSent("ticket_unreadable", "What the gateway sent is no route ticket.")
    ticket = read.ticket
    if ticket.network != trust.network_id:
        raise NothingSent("ticket_wrong_network", "The route ticket belongs to another network.")
    if read.signer != ticket.gateway:
        raise NothingSent("ticket_unsigned", "The route ticket is not signed by the gateway that it names.")
    if hex0x(ticket.gateway) not in trust.gateways:
        raise NothingSent(
            "ticket_gateway_unknown", "The route ticket is signed by a gateway that the trust file lacks."
        )
    if not ticket.issued - SKEW_MS <= now <= ticket.expires + SKEW_MS:
        raise NothingSent(
            "ticket_not_in_force",
            "The route ticket is not in force now.",
            "Somebody delays or repeats an old one, or a clock is wrong.",
        )
    offered = _offered(candidates) if read.candidates is not None else None
    if offered is None:
        raise NothingSent("candidates_mismatch", "The candidates are not those that the ticket commits to.")
    if model and offered.model != model:
        raise NothingSent("ticket_other_model", "The route ticket is for another model than the one asked.")
    choices = tuple(Choice(unhex(one.node), unhex(one.bundle)) for one in offered.candidates)
    if not 0 < len(choices) <= MOST_CANDIDATES or len({one.node for one in choices}) != len(choices):
        raise NothingSent(
            "candidates_steered", "The ticket names no candidate, one twice, or more than a ticket may."
        )
    return CheckedTicket(packed, read.hash_hex, candidates, choices, ticket)


def drawn(choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The candidates in an order that the client draws, from the system's randomness."""
    order = list(choices)
    secrets.SystemRandom().shuffle(order)
    return tuple(order)


def _offered(text: str) -> Candidates | None:
    try:
        return Candidates.decode(text.encode())
    except HallmarkError:
        return None
