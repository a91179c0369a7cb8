"""The network page: usable capacity as the gateway judges it now, failures, the trust gap, the backlog.

Slots, failures, outbox, nodes and finished requests are the gateway's word, asked for when the page is; each
party's health is its own; everything else was measured or verified in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError
from hallmark.core.sealing import window_at
from hallmark.core.statements import Role
from hallmark.http.client import Pool, Timeouts
from hallmark.http.health import Health
from hallmark.ledger.checkpoint import verify_log_signature
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, cosignatures
from hallmark.routing.capacity import present
from hallmark.services.explorer import links, offers, wording
from hallmark.services.explorer.filters import KEY
from hallmark.services.explorer.health_probe import HERE, HealthProbe, party
from hallmark.services.explorer.network_views import (
    Failed,
    FullNodeSeen,
    NetworkPage,
    Observed,
    Party,
    Slots,
    TakesSealed,
)
from hallmark.services.explorer.receipt_context import called
from hallmark.services.explorer.shared_views import Fact
from hallmark.services.explorer.trust_gap import Measured, Saw
from hallmark.services.following.followed_log import FollowedLog

TIMEOUTS: Final = Timeouts(connect=1.0, head=3.0, idle=3.0)
WELL: Final = frozenset(("ready", "answers"))


class _Failure(msgspec.Struct, frozen=True):
    model: str
    reason: str
    count: int
    last: int


class _Capacity(msgspec.Struct, frozen=True):
    registered: int = 0
    idle: int = 0
    busy: int = 0
    ineligible: int = 0
    offline: int = 0


class _Node(msgspec.Struct, frozen=True):
    key: str = ""
    name: str = ""
    endpoint: str = ""
    slots: int = 0
    heard: int = 0
    answers: bool = False
    skew: int | None = None


class GatewayNetwork(msgspec.Struct, frozen=True):
    """What the explorer reads of a gateway's `/v1/hallmark/network`."""

    slots: tuple[Slots, ...] = ()
    capacity: _Capacity = _Capacity()
    failures: tuple[_Failure, ...] = ()
    outbox: int = -1
    nodes: tuple[_Node, ...] = ()
    observed: Observed = Observed()


