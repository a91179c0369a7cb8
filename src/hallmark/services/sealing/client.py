"""The client's side of the private path: everything between a question and the enclave that reads it.

A sealed question goes this way and no other (docs/privacy.md):

1. Through the relay, sealed to the gateway: a route ticket, and the record of every node that it names, so
   that the gateway does not learn which one is drawn.
2. Every record is checked against the trust file and the log (`node_check`). One that does not hold ends the
   question: a gateway that could spoil all candidates but one would choose who answers.
3. One of the nodes is drawn here, at random, and the question sealed to its attested key of this window.
4. Another node is tried only where the one before cannot have begun: its enclave says so under its seal, or
   the relay did not get it there. Never in clear, whatever fails.

The relay sees this address, a size class, a time, and which node. The gateway sees a route request from the
relay. The enclave sees the question, and no address.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.model_names import read_model_name
from hallmark.http.client import Timeouts
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import ProofVerifier
from hallmark.privacy.binary_http import Request
from hallmark.privacy.ohttp import KeyConfiguration
from hallmark.services.sealing.exchange import SealedExchange, chosen
from hallmark.services.sealing.known_bundles import KnownBundles
from hallmark.services.sealing.node_check import CheckedNode, NodeChecker
from hallmark.services.sealing.refusals import NothingSent, NotReached
from hallmark.services.sealing.relay_link import GATEWAY, RelayLink, Stale, Undelivered
from hallmark.services.sealing.ticket_check import CheckedTicket, Choice, check_ticket, drawn
from hallmark.verification.trust import Trust

MAX_PAGE: Final = 64 << 20
ROUTE: Final = "/v1/hallmark/route"
NODE: Final = "/v1/hallmark/nodes/"
AUTHORITY: Final = b"hallmark.invalid"
"""What stands as the authority of sealed requests: they name no host."""
KEPT: Final = 256

Told = Callable[[int, bytes], HallmarkError]
"""(status, body) -> the error that a response stands for."""
Pairs = tuple[tuple[bytes, bytes], ...]


class Passage(msgspec.Struct, frozen=True):
    """A ticket that holds, and the nodes that may answer, each checked, in the order that was drawn here."""

    ticket: CheckedTicket
    nodes: tuple[CheckedNode, ...]

    @property
    def headers(self) -> Pairs:
        """What the enclave is told of it."""
        return (
            (b"hallmark-ticket", base64.b64encode(self.ticket.packed)),
            (b"hallmark-candidates", base64.b64encode(self.ticket.text.encode())),
        )


class SealedPath:
    """One network through one relay. `judge` judges evidence, `clock` gives unix ms, `told` makes errors;
    `unsafe_insecure` as in `NodeChecker`.
    """

    def __init__(
        self,
        link: RelayLink,
        trust: Trust,
        judge: VerifyEvidence,
        *,
        known: KnownBundles,
        told: Told,
        clock: Callable[[], int],
        timeouts: Timeouts,
        unsafe_insecure: bool = False,
    ) -> None:
        self.link, self._trust, self._clock, self._told = link, trust, clock, told
        proofs = ProofVerifier(Policy.parse(trust.tlog_policy))
        self._checker = NodeChecker(trust, proofs, judge, known, unsafe_insecure=unsafe_insecure)
        self._timeouts = timeouts
        self._checked: dict[tuple[bytes, bytes], CheckedNode] = {}
        self.tickets: deque[CheckedTicket] = deque(maxlen=KEPT)
        """The last route tickets that hold, oldest first: what a gateway can be shown to have steered by."""

    @property
    def nodes(self) -> tuple[CheckedNode, ...]:
        """The nodes whose keys were checked and are in use now."""
        now = self._clock()
        return tuple(node for node in self._checked.values() if now < node.until)

    async def ask_gateway(
        self, method: str, path: str, body: bytes = b"", headers: Pairs = ()
    ) -> tuple[int, bytes]:
        """Status and body of a request that is sealed to the gateway. Raises NotReached, AnswerBroken."""
        request = _request(method, path, body, headers)
        for fresh in (False, True):
            key = chosen(await self.link.gateway_keys(fresh=fresh))
            try:
                async with self.exchange(GATEWAY, key, request) as reply:
                    return reply.status, await reply.read(MAX_PAGE)
            except Stale:
                continue
            except Undelivered as error:
                raise error.error from error
        raise NotReached(
            "gateway_keys_refused",
            "The gateway does not take the keys that the relay shows as its own.",
            "Use another relay.",
        )

    async def passage(self, model: str, mode: str = "", assurance: str = "") -> Passage:
        """Who may answer, checked; see the module docstring. Raises what the gateway answers, NothingSent,
        NotReached, AnswerBroken.
        """
        asked = {"model": model, "mode": mode, "assurance": assurance}
        headers = ((b"content-type", b"application/json"),)
        status, body = await self.ask_gateway("POST", ROUTE, msgspec.json.encode(asked), headers)
        if status != 200:
            raise self._told(status, body)
        try:
            shown = msgspec.json.decode(body, type=_Route)
            packed = unhex(shown.ticket)
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NothingSent("ticket_unreadable", "What the gateway sent is no route ticket.") from error
        named = read_model_name(model)
        ticket = check_ticket(packed, shown.candidates, self._trust, self._clock(), model=named.label)
        self.tickets.append(ticket)
        found = await asyncio.gather(*(self._node(choice) for choice in ticket.choices))
        holding = [n for n in found if n and (not named.artifact or named.artifact in n.bundle.artifacts)]
        by_node = {node.node: node for node in holding}
        order = [by_node[choice.node] for choice in drawn(ticket.choices) if choice.node in by_node]
        if not order:
            raise NotReached("no_sealed_node", "No node that serves this model takes sealed questions now.")
        return Passage(ticket, tuple(order))

    def exchange(self, target: str, key: KeyConfiguration, request: Request) -> SealedExchange:
        """One sealed request."""
        return SealedExchange(self.link, target, key, request, timeouts=self._timeouts)

    async def again(self, node: CheckedNode) -> CheckedNode | None:
        """A node's record once more, because its keys are said to be stale."""
        self._checked.pop((node.node, node.digest), None)
        return await self._node(Choice(node.node, node.digest))

    async def _node(self, choice: Choice) -> CheckedNode | None:
        known = self._checked.get((choice.node, choice.bundle))
        if known is not None and self._clock() < known.until:
            return known
        status, body = await self.ask_gateway("GET", NODE + hex0x(choice.node))
        if status != 200:
            raise self._told(status, body)
        node = self._checker.check(body, choice, self._clock())
        if node is not None:
            while len(self._checked) >= KEPT:
                self._checked.pop(next(iter(self._checked)))
            self._checked[choice.node, choice.bundle] = node
        return node


class _Route(msgspec.Struct, frozen=True):
    ticket: str
    candidates: str


def question_request(path: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Request:
    """The inner request of a question."""
    return _request("POST", path, body, (*headers, (b"accept-encoding", b"hallmark-padded")))


def _request(method: str, path: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Request:
    return Request(
        method=method.encode(),
        scheme=b"https",
        authority=AUTHORITY,
        path=path.encode(),
        headers=tuple(headers),
        content=body,
    )
