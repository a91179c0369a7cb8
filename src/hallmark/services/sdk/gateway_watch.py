"""Whether the gateways that gave this client its route tickets steered, by the log itself.

The tickets are held against a registry that is folded here, from the leaves of a log or of any full node that
mirrors it, below a checkpoint that a quorum of the trust file cosigned. The gateway that is judged has no
part in that. See `routing.steering` for what a ticket can be shown of.

Whoever serves the leaves sees this machine's address, and that it reads a public log. It is asked when
`look` is called and at no other time, so it learns of no question.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Candidates
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.http.client import Pool
from hallmark.ledger.policy import Policy
from hallmark.routing.steering import Doubt, Seen, offered_of, steering
from hallmark.services.following.follower import Follower
from hallmark.services.following.log_client import LogClient
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sealing.ticket_check import CheckedTicket
from hallmark.verification.fold import Replica

ANOTHER_LOG: Final = "The ticket names a state of the log that it never was in."
AHEAD: Final = "The ticket names a log that is longer than the one that was read."


class Doubted(msgspec.Struct, frozen=True):
    """What a ticket (its struct hash, 0x-hex) of a gateway (0x-hex) says of a node and the log does not: the
    reason that was given ("" none), what is to be said of that, whether it shows that the gateway steered.
    """

    gateway: str
    ticket: str
    node: str
    reason: str
    sentence: str
    shows: bool


class Judged(msgspec.Struct, frozen=True):
    """How tickets stand against the log of `size` entries. `offered` is of each node that may serve:
    (tickets that offer it, tickets), which over many tickets tells who is passed over.
    """

    size: int
    tickets: int
    doubted: tuple[Doubted, ...]
    offered: dict[str, tuple[int, int]]

    @property
    def steered(self) -> tuple[Doubted, ...]:
        """What shows that a gateway steered."""
        return tuple(one for one in self.doubted if one.shows)

    @property
    def words(self) -> str:
        """What this says of the gateway, and no more."""
        many = "1 ticket" if self.tickets == 1 else f"{self.tickets} tickets"
        beside = f"{many}, held against a log of {self.size:,} entries"
        if self.steered:
            return f"{beside}: {len({one.ticket for one in self.steered})} of them say what the log denies."
        word = ", of which the log cannot tell all" if self.doubted else ""
        return f"{beside}: none says what the log denies{word}."


class GatewayWatch:
    """Reads the log at `url`. What was folded stays for the next look; `aclose` at the end."""

    def __init__(self, url: str, verifier: Verifier) -> None:
        self.url = url
        self._pool = Pool(per_origin=2)
        trust = verifier.trust
        self._replica = Replica(trust.genesis(), verifier.judge)
        self._follower = Follower(LogClient(self._pool, url), Policy.parse(trust.tlog_policy), self._replica)

    async def look(self, tickets: Sequence[CheckedTicket], timeout_s: float) -> Judged:
        """Judge these tickets. Raises Unavailable `log_not_reached`, VerificationFailed `log_distrusted`."""
        await self._read(max((one.ticket.beacon_size for one in tickets), default=1), timeout_s)
        mine = [one for one in tickets if not self._foreign(one)]
        found = [
            Doubted(hex0x(one.ticket.gateway), one.digest, "", "", told, shows=told == ANOTHER_LOG)
            for one in tickets
            if (told := self._foreign(one))
        ]
        registry, seen = self._replica.registry, [_seen(one) for one in mine]
        for left in steering(seen, registry):
            ticket, doubt = mine[left.ticket], left.doubt
            found.append(
                Doubted(
                    hex0x(ticket.ticket.gateway),
                    ticket.digest,
                    left.node,
                    left.reason,
                    doubt.sentence,
                    shows=doubt is not Doubt.WORD,
                )
            )
        return Judged(self._replica.size, len(tickets), tuple(found), offered_of(seen, registry))

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()

    async def _read(self, size: int, timeout_s: float) -> None:
        following = asyncio.ensure_future(self._follower.run())
        waiting = asyncio.ensure_future(self._follower.reached(size, timeout_s))
        try:
            await asyncio.wait((following, waiting), return_when=asyncio.FIRST_COMPLETED)
            if self._follower.distrust:
                raise VerificationFailed(
                    "log_distrusted",
                    f"What this log serves is not what a quorum cosigned ({self._follower.distrust}).",
                    "Read it from a full node of the trust file, or from another one.",
                )
            if self._follower.head is None:
                raise Unavailable(
                    "log_not_reached",
                    "The log could not be read.",
                    "Give the address of the network's log or of a full node, or more time.",
                )
        finally:
            for task in (following, waiting):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _foreign(self, one: CheckedTicket) -> str:
        """What is wrong with the state of the log that a ticket names; empty: it was in it."""
        size = one.ticket.beacon_size
        if size > self._replica.size:
            return AHEAD
        return "" if size and self._replica.root(size) == one.ticket.beacon_root else ANOTHER_LOG


def _seen(one: CheckedTicket) -> Seen:
    return Seen(one.ticket.issued, one.ticket.beacon_size, Candidates.decode(one.text.encode()))
