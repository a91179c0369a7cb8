"""A full node's state machine.

Rules it keeps, in this order, for each checkpoint that the log asks it to cosign:

1. The log signed it, and it extends what this node cosigned before (`ledger.witness`).
2. Every leaf below its size is in this node's own store, and their root is the checkpoint's.
3. Every entry below its size was judged by this node's own replica.
4. Every entry that does not hold has this node's verdict, or f+1 others', below the checkpoint's size; until
   then the answer is 503, and the log asks again with the next checkpoint.
5. The log does not date entries into this node's future (a minute of skew apart).
6. Only then the new state is made durable and the cosignature is given.

A log that broke its own rules (two roots for one size, time running backwards, an entry twice, bytes that
are no entry, a receipt before its predecessor) is never cosigned again; why is kept, and shown in /healthz
and /status.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.errors import Conflict, HallmarkError, NotFound, Unavailable
from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Signer, sign_statement
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.retry import seconds_of
from hallmark.ledger.checkpoint import Checkpoint, verify_log_signature
from hallmark.ledger.note import SigningKey, VerifierKey
from hallmark.ledger.pushed import pushed_leaves
from hallmark.ledger.store import LogStore, Staged
from hallmark.ledger.tiles import LEVEL_BITS, WIDTH
from hallmark.ledger.witness import RootDiffers, Witness
from hallmark.services.following.fold_store import FoldKeeper
from hallmark.services.following.log_client import LogClient
from hallmark.services.fullnode.checkpoint_store import CheckpointStore, Misbehaviour
from hallmark.services.fullnode.leaf_source import LeafSource
from hallmark.services.fullnode.log_probe import LogWatch
from hallmark.services.fullnode.log_relation import LogRelation
from hallmark.services.fullnode.objector import Objector
from hallmark.services.fullnode.settings import Settings
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import LogMisbehaviour, Replica
from hallmark.verification.judged_entry import SKEW_MS
from hallmark.verification.outcome import JUDGING_FAILED, failures

RECENT = 100
RELOAD = 128


class Objected(msgspec.Struct, frozen=True):
    """An entry that this node found not to hold: position and reason codes."""

    index: int
    reasons: tuple[str, ...]


class Status(msgspec.Struct, frozen=True):
    """GET /status."""

    state: str
    reason: str
    origin: str
    address: str
    vkey: str
    registered: bool
    size: int
    root: str
    cosigned_size: int
    objections: tuple[Objected, ...]
    owed: int
    last_refusal: str
    cosigned_at: int
    bugs: int
    newest_bug: str


class FullNode:
    """See the module docstring. `start` must have run before anything is cosigned."""

    def __init__(
        self,
        settings: Settings,
        replica: Replica,
        *,
        store: LogStore,
        memory: CheckpointStore,
        keeper: FoldKeeper,
        signer: Signer,
        witness_key: SigningKey,
        pool: Pool,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self.replica = replica
        self.store = store
        self._memory = memory
        self.keeper = memory.companion = keeper
        self._signer = signer
        self._now = now
        self._log_key = VerifierKey.parse(settings.log_vkey)
        self._witness = Witness(witness_key, [self._log_key], memory, self._check)
        self._source = LeafSource(pool, (settings.log_url, settings.copy_from), settings.limits.source_s)
        self.duties = Objector(replica, signer, pool, settings.log_url, now)
        self._advancing = asyncio.Lock()
        self._owing = asyncio.Event()
        self._accused: Misbehaviour | None = None
        self._starting = True
        self.standing = LogRelation(settings.limits.quiet_ms)
        self.log_watch = LogWatch(
            LogClient(pool, settings.log_url), self.standing, now, settings.limits.look_s
        )
        self._found: deque[Objected] = deque(maxlen=RECENT)
        self.judged = 0
        self.cosigned = 0
        self.refused = 0

    @property
    def address(self) -> bytes:
        """The 20-byte address that signs verdicts, faults and anchors."""
        return self._signer.address

    @property
    def health(self) -> Health:
        """`refusing` with the log's misbehaviour, `starting`, and else as it stands with the log."""
        if self._accused is not None:
            return Health("refusing", self._accused.reason)
        if self._starting:
            return Health("starting", "reading_own_copy")
        self.log_watch.wanted()
        health = self.standing.health(self._now())
        if health.state == "ready" and self.replica.newest_bug is not None:
            return Health("degraded", JUDGING_FAILED, told=self._bugs())
        return health

    def _bugs(self) -> str:
        if self.replica.newest_bug is None:
            return ""
        index, bug = self.replica.newest_bug
        return (
            f"{self.replica.bugs} so far, the newest on entry {index}: {bug.check}, {bug.error} at {bug.at}."
        )

    async def start(self) -> None:
        """Judge what of this node's own copy was judged since the fold was last kept, then catch up from
        `copy_from` if there is one.
        """
        self._accused = await self._memory.accusation()
        try:
            self.keeper.resume(self._has)
            while self.replica.size < self.store.size:
                end = min(self.replica.size + RELOAD, self.store.size)
                for leaf in await self.store.leaves(self.replica.size, end):
                    self._feed(leaf)
                await self.keeper.keep()
        except LogMisbehaviour as error:
            await self._accuse(error.reason, error.index, b"")
        if self._settings.copy_from and self._accused is None:
            await self._copy()
        self.standing.cosigned_size = (await self._memory.latest(self._settings.origin)).size
        self._starting = False
        self._owing.set()

    def _has(self, size: int, root: bytes) -> bool:
        return size <= self.store.size and self.store.tree.root(size) == root

    async def add_checkpoint(self, body: bytes, bundle: bytes = b"") -> bytes:
        """The C2SP add-checkpoint request; returns the cosignature line. `bundle` may hold the leaves from
        its old size on: a hint, not looked at before the log's signature holds. Raises as `Witness` does, and
        Unavailable `objections_pending`, `objections_impossible`, `log_time_ahead`,
        `log_refused`, `starting`, `leaves_unavailable`, `leaves_mismatch`.
        """
        if self._starting:
            raise Unavailable("starting", "This full node is reading its own copy.")
        if self._accused is not None:
            self.refused += 1
            raise Unavailable(
                "log_refused", "This log broke its rules and is not cosigned.", self._accused.reason
            )
        try:
            line = await self._witness.add_checkpoint(body, self._now, partial(self._check, bundle=bundle))
        except HallmarkError as error:
            self.standing.refused(error.reason, self._now())
            self.refused += 1
            if isinstance(error, RootDiffers):
                await self._accuse("log_fork", error.size, body)
            raise
        self.cosigned += 1
        self.standing.cosigned((await self._memory.latest(self._settings.origin)).size, self._now())
        return line

    async def anchor_signature(self, origin: str, size: int, root: bytes) -> bytes:
        """The node's signature for the chain; 65 bytes. Only for what it cosigned itself.

        Raises NotFound `unknown_log`, `not_cosigned`; Conflict `root_differs`.
        """
        if origin != self._settings.origin:
            raise NotFound("unknown_log", "This full node does not know a log of that origin.")
        known = await self._memory.root(size)
        if known is None:
            raise NotFound("not_cosigned", f"This full node did not cosign a checkpoint of size {size}.")
        if known != root:
            raise Conflict("root_differs", f"This full node cosigned another root at size {size}.")
        statement = AnchoredCheckpoint(network_id(origin), sha256(origin.encode()), size, root)
        return sign_statement(statement, self._settings.chain_id, self._signer)

    def checkpoint(self) -> bytes:
        """The newest checkpoint that this node cosigned. Raises NotFound `no_checkpoint`."""
        if self._memory.note is None:
            raise NotFound("no_checkpoint", "This full node has not cosigned a checkpoint yet.")
        return self._memory.note

    async def status(self) -> Status:
        """What is known now."""
        health = self.health
        return Status(
            state=health.state,
            reason=health.reason,
            origin=self._settings.origin,
            address=hex0x(self._signer.address),
            vkey=self._witness.vkey,
            registered=self.duties.registered,
            size=self.store.size,
            root=hex0x(self.replica.root()),
            cosigned_size=(await self._memory.latest(self._settings.origin)).size,
            objections=tuple(self._found),
            owed=len(self.duties.owed(self.replica.size)),
            last_refusal=self.standing.refusal,
            cosigned_at=self.standing.cosigned_at,
            bugs=self.replica.bugs,
            newest_bug=self._bugs(),
        )

    async def pay_duties(self) -> None:
        """Submit what is owed, again and again until it is in the log. Runs until cancelled."""
        while True:
            await self._owing.wait()
            self._owing.clear()
            try:
                waits_ms = await self.duties.perform()
            except HallmarkError as error:
                get_logger().warning("objection_waits", reason=error.reason)
                waits_ms = max(self._settings.limits.retry_ms, 1000 * seconds_of(error.retry_after))
            if waits_ms:
                await asyncio.sleep(waits_ms / 1000)
                self._owing.set()

    async def _check(self, old: int, size: int, checkpoint: Checkpoint, *, bundle: bytes = b"") -> None:
        """Rules 2 to 5; raises to refuse. What was judged is durable afterwards, or about to be: when nothing
        speaks against the checkpoint, the witness makes it durable together with its own state.
        """
        async with self._advancing:
            try:
                await self._reach(size, checkpoint.root, pushed_from=old, bundle=bundle)
            except LogMisbehaviour as error:
                await self._accuse(error.reason, error.index, checkpoint.encode())
                raise
            refusal = self._refusal(size)
            if refusal is None:
                return
            await self._memory.save()
        if self.duties.owed(size):
            self._owing.set()
        raise refusal

    def _refusal(self, size: int) -> Unavailable | None:
        """Why a checkpoint of `size`, all of it judged, is not cosigned now: rules 4 and 5.

        A log that dates its entries too early shows by itself: honest receipts then finish after their
        admission.
        """
        if size and self.replica.admitted(size - 1) > self._now() + SKEW_MS:
            return Unavailable("log_time_ahead", "The log's time is ahead of this full node's clock.")
        if not self.duties.owed(size):
            return None
        if self.duties.registered:
            return Unavailable("objections_pending", "This full node's verdicts must be in the log first.")
        return Unavailable(
            "objections_impossible",
            "Entries do not hold, and this full node is not registered to object.",
            "Register its key with the network's authority.",
        )

    async def _reach(self, size: int, root: bytes, *, pushed_from: int = 0, bundle: bytes = b"") -> None:
        """Have and judge every leaf below `size`, whose root must be `root`."""
        if size <= self.replica.size:
            if self.replica.root(size) != root:
                raise LogMisbehaviour("log_fork", "The log signed two histories.", size)
            return
        pushed = self._pushed(size, root, pushed_from, bundle)
        if pushed is None and size - self.replica.size > self._source.at_once:
            await self._catch_up(size, root)
        else:
            await self._judge(pushed or await self._fetch(size, root))

    async def _catch_up(self, size: int, root: bytes) -> None:
        """The same from far behind: piece by piece, each checked against the outline of the whole log before
        it is judged, and durable before the next one comes.
        """
        outline = await self._source.outline(size, root)
        await self._memory.save()
        own = self.replica.size // WIDTH
        if any(self.replica.node(LEVEL_BITS, at) != outline.bundle(at) for at in range(own)):
            raise Unavailable("leaves_mismatch", "The log's leaves are not those that this node has.")
        while (start := self.replica.size) < size:
            first = start // WIDTH * WIDTH
            leaves = await self._source.leaves(start, min(first + self._source.at_once, size))
            if not outline.holds(first, [*await self.store.leaves(first, start), *leaves]):
                raise Unavailable("leaves_mismatch", "A source sent other leaves than the log signed.")
            await self._judge(self._memory.stage(leaves))
            await self._memory.save()

    async def _fetch(self, size: int, root: bytes) -> Staged:
        staged = self._memory.stage(await self._source.leaves(self.replica.size, size))
        if staged.root != root:
            raise Unavailable("leaves_mismatch", "What the log serves does not have the root that it signed.")
        return staged

    def _pushed(self, size: int, root: bytes, start: int, bundle: bytes) -> Staged | None:
        """What is missing up to `size`, from a bundle that begins at `start`, if it has the root."""
        have = self.replica.size
        leaves = pushed_leaves(bundle, size - start) if bundle and start <= have else None
        staged = self._memory.stage(leaves[have - start :]) if leaves else None
        return staged if staged and staged.root == root else None

    async def _judge(self, staged: Staged) -> None:
        """Judge what was staged and is not judged yet, with a turn for other requests every few entries."""
        for count, leaf in enumerate(staged.leaves[len(self._memory.judged) :], start=1):
            self._feed(leaf)
            self._memory.judged.append(leaf)
            if count % self._settings.limits.chunk == 0:
                await asyncio.sleep(0)
        self._memory.staged(staged)
        if self.replica.judgements.owing:
            self._owing.set()

    def _feed(self, leaf: bytes) -> None:
        index = self.replica.size
        checks = self.replica.feed(index, leaf)
        self.judged += 1
        failed = failures(checks)
        if not failed:
            return
        if JUDGING_FAILED in failed:
            get_logger().error("judging_failed", index=index, told=self._bugs())
        self._found.append(Objected(index, failed))
        get_logger().warning("entry_does_not_hold", index=index, reason=failed[0])

    async def _copy(self) -> None:
        """Take over what another mirror holds, judging all of it."""
        try:
            note = await self._source.checkpoint(self._settings.copy_from)
            checkpoint = verify_log_signature(note, (self._log_key,)).checkpoint
            async with self._advancing:
                if checkpoint.size > self.replica.size:
                    await self._reach(checkpoint.size, checkpoint.root)
                    await self._memory.save()
        except LogMisbehaviour as error:
            await self._accuse(error.reason, error.index, b"")
        except HallmarkError as error:
            # The log's own tiles will do; copying only saves it the work.
            get_logger().warning("copy_failed", reason=error.reason)

    async def _accuse(self, reason: str, index: int, note: bytes) -> None:
        if self._accused is None:
            self._accused = Misbehaviour(reason, index, note, self._now())
            get_logger().error("log_misbehaved", reason=reason, index=index)
            await self._memory.accuse(self._accused)
