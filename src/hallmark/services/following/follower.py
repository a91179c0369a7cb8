"""Follows the log: every quorum-cosigned checkpoint, every leaf below it, folded into a replica.

1. A checkpoint counts only when the trust file's policy says that a quorum cosigned it.
2. Leaves are folded only when, with those before them, they hash to that checkpoint's root.
3. So routing never looks at an entry that the quorum has not covered.

The log tells what comes (`ledger.follow`) in one response that stays open. A mirror that cannot do that is
asked: a checkpoint, the leaves below it, and what comes next.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from hallmark.core.entries import Kind, decode, split_leaf
from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.core.statements import Registration, Version
from hallmark.http.health import Health
from hallmark.ledger.follow import Cosigned, Covered, Uncovered
from hallmark.ledger.merkle import CompactRange, leaf_hash
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum
from hallmark.services.following.log_client import LogClient
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import LogMisbehaviour, Replica
from hallmark.verification.outcome import JUDGING_FAILED, Bug, bug_of

BATCH: Final = 4096
SLICE: Final = 16
WAIT_MS: Final = 10_000
PAUSE_S: Final = 0.25
# A node refreshes its evidence hourly; receipts outlive a registration by little.
KEPT_REGISTRATIONS: Final = 8


class Logged(msgspec.Struct, frozen=True):
    """A leaf that a dossier may need, with its place and the digest of its document."""

    index: int
    leaf: bytes
    document: bytes


class RootDiffers(VerificationFailed):
    """The log serves leaves that are not those its quorum cosigned."""


class Follower:
    """Keeps `replica` at the newest cosigned checkpoint. `run` never returns."""

    def __init__(self, log: LogClient, policy: Policy, replica: Replica) -> None:
        self.replica = replica
        self.head: VerifiedCheckpoint | None = None
        self.distrust = ""
        self.newest_bug = ""
        """Where this process's own program failed on an entry; empty if never."""
        self.size_of_quorum = len(policy.witnesses)
        self.taps: list[Callable[[int, bytes], None]] = []
        """Called with position and leaf for every leaf, after it was folded, in order."""
        self.heads: list[Callable[[VerifiedCheckpoint, Note], None]] = []
        """Called with every newer checkpoint that a quorum cosigned, once the leaves below it are folded."""
        self.told: list[Callable[[int], None]] = []
        """Called with the size of a checkpoint that a quorum cosigned, before its leaves are folded."""
        self.tails: list[Callable[[Uncovered], Awaitable[None]]] = []
        """Given what no quorum covers. Without any the log is not asked for it."""
        self.pulls = asyncio.Event()
        """Set while the log is asked again and again, because it does not tell."""
        self._log = log
        self._policy = policy
        self._target: tuple[VerifiedCheckpoint, Note] | None = None
        self._held: list[bytes] = []
        self._range = CompactRange()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._registrations: dict[bytes, dict[bytes, Logged]] = {}
        self._versions: dict[bytes, Logged] = {}
        self._reachable = True

    @property
    def health(self) -> Health:
        """Starting until the first checkpoint is folded; degraded while the log cannot be followed."""
        if self.distrust:
            return Health("failed", self.distrust)
        if self.head is None:
            return Health("starting", "following_log")
        if not self._reachable:
            return Health("degraded", "log_unreachable")
        newest = self.newest_bug
        return Health("degraded", JUDGING_FAILED, told=newest) if newest else Health("ready")

    def registration(self, key: bytes, evidence: bytes, bundle: bytes) -> Logged | None:
        """The registration of `key` with the evidence of this SHA-256, else its newest one with the key
        bundle of this digest.
        """
        kept = self._registrations.get(key, {})
        if evidence in kept:
            return kept[evidence]
        return next((logged for logged in reversed(kept.values()) if logged.document == bundle), None)

    def version(self, manifest: bytes) -> Logged | None:
        """The entry that logged the manifest of this digest."""
        return self._versions.get(manifest)

    async def reached(self, size: int, timeout_s: float) -> bool:
        """True once the replica has folded `size` leaves; False after the time."""
        if self.replica.size >= size:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size, waiter))
        try:
            async with asyncio.timeout(max(timeout_s, 0)):
                await waiter
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follow for ever, or until the log breaks its own rules: from then on `distrust` says why, and
        nothing is routed by what it said.
        """
        while not self.distrust:
            try:
                await (self._step() if self.pulls.is_set() else self._listen())
            except (LogMisbehaviour, RootDiffers) as error:
                self.distrust = error.reason
                get_logger().error("log_distrusted", reason=error.reason, size=self.replica.size)
            except HallmarkError as error:
                if isinstance(error, NotFound) and not self.pulls.is_set():
                    self.pulls.set()
                    continue
                self._reachable = False
                self.pulls.clear()
                get_logger().warning("log_not_followed", reason=error.reason)
                await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        """Take what the log tells until it ends. Raises NotFound where it does not tell."""
        self._target, self._held = None, []
        began = asyncio.get_running_loop().time()
        async with contextlib.aclosing(self._log.follow(self.replica.size, tail=bool(self.tails))) as frames:
            async for frame in frames:
                match frame:
                    case Cosigned(text):
                        await self._aim(Note.parse(text))
                    case Covered(start, leaves):
                        await self._cover(start, leaves)
                    case Uncovered():
                        for take in self.tails:
                            await take(frame)
                self._reachable = True
        if asyncio.get_running_loop().time() - began < PAUSE_S:
            raise Unavailable("log_stream_ended", "The log stopped telling at once.")

    async def _aim(self, note: Note) -> None:
        """A checkpoint: the leaves below it come next."""
        verified = verify_quorum(self._policy, note)
        size = verified.checkpoint.size
        if self._target is not None:
            raise Unavailable("bad_frame", "The log named a checkpoint before it sent the leaves of another.")
        if size < self.replica.size:
            return
        for tell in self.told:
            tell(size)
        if size == self.replica.size:
            await self._fold([], verified)
            self._arrive(verified, note)
        else:
            self._target = verified, note

    async def _cover(self, start: int, leaves: list[bytes]) -> None:
        """Leaves below the checkpoint that was named last."""
        have = self.replica.size + len(self._held)
        if self._target is None or start != have or have + len(leaves) > self._target[0].checkpoint.size:
            raise Unavailable("bad_frame", "The log sent leaves that do not belong here.")
        verified, note = self._target
        self._held += leaves
        complete = have + len(leaves) == verified.checkpoint.size
        # Before the first checkpoint nothing routes; afterwards nothing is folded unless all of it fits.
        if complete or (self.head is None and len(self._held) >= BATCH):
            held, self._held = self._held, []
            await self._fold(held, verified)
        if complete:
            self._target = None
            self._arrive(verified, note)

    async def _step(self) -> None:
        note = Note.parse(await self._log.checkpoint())
        verified = verify_quorum(self._policy, note)
        size = verified.checkpoint.size
        while self.replica.size < size:
            end = size if self.head is not None else min(size, self.replica.size + BATCH)
            await self._fold(await self._log.leaves(self.replica.size, end), verified)
        self._arrive(verified, note)
        self._reachable = True  # said before the long wait for what comes next, not after it
        await self._log.wait(self.replica.size + 1, WAIT_MS)

    def _arrive(self, verified: VerifiedCheckpoint, note: Note) -> None:
        """Every leaf below a checkpoint is folded."""
        size = verified.checkpoint.size
        known = self.head.checkpoint.size if self.head is not None else -1
        if size >= known:
            self.head = verified
        if size > known:
            for tell in self.heads:
                tell(verified, note)
        self._wake()

    async def _fold(self, leaves: list[bytes], verified: VerifiedCheckpoint) -> None:
        """Fold leaves; those that end at the checkpoint's size must hash to its root."""
        staged = self._range.copy()
        staged.extend(leaf_hash(leaf) for leaf in leaves)
        checkpoint = verified.checkpoint
        if staged.size == checkpoint.size and staged.root() != checkpoint.root:
            raise RootDiffers("log_root_differs", "The log's leaves do not hash to its cosigned root.")
        for number, leaf in enumerate(leaves):
            self._take(self.replica.size, leaf)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        self._range = staged

    def _take(self, index: int, leaf: bytes) -> None:
        known = self.replica.bugs
        self.replica.feed(index, leaf)
        if self.replica.bugs > known and self.replica.newest_bug is not None:
            self._bug(index, self.replica.newest_bug[1])
        for tap in self.taps:
            try:
                tap(index, leaf)
            except HallmarkError:
                raise
            except BaseException as error:  # no entry stops what follows the log: see `verification.outcome`
                self._bug(index, bug_of("tap", error))
        if self.replica.failures(index):
            return
        entry = decode(split_leaf(leaf)[1])
        match entry.kind, entry.statement:
            case Kind.REGISTRATION, Registration() as registration:
                kept = self._registrations.setdefault(registration.key, {})
                kept[registration.evidence] = Logged(index, leaf, registration.document)
                while len(kept) > KEPT_REGISTRATIONS:
                    kept.pop(next(iter(kept)))
            case Kind.VERSION, Version() as version:
                self._versions.setdefault(version.document, Logged(index, leaf, version.document))

    def _bug(self, index: int, bug: Bug) -> None:
        self.newest_bug = f"On entry {index}: {bug.check}, {bug.error} at {bug.at}."
        get_logger().error("judging_failed", index=index, check=bug.check, error=bug.error, at=bug.at)

    def _wake(self) -> None:
        waiting = []
        for size, waiter in self._waiters:
            if self.replica.size >= size and not waiter.done():
                waiter.set_result(None)
            elif not waiter.done():
                waiting.append((size, waiter))
        self._waiters = waiting
