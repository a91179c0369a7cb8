"""Follows the log: every quorum-cosigned checkpoint, every leaf below it, folded into a replica.

1. A checkpoint counts only when the trust file's policy says that a quorum cosigned it.
2. Leaves are folded only when, with those before them, they hash to that checkpoint's root.
3. So routing never looks at an entry that the quorum has not covered.

The log tells what comes (`ledger.follow`) in one response that stays open. A mirror that cannot do that is
asked: a checkpoint, the leaves below it, and what comes next.

Where answers come quickly, so do checkpoints. A follower that may rest (`rest_s`) folds the first at once
and leaves what comes within so many seconds where it is. Of that the newest checkpoint's quorum is verified,
which covers the others' leaves. Nobody waits for it: whoever needs what the log has now wakes it (`hurried`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.core.merkle import CompactRange, leaf_hash
from hallmark.http.health import Health
from hallmark.ledger.follow import Cosigned, Covered, Frame, Uncovered, newest_of
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum
from hallmark.services.following.fold_store import FoldKeeper
from hallmark.services.following.log_client import LogClient
from hallmark.services.following.records import Logged, Records
from hallmark.telemetry.logs import get_logger
from hallmark.verification.fold import LogMisbehaviour, Replica
from hallmark.verification.outcome import JUDGING_FAILED, Bug, bug_of
from hallmark.verification.snapshot import packed_row, unpacked_row

BATCH: Final = 4096
SLICE: Final = 16
WAIT_MS: Final = 10_000
PAUSE_S: Final = 0.25
REST_S: Final = 0.25
"""Checkpoints that come within so many seconds can be verified together, unless somebody waits for one."""


class _Newest(msgspec.Struct, frozen=True, array_like=True):
    note: bytes


class RootDiffers(VerificationFailed):
    """The log serves leaves that are not those its quorum cosigned."""


class Newest:
    """The note of the checkpoint up to which, or below which, leaves were folded; kept beside the fold."""

    def __init__(self) -> None:
        self.note = b""

    def row(self) -> bytes | None:
        """See `Beside`."""
        return packed_row(_Newest(self.note))

    def kept(self) -> None:
        """See `Beside`."""

    def load(self, row: bytes) -> bool:
        """See `Beside`."""
        found = unpacked_row(row, _Newest)
        self.note = b"" if found is None else found.note
        return bool(self.note)


class Follower:
    """Keeps `replica` at the newest cosigned checkpoint. `run` never returns.

    With a `keeper` the fold is kept, and a start takes it up where it was: `resumed` are told how many leaves
    are folded then, and taps are not given these again. Whoever makes something durable of what is tapped
    says in `flushes` how to bring it to the disk, and in `durable` how many leaves it has there: the fold is
    never kept ahead of them.
    """

    def __init__(
        self,
        log: LogClient,
        policy: Policy,
        replica: Replica,
        keeper: FoldKeeper | None = None,
        *,
        rest_s: float = 0.0,
    ) -> None:
        self.replica = replica
        self.keeper = keeper
        self.head: VerifiedCheckpoint | None = None
        self.note: Note | None = None
        """The note that `head` is of."""
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
        self.resumed: list[Callable[[int], None]] = []
        self.flushes: list[Callable[[], Awaitable[None]]] = []
        self.durable: list[Callable[[], int]] = []
        self._log = log
        self._policy = policy
        self._target: tuple[VerifiedCheckpoint, Note] | None = None
        self._held: list[bytes] = []
        self._untapped: list[tuple[Callable[[int, bytes], None], int, bytes]] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._records, self._newest = Records(), Newest()
        self._rest_s, self._hasty, self._woken = rest_s, 0, asyncio.Event()
        self._reachable = True
        self._resumed = False
        self._confirmed = True
        if keeper is not None:
            keeper.beside |= {b"records": self._records, b"newest": self._newest}

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
        """See `Records.registration`."""
        return self._records.registration(key, evidence, bundle)

    def version(self, manifest: bytes) -> Logged | None:
        """See `Records.version`."""
        return self._records.version(manifest)

    def resume(self) -> None:
        """Take up the fold that was kept, once. Raises as the store does."""
        if self.keeper is None or self._resumed:
            return
        self._resumed = True
        if self.keeper.resume(self._confirms):
            # Until the log's next checkpoint agrees with it.
            self._confirmed = False
            for tell in self.resumed:
                tell(self.replica.size)

    def _confirms(self, size: int, root: bytes) -> bool:
        """Whether a quorum cosigned the root of a fold that was kept, and all that is made of its leaves is
        there. Of one below the checkpoint (a long log was being read for the first time) the next one tells.
        """
        try:
            checkpoint = verify_quorum(self._policy, Note.parse(self._newest.note)).checkpoint
        except HallmarkError:
            return False
        if size > min((at() for at in self.durable), default=size) or size > checkpoint.size:
            return False
        return size < checkpoint.size or root == checkpoint.root

    async def reached(self, size: int, timeout_s: float) -> bool:
        """True once a cosigned checkpoint of `size` or more is known and folded; False after the time."""
        if self._covered() >= size:
            return True
        if timeout_s <= 0:
            return False
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((size, waiter))
        try:
            with self.hurried():
                async with asyncio.timeout(timeout_s):
                    await waiter
        except TimeoutError:
            return False
        return True

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """No rest in this block, and what has come meanwhile is folded."""
        self._hasty += 1
        self._woken.set()
        try:
            yield
        finally:
            self._hasty -= 1

    async def _rest(self) -> None:
        """Let checkpoints come together, while nobody waits for one."""
        self._woken.clear()
        if self._hasty or not self._rest_s:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rest_s):
                await self._woken.wait()

    async def run(self) -> None:
        """Follow for ever, or until the log breaks its own rules: from then on `distrust` says why, and
        nothing is routed by what it said.
        """
        self.resume()
        while not self.distrust:
            try:
                await (self._step() if self.pulls.is_set() else self._listen())
            except (LogMisbehaviour, RootDiffers) as error:
                self._doubt()
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

    async def kept(self) -> None:
        """Beside `run`: ends as `FoldKeeper.run` does; at once without a keeper."""
        if self.keeper is not None:
            await self.keeper.run()

    def _doubt(self) -> None:
        """Where nothing confirmed what was kept, it may be that which is wrong: the next start folds anew."""
        if self.keeper is not None and not self._confirmed:
            self.keeper.distrust()

    async def _listen(self) -> None:
        """Take what the log tells until it ends. Raises NotFound where it does not tell."""
        self._target, self._held = None, []
        began = asyncio.get_running_loop().time()
        async with contextlib.aclosing(self._log.follow(self.replica.size, tail=bool(self.tails))) as told:
            async for frames in told:
                for frame in newest_of(frames) if self._rest_s else frames:
                    await self._hear(frame)
                    self._reachable = True
                if self._target is None and any(isinstance(frame, Cosigned) for frame in frames):
                    await self._rest()
        if asyncio.get_running_loop().time() - began < PAUSE_S:
            raise Unavailable("log_stream_ended", "The log stopped telling at once.")

    async def _hear(self, frame: Frame) -> None:
        match frame:
            case Cosigned(text):
                await self._aim(Note.parse(text))
            case Covered(start, leaves):
                await self._cover(start, leaves)
            case Uncovered():
                for take in self.tails:
                    await take(frame)

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
            await self._keep(note)
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
        await self._keep(note)

    async def _step(self) -> None:
        note = Note.parse(await self._log.checkpoint())
        verified = verify_quorum(self._policy, note)
        size = verified.checkpoint.size
        while self.replica.size < size:
            end = size if self.head is not None else min(size, self.replica.size + BATCH)
            await self._fold(await self._log.leaves(self.replica.size, end), verified)
            if self.replica.size < size:
                await self._keep(note)
        self._arrive(verified, note)
        await self._keep(note)
        self._reachable = True  # said before the long wait for what comes next, not after it
        await self._log.wait(self.replica.size + 1, WAIT_MS)

    def _arrive(self, verified: VerifiedCheckpoint, note: Note) -> None:
        """Every leaf below a checkpoint is folded."""
        size = verified.checkpoint.size
        known = self._covered()
        if size >= known:
            self.head, self.note = verified, note
        self._confirmed = True
        self._records.covered(size, note.encode())
        if size > known:
            for tell in self.heads:
                tell(verified, note)
        self._wake()

    async def _fold(self, leaves: list[bytes], verified: VerifiedCheckpoint) -> None:
        """Fold leaves; those that end at the checkpoint's size must hash to its root."""
        staged = CompactRange(self.replica.size, self.replica.peaks())
        staged.extend(leaf_hash(leaf) for leaf in leaves)
        checkpoint = verified.checkpoint
        if staged.size == checkpoint.size and staged.root() != checkpoint.root:
            raise RootDiffers("log_root_differs", "The log's leaves do not hash to its cosigned root.")
        self._tap()
        for number, leaf in enumerate(leaves):
            self._take(self.replica.size, leaf)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _take(self, index: int, leaf: bytes) -> None:
        known = self.replica.bugs
        self.replica.feed(index, leaf)
        if self.replica.bugs > known and self.replica.newest_bug is not None:
            self._bug(index, self.replica.newest_bug[1])
        if not self.replica.failures(index):
            self._records.take(index, leaf)
        self._untapped = [(tap, index, leaf) for tap in self.taps]
        self._tap()

    def _tap(self) -> None:
        """Give every tap the leaf that was folded last. What one cannot take now it is given again."""
        while self._untapped:
            tap, index, leaf = self._untapped[0]
            try:
                tap(index, leaf)
            except Unavailable:
                raise
            except BaseException as error:  # no entry stops what follows the log: see `verification.outcome`
                self._bug(index, bug_of("tap", error))
            del self._untapped[0]

    async def _keep(self, note: Note) -> None:
        """Keep what was folded, if it is time: behind everything that is made of it."""
        if self.keeper is None or not self.keeper.due:
            return
        self._newest.note = note.encode()
        try:
            for flush in self.flushes:
                await flush()
            await self.keeper.keep()
        except HallmarkError as error:
            get_logger().warning("fold_not_kept", reason=error.reason)

    def _bug(self, index: int, bug: Bug) -> None:
        self.newest_bug = f"On entry {index}: {bug.check}, {bug.error} at {bug.at}."
        get_logger().error("judging_failed", index=index, check=bug.check, error=bug.error, at=bug.at)

    def _covered(self) -> int:
        """The size of `head`, -1 before there is one."""
        return -1 if self.head is None else self.head.checkpoint.size

    def _wake(self) -> None:
        waiting = []
        for size, waiter in self._waiters:
            if self._covered() >= size and not waiter.done():
                waiter.set_result(None)
            elif not waiter.done():
                waiting.append((size, waiter))
        self._waiters = waiting
