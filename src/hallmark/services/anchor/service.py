"""The anchoring service: its loop, what it answers, and its health.

The loop goes round when the log has a newer checkpoint, at `poll_ms` while something is on its way to the
chain, and else every `QUIET` times `seconds`, to see whether the chain still holds what it held.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.http.health import Behind, Health
from hallmark.ledger.policy import Policy, VerifiedCheckpoint
from hallmark.services.anchor.chain import View
from hallmark.services.anchor.evm import EVMAnchorChain
from hallmark.services.anchor.health import Facts, judge
from hallmark.services.anchor.machine import Machine
from hallmark.services.anchor.newest import RETRY_S, Newest
from hallmark.services.anchor.outbox import ANCHORED, Anchoring, Outbox, State
from hallmark.services.anchor.settings import Settings
from hallmark.services.anchor.sources import Quorum, collect_signatures
from hallmark.services.chain.contract import Artifact, Parameters, anchor_address
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.transactions import deploy_anchor
from hallmark.telemetry.logs import get_logger

TRIED: Final = 64
QUIET: Final = 3
UNSETTLED: Final = (State.WANTED, State.SIGNED, State.SENT, State.MINED)


class Status(msgspec.Struct, frozen=True):
    """GET /status: the chain as last seen, the outbox by state, and the newest problem."""

    chain_id: int
    contract: str
    confirmations: int
    head: int
    anchored_size: int
    anchored_root: str
    deployments: int
    counts: dict[str, int]
    reason: str


class AnchorService:
    """Anchors the checkpoints of one log. `run` is the loop; the rest answers requests beside it."""

    def __init__(self, settings: Settings, outbox: Outbox, key: Key, artifact: Artifact) -> None:
        self._settings = settings
        self._network = network_id(settings.origin)
        self._origin = sha256(settings.origin.encode())
        self._signers = tuple(unhex(signer) for signer in settings.signers)
        self._parameters = Parameters(self._network, settings.origin, self._signers, settings.threshold)
        self._address = anchor_address(artifact, self._parameters)
        if self._address != unhex(settings.contract):
            raise InvalidInput(
                "contract_mismatch",
                f"These signers and this code give {hex0x(self._address)}, not {settings.contract}.",
                "The trust file and this service must be made from the same contract.",
            )
        self._artifact = artifact
        self._key = key
        self._policy = Policy.parse(settings.tlog_policy)
        self._pool = Pool(per_origin=8)
        self._outbox = outbox
        self._chain = EVMAnchorChain(RPC(settings.rpc_url), self._address, key, settings.chain_id)
        self._machine = Machine(
            outbox,
            self._chain,
            self._collect,
            confirmations=settings.confirmations,
            resend_ms=settings.resend_ms,
        )
        self._view: View | None = None
        self._state = Health("starting", "chain_not_seen", _now())
        self._behind = Behind()
        self._wanted = 0
        self.deployments = 0
        self.bugs = 0
        self._newest = Newest(self._pool, settings.log_url, self._policy, settings.seconds)
        self._taken: VerifiedCheckpoint | None = None
        self._unsure = True
        """Whether the chain is to be looked at from the ground up: at the start, after problems, and when it
        changed while nothing was on its way.
        """
        self._settled: View | None = None
        """The chain as it was when everything wanted was confirmed; None while something is on its way."""

    @property
    def health(self) -> Health:
        """Ready while what a quorum cosigns reaches the chain in time, or nothing new is cosigned."""
        now = _now()
        facts = Facts(self._state, self._behind.lasts(now), self.anchored_size, self._wanted)
        return judge(facts, now, self._settings.behind_ms)

    @property
    def head(self) -> int:
        """Newest block seen."""
        return self._view.head if self._view else 0

    @property
    def anchored_size(self) -> int:
        """Size of the newest checkpoint on the chain, as last seen."""
        return self._view.latest.size if self._view else 0

    async def run(self) -> None:
        """Anchor until cancelled. Problems show in health and in the log, and are tried again."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._newest.run())
                while True:
                    self._newest.changed.clear()
                    pause = await self.round()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._newest.changed.wait()
        finally:
            await self._pool.aclose()
            await self._chain.rpc.aclose()

    async def round(self) -> float:
        """Bring outbox and chain closer together; seconds until the next time, if the log has nothing new."""
        soon = self._settings.poll_ms / 1000
        try:
            if not await self._is_quiet():
                if self._unsure:
                    await self._ensure_contract()
                await self._want_newest()
                await self._step()
                under_way = bool(await self._outbox.rows(UNSETTLED, limit=1))
                done = not under_way and self.anchored_size >= self._wanted
                self._unsure, self._settled = not (under_way or done), self._view if done else None
            if self._newest.problem is None:
                self._healthy()
            else:
                self._problem(self._newest.problem)
            return soon if self._settled is None else float(QUIET * self._settings.seconds)
        except HallmarkError as error:
            self._problem(error)
        except Exception as error:
            # A bug of ours ends no service: it is said, counted, and tried again.
            get_logger().error("internal_error", exc_info=error)
            self.bugs += 1
            self._problem(Unavailable("internal_error", "A bug: see the log."))
        self._unsure, self._settled = True, None
        return max(soon, RETRY_S)

    async def record(self, size: int, confirmations: int) -> AnchorRecord:
        """The smallest anchored checkpoint of `size` entries or more, as the chain shows it now.

        Raises NotFound `not_anchored_yet`, also while it has fewer than `confirmations`; Unavailable
        `chain_unreachable`.
        """
        depth = 0
        for row in await self._outbox.rows(ANCHORED, above=size - 1, limit=TRIED, newest=False):
            try:
                stored = await self._chain.stored(row.size)
            except VerificationFailed:  # the contract itself is gone
                stored = None
            if stored is None or stored.root != row.root:
                self._doubt()
                continue
            depth = await self._chain.rpc.head() - stored.block + 1
            if depth >= confirmations:
                return self._record(row, stored.block, depth)
            break
        raise NotFound(
            "not_anchored_yet",
            f"No anchored checkpoint covers size {size} with {confirmations} confirmations yet.",
            f"It has {depth} so far." if depth else f"One is anchored every {self._settings.seconds} s.",
        )

    async def status(self) -> Status:
        """What is known now, without asking the chain."""
        latest = self._view.latest if self._view else None
        return Status(
            chain_id=self._settings.chain_id,
            contract=hex0x(self._address),
            confirmations=self._settings.confirmations,
            head=self.head,
            anchored_size=self.anchored_size,
            anchored_root=hex0x(latest.root) if latest else "",
            deployments=self.deployments,
            counts=await self._outbox.counts(),
            reason=self.health.reason,
        )

    async def _ensure_contract(self) -> None:
        """The chain is the right one and has the contract. A development chain may lose both at any time."""
        served = await self._chain.rpc.chain_id()
        if served != self._settings.chain_id:
            raise Unavailable("other_chain", f"The endpoint serves chain {served}.")
        if await self._chain.contract.deployed():
            return
        if not self._settings.deploy:
            raise Unavailable("anchor_not_deployed", f"The chain has no contract at {hex0x(self._address)}.")
        await deploy_anchor(self._chain.rpc, self._key, self._artifact, self._parameters)
        self.deployments += 1
        get_logger().warning("anchor_deployed", contract=self._address)

    def _doubt(self) -> None:
        """A question showed that the chain lost what it held: see to it now, not at the next look."""
        if self._settled is not None:
            self._settled, self._unsure = None, True
            self._newest.changed.set()

    async def _is_quiet(self) -> bool:
        """Nothing new is to be anchored, and the chain holds what it held when all was confirmed."""
        settled = self._settled
        if settled is None:
            return False
        if self._newest.checkpoint is not self._taken:
            self._settled = None
            return False
        self._view, same = await self._machine.look(settled)
        self._unsure = not same
        return same

    async def _want_newest(self) -> None:
        """A log without a quorum-cosigned checkpoint does not keep earlier ones from being followed.

        What was wanted is wanted again now and then: the chain may have lost what superseded it.
        """
        newest = self._newest.checkpoint
        if newest is None or (newest is self._taken and not self._unsure):
            return
        size, root = newest.checkpoint.size, newest.checkpoint.root
        self._wanted = size
        self._behind.see(size, self.anchored_size, _now())
        if size > 0:
            await self._machine.want(self._statement(size, root), _now())
        self._taken = newest

    async def _step(self) -> None:
        before = self.anchored_size
        self._view = await self._machine.step(self._network, self._origin, _now())
        self._behind.see(self._wanted, self.anchored_size, _now())
        if self._view.latest.size != before:
            latest = self._view.latest
            get_logger().info("anchored", size=latest.size, root=latest.root, block=latest.block)

    async def _collect(self, checkpoint: AnchoredCheckpoint) -> tuple[bytes, ...]:
        settings = self._settings
        quorum = Quorum(self._signers, settings.threshold, settings.full_nodes, settings.chain_id)
        return await collect_signatures(self._pool, quorum, settings.origin, checkpoint)

    def _statement(self, size: int, root: bytes) -> AnchoredCheckpoint:
        return AnchoredCheckpoint(self._network, self._origin, size, root)

    def _record(self, row: Anchoring, block: int, depth: int) -> AnchorRecord:
        return AnchorRecord(
            chain_id=self._settings.chain_id,
            contract=hex0x(self._address),
            transaction=hex0x(row.transaction.rjust(32, b"\0")),
            block=block,
            size=row.size,
            root=hex0x(row.root),
            confirmations=depth,
        )

    def _healthy(self) -> None:
        if self._state.state != "ready":
            get_logger().info("anchor_ready", block=self.head, size=self.anchored_size)
            self._state = Health("ready", "", _now())

    def _problem(self, error: HallmarkError) -> None:
        if self._state.reason != error.reason:
            get_logger().warning("anchor_problem", reason=error.reason)
        state = "starting" if self._view is None else "degraded"
        if (self._state.state, self._state.reason) != (state, error.reason):
            self._state = Health(state, error.reason, _now())


def _now() -> int:
    return time.time_ns() // 1_000_000
