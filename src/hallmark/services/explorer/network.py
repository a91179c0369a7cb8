"""The network page: usable capacity as the gateway judges it now, failures, the trust gap, the backlog.

Slots, failures and outbox are the gateway's word, asked for when the page is; everything else was measured or
verified in this process.
"""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.statements import Role
from hallmark.http.client import Pool, Timeouts
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, verify_quorum
from hallmark.services.explorer import links, words
from hallmark.services.explorer.trust_gap import Measured, Saw
from hallmark.services.explorer.views import Failed, NetworkPage, Slots
from hallmark.services.following.watch import Watch
from hallmark.services.review.views import Fact

TIMEOUTS: Final = Timeouts(connect=1.0, head=3.0, idle=3.0)


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


class GatewayNetwork(msgspec.Struct, frozen=True):
    """What the explorer reads of a gateway's `/v1/hallmark/network`."""

    slots: tuple[Slots, ...] = ()
    capacity: _Capacity = _Capacity()
    failures: tuple[_Failure, ...] = ()
    outbox: int = -1


class Network:
    """Makes the page."""

    def __init__(
        self, watch: Watch, measured: Measured, policy: Policy, pool: Pool, gateway_url: str
    ) -> None:
        self._watch, self._measured = watch, measured
        self._policy = policy
        self._witnesses = [(witness.name, witness.key.vkey) for witness in policy.witnesses]
        self._pool, self._url = pool, gateway_url.rstrip("/")

    async def page(self, now: int) -> NetworkPage:
        """The network at `now`. While the gateway is silent its part is empty, and the sentence says so."""
        told = await self._ask()
        await self._look_again()
        watch, measured = self._watch, self._measured
        newest = watch.heads.newest()
        cosigned, at = (newest.size, newest.at) if newest else (0, 0)
        known = told if told is not None else GatewayNetwork()
        return NetworkPage(
            now=now,
            slots=known.slots,
            failed=tuple(
                Failed(f.model, f.reason, words.failure(f.reason), f.count, f.last) for f in known.failures
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
            full_nodes=tuple(self._full_node(name, vkey, now) for name, vkey in self._witnesses),
            exposure=tuple(self._exposed(saw, count) for saw, count in measured.exposure()),
            sentence=self._sentence(told, now),
        )

    async def _ask(self) -> GatewayNetwork | None:
        try:
            async with self._pool.request(
                "GET", f"{self._url}/v1/hallmark/network", timeouts=TIMEOUTS
            ) as response:
                if response.status != 200:
                    return None
                return msgspec.json.decode(await response.read(1 << 24), type=GatewayNetwork)
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    async def _look_again(self) -> None:
        """A slow full node's cosignature joins a checkpoint after the quorum's: read the newest one again."""
        with contextlib.suppress(HallmarkError):
            note = Note.parse(await self._watch.log.checkpoint())
            self._measured.cosignatures(verify_quorum(self._policy, note))

    def _full_node(self, name: str, vkey: str, now: int) -> Fact:
        """How far a full node was seen to cosign."""
        seen, newest = self._measured.cosigned.get(name), self._measured.newest
        link = self._page_of(vkey)
        if seen is None:
            return Fact(name, "no cosignature seen since this process started", link)
        if seen.size >= newest.size:
            return Fact(name, f"cosigned {words.count(seen.size, 'entry')}, the newest checkpoint", link)
        behind = words.count(newest.size - seen.size, "entry")
        ago = words.lasted(max(now - seen.at, 0))
        return Fact(name, f"last seen at {words.count(seen.size, 'entry')}, {behind} behind, {ago} ago", link)

    def _page_of(self, vkey: str) -> str:
        for member in self._watch.replica.registry.members.values():
            if member.role is Role.FULL_NODE and member.profile and member.profile.witness_key == vkey:
                return links.node(member.key)
        return ""

    def _exposed(self, saw: Saw, count: int) -> Fact:
        prompts = self._measured.prompts
        name = f"{saw.role} {saw.name or saw.key}".strip()
        value = f"{count:,} of {prompts:,} prompts seen in clear"
        link = f"/explore/nodes/{saw.key}" if len(saw.key) == len(hex0x(bytes(20))) else ""
        return Fact(name, value, link, saw.key)

    def _sentence(self, told: GatewayNetwork | None, now: int) -> str:
        parts = []
        if told is None:
            parts.append("The gateway does not answer, so capacity and failures are not known.")
        else:
            capacity = told.capacity
            registered = words.count(capacity.registered, "registered slot")
            parts.append(
                f"{capacity.idle:,} of {registered} can take a request now; "
                "a node's slots are shared by all of its models, so rows of models may overlap."
            )
        tail = self._watch.tail
        if tail.backlog:
            waited = words.lasted(max(now - tail.since, 0))
            parts.append(f"{words.count(tail.backlog, 'entry')} wait for a quorum, for {waited} now.")
        if self._measured.count == 0:
            parts.append("No trust gap was measured since this process started.")
        return " ".join(parts)