class Network:
    """Makes the page. `health` is this process's own."""

    def __init__(
        self,
        watch: FollowedLog,
        measured: Measured,
        policy: Policy,
        *,
        pool: Pool,
        gateway_url: str,
        hearing: HealthProbe,
        health: Callable[[], Health],
    ) -> None:
        self._watch, self._measured = watch, measured
        self._policy = policy
        self._witnesses = [(witness.name, witness.key.vkey) for witness in policy.witnesses]
        self._pool, self._url = pool, gateway_url.rstrip("/")
        self._hearing, self._health = hearing, health

    async def page(self, now: int, hours: int) -> NetworkPage:
        """The network at `now`. While the gateway is silent its part is empty, and the sentence says so."""
        told, heard, _ = await asyncio.gather(self.ask(hours), self._hearing.parties(), self._look_again())
        watch, measured = self._watch, self._measured
        newest = watch.heads.newest()
        cosigned, at = (newest.size, newest.at) if newest else (0, 0)
        known = told if told is not None else GatewayNetwork()
        parties = self._parties(known, heard, now)
        return NetworkPage(
            now=now,
            slots=known.slots,
            failed=tuple(
                Failed(f.model, f.reason, wording.failure(f.reason), f.count, f.last) for f in known.failures
            ),
            trust_gap_p50=measured.percentile(50),
            trust_gap_p99=measured.percentile(99),
            trust_gap_count=measured.count,
            trust_gap_bins=measured.bins(),
            backlog=watch.tail.backlog,
            backlog_since=watch.tail.since,
            outbox=known.outbox,
            size=max(watch.tail.size, watch.replica.size),
            cosigned=cosigned,
            cosigned_at=at,
            full_nodes=tuple(self._full_node(name, vkey) for name, vkey in self._witnesses),
            exposure=tuple(self._exposed(saw, count) for saw, count in measured.exposure()),
            sentence=self._sentence(told, now),
            signed=measured.signed,
            parties=parties,
            trouble=_trouble(parties),
            gateway_answers=told is not None,
            observed=known.observed,
            prices=offers.prices_now(watch, now),
            sealed=tuple(self._sealed(now)),
        )

    def _sealed(self, now: int) -> Iterator[TakesSealed]:
        """Present nodes whose bundles name keys that requests can be sealed to."""
        for key, bundle in present(self._watch.replica.registry):
            sealing, node = bundle.sealing, hex0x(key)
            if sealing is msgspec.UNSET:
                continue
            window = window_at(sealing, now)
            at, until = (-1, 0) if window is None else (window, sealing.since + (window + 1) * sealing.every)
            yield TakesSealed(self._called(node) or node, links.node(key), node, sealing.root, at, until)

    async def ask(self, hours: int = 1) -> GatewayNetwork | None:
        """What the gateway says now; None while it is silent."""
        try:
            async with self._pool.request(
                "GET", f"{self._url}/v1/hallmark/network?hours={hours}", timeouts=TIMEOUTS
            ) as response:
                if response.status != 200:
                    return None
                return msgspec.json.decode(await response.read(1 << 24), type=GatewayNetwork)
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    async def _look_again(self) -> None:
        """Who cosigned the newest checkpoint that the log signed, a quorum or not; later it may be more."""
        with contextlib.suppress(HallmarkError):
            signed = verify_log_signature(Note.parse(await self._watch.log.latest()), self._policy.log_keys)
            self._measured.cosignatures(signed.checkpoint.size, cosignatures(self._policy, signed))

    def _parties(self, known: GatewayNetwork, heard: Sequence[Party], now: int) -> tuple[Party, ...]:
        """Everybody: services by their own word to this explorer, nodes as the gateway hears them."""
        here = party(HERE, "pages", self._health(), heard=now)
        nodes = [
            party(
                self._called(node.key) or node.name or node.endpoint or node.key,
                "node",
                Health("answers") if node.answers else Health("silent", "no_answer", node.heard),
                heard=node.heard,
                by="the gateway",
                link=links.node(unhex(node.key)) if KEY.fullmatch(node.key) else "",
            )
            for node in known.nodes
        ]
        links_of = {name: self._page_of(vkey) for name, vkey in self._witnesses}
        seen = [msgspec.structs.replace(one, link=links_of.get(one.name, "")) for one in heard]
        return (*seen, *nodes, here)

    def _called(self, key: str) -> str:
        """What the party of a key calls itself, or the operator calls it; "" for what is no key."""
        known = self._watch.replica.registry.members.get(unhex(key)) if KEY.fullmatch(key) else None
        return called(self._watch, known)

    def _full_node(self, name: str, vkey: str) -> FullNodeSeen:
        """How far a full node was seen to cosign."""
        seen, signed = self._measured.cosigned.get(name), self._measured.signed
        link = self._page_of(vkey)
        if seen is None:
            return FullNodeSeen(name, link, 0, 0, 0, newest=False)
        behind = signed - seen.size
        return FullNodeSeen(name, link, seen.size, seen.at, behind, newest=behind <= 0)

    def _page_of(self, vkey: str) -> str:
        for member in self._watch.replica.registry.members.values():
            if member.role is Role.FULL_NODE and member.profile and member.profile.witness_key == vkey:
                return links.node(member.key)
        return ""

    def _exposed(self, saw: Saw, count: int) -> Fact:
        prompts = self._measured.prompts
        name = _with_role(saw.role, self._called(saw.key) or saw.name or saw.key)
        value = f"{count:,} of {prompts:,} prompts seen in clear"
        link = f"/explore/nodes/{saw.key}" if len(saw.key) == len(hex0x(bytes(20))) else ""
        return Fact(name, value, link, saw.key)

    def _sentence(self, told: GatewayNetwork | None, now: int) -> str:
        parts = []
        if told is None:
            parts.append("The gateway does not answer, so capacity and failures are not known.")
        else:
            capacity = told.capacity
            slots = wording.count(capacity.registered, "slot")
            parts.append(
                f"{capacity.idle:,} of {slots} that nodes say they have can take a request now; "
                "a node's slots are shared by all of its models, so rows of models may overlap."
            )
        tail = self._watch.tail
        if tail.backlog:
            waited = wording.lasted(max(now - tail.since, 0))
            verb = "waits" if tail.backlog == 1 else "wait"
            parts.append(f"{wording.count(tail.backlog, 'entry')} {verb} for a quorum, for {waited} now.")
        if self._measured.count == 0:
            parts.append("No trust gap was measured since this process started.")
        return " ".join(parts)


def _with_role(role: str, name: str) -> str:
    """A party's role and name, no word of it twice: "node 0x12", "node-1", "inside node-1"."""
    before, _, kind = role.rpartition(" ")
    return f"{before} {name}".strip() if kind and kind in name else f"{role} {name}".strip()


def _trouble(parties: Sequence[Party]) -> str:
    """Who is not as they should be, without numbers that change at every look."""
    named = [f"{one.name}: {one.state}, {one.reason}" for one in parties if one.state not in WELL]
    return f"Not ready: {'; '.join(named)}." if named else "Every party that was asked says that it is ready."
