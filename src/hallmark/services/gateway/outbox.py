"""Sees every receipt into the log: kept on disk here, brought by its node's host, by this gateway if need be.

The host submits what its enclave signs; doing it here too would have the log work twice. So the gateway waits
until the log shows it the entry below a quorum's checkpoint, and submits it itself, until the log has it or
refuses it, when that takes longer than `patience_s`: a host that drops receipts drops nothing.
A gateway that dies loses nothing either, and one whose disk is full still submits.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec

from hallmark.core.entries import Kind, decode, leaf, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.merkle import leaf_hash
from hallmark.core.receipt import Receipt
from hallmark.http.retry import seconds_of
from hallmark.services.following.log_client import LogClient, Place, Refused
from hallmark.services.gateway.receipt_store import Kept, ReceiptStore
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.fold import Replica

PARALLEL: Final = 64
RECENT: Final = 10_000
PAUSES: Final = (0.05, 0.2, 1.0, 5.0, 15.0)
SWEEP_S: Final = 600.0
DRAIN_S: Final = 3.0
SETTLE_S: Final = 0.5
PATIENCE_S: Final = 2.0
EARLY: Final = 256
"""Leaves that nobody awaits yet; each is some 2 KB."""
ADMITTED_BYTES: Final = 8
"""What stands before the entry in a leaf."""
# What a node signed of a stopped answer is in the log within seconds, or never.
STOPPED_MS: Final = 600_000


class Track:
    """A receipt that this process knows: what is kept of it; `placed` when the log has taken or refused it,
    `safe` when it outlives this process, on disk here or in the log.
    """

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.placed = asyncio.Event()
        self.safe = asyncio.Event()
        if kept.position is not None or kept.refused:
            self.placed.set()


class Outbox:
    """See the module docstring. `run` restores what an earlier process left and must run for disk writes."""

    def __init__(
        self,
        store: ReceiptStore,
        log: LogClient,
        metrics: Metrics,
        clock: Callable[[], int],
        *,
        retention_ms: int,
        folded: Callable[[Kept], Place | None] = lambda _kept: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`folded` looks up where a receipt's entry stands below a quorum's checkpoint; None: not yet."""
        self._store, self._log, self._clock = store, log, clock
        self._retention_ms, self._folded, self._patience_s = retention_ms, folded, patience_s
        self._slots = asyncio.Semaphore(PARALLEL)
        self._tracks: OrderedDict[bytes, Track] = OrderedDict()
        self._named: OrderedDict[str, set[bytes]] = OrderedDict()
        self._stopped: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._awaited: dict[bytes, Track] = {}
        self._early: OrderedDict[bytes, Place] = OrderedDict()
        self._due: deque[tuple[float, Track]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged = metrics.counter("gateway_receipts", "Receipts by what became of them.", ("outcome",))
        metrics.gauge("gateway_outbox", "Receipts not in the log yet.", lambda: self.underway)

    @property
    def underway(self) -> int:
        """How many receipts are on their way to the log."""
        return len(self._awaited)

    async def run(self) -> None:
        """See into the log what is pending on disk, then keep the disk tidy, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._store.run())
            for kept in await self._store.pending():
                self._start(kept)
            try:
                while True:
                    await self._sweep()
                    await asyncio.sleep(SWEEP_S)
            finally:
                await self._drain(DRAIN_S)

    def add(self, kept: Kept) -> Track:
        """Take on a receipt: it goes to the disk, and the log is watched for it. Never blocks."""
        track = self._tracks.get(kept.id)
        return track if track is not None else self._start(kept, fresh=True)

    async def track(self, digest: bytes) -> Track | None:
        """The receipt of this id, from memory or disk."""
        found = self._tracks.get(digest)
        if found is None:
            kept = await self._store.get(digest)
            if kept is None:
                return None
            found = self._remember(Track(kept))
        return found

    async def find(self, name: str, timeout_s: float = 0.0) -> tuple[bytes, ...]:
        """The receipts of a request's or an answer's name, after waiting for the first at most so long."""
        found = self._named.get(name) or await self._store.named(name)
        if not found and timeout_s > 0:
            came = self._waiting.setdefault(name, asyncio.get_running_loop().create_future())
            try:
                await asyncio.wait({came}, timeout=timeout_s)
            finally:
                if not came.done():
                    self._waiting.pop(name, None)
            found = self._named.get(name, set())
        return tuple(found)

    def knows(self, name: str) -> bool:
        """Whether this process remembers a receipt by this name."""
        return name in self._named

    def stopped(self, request: bytes, name: str) -> None:
        """An answer stopped on its way; what its node signed of the request with this digest (32 bytes) will
        be known by `name`.
        """
        if name and name not in self._named:
            self._stopped[request] = name, self._clock()
            while len(self._stopped) > RECENT:
                self._stopped.popitem(last=False)

    def noticed(self, index: int, data: bytes) -> None:
        """A leaf of the log, below a quorum's checkpoint: an awaited receipt's, or that of an answer that had
        stopped.
        """
        entry, place = data[ADMITTED_BYTES:], Place(index, int.from_bytes(data[:ADMITTED_BYTES], "big"))
        track = self._awaited.get(entry)
        if track is not None:
            self._place(track, place)
        else:
            self._early[entry] = place
            if len(self._early) > EARLY:
                self._early.popitem(last=False)
        while self._stopped and next(iter(self._stopped.values()))[1] < self._clock() - STOPPED_MS:
            self._stopped.popitem(last=False)
        if self._stopped:
            self._notice_stopped(index, data)

    def _notice_stopped(self, index: int, data: bytes) -> None:
        admitted, found = split_leaf(data)
        try:
            entry = decode(found)
        except HallmarkError:
            return
        if entry.kind is not Kind.RECEIPT or not isinstance(entry.statement, Receipt):
            return
        request, _ = self._stopped.pop(entry.statement.request, ("", 0))
        digest = entry.statement.digest() if request else ZERO32
        if request and digest not in self._tracks:
            kept = Kept(digest, found, ZERO32, b"", self._clock(), request=request)
            self._start(msgspec.structs.replace(kept, position=index, admitted=admitted), fresh=True)

    async def settle(self, track: Track) -> None:
        """Wait until the receipt outlives this process, but not for long: the node's host keeps it too."""
        if track.safe.is_set():
            return
        try:
            async with asyncio.timeout(SETTLE_S):
                await track.safe.wait()
        except TimeoutError:
            get_logger().warning("receipt_not_safe_yet", receipt=track.kept.id)

    async def _sweep(self) -> None:
        try:
            await self._store.forget(self._clock() - self._retention_ms)
        except HallmarkError as error:
            get_logger().warning("store_not_swept", reason=error.reason)

    async def _drain(self, timeout_s: float) -> None:
        """Wait for what is under way, a while; what is left is on disk."""
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in tuple(self._tasks):
            task.cancel()

    def _start(self, kept: Kept, *, fresh: bool = False) -> Track:
        """Keep a receipt, and watch the log for it or submit it."""
        track = self._remember(Track(kept))
        if fresh:
            self._spawn(self._save(track))
        if track.placed.is_set():
            return track
        self._awaited[kept.entry] = track
        # Log and quorum may have been faster than the last bytes of an answer.
        place = self._early.pop(kept.entry, None)
        if place is not None:
            self._place(track, place)
        elif self._patience_s <= 0:
            self._spawn(self._bring(track))
        else:
            self._due.append((asyncio.get_running_loop().time() + self._patience_s, track))
            self._await_due()
        return track

    def _await_due(self) -> None:
        """One timer for the receipt that has waited longest, and none when nothing waits."""
        while self._due and self._due[0][1].placed.is_set():
            self._due.popleft()
        if self._timer is None and self._due:
            self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self._lose_patience)

    def _lose_patience(self) -> None:
        self._timer, now = None, asyncio.get_running_loop().time()
        while self._due and self._due[0][0] <= now:
            _, track = self._due.popleft()
            place = None if track.placed.is_set() else self._folded(track.kept)
            if place is not None:
                self._place(track, place)
            elif not track.placed.is_set():
                self._spawn(self._bring(track))
        self._await_due()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _remember(self, track: Track) -> Track:
        self._tracks[track.kept.id] = track
        for name in filter(None, (track.kept.request, track.kept.answer)):
            self._named.setdefault(name, set()).add(track.kept.id)
            waiting = self._waiting.pop(name, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        while len(self._named) > 2 * RECENT:
            self._named.popitem(last=False)
        while len(self._tracks) > RECENT:
            self._tracks.popitem(last=False)
        return track

    async def _bring(self, track: Track) -> None:
        """Submit until the log has the receipt or refuses it, or shows it by itself."""
        attempt = 0
        while not track.placed.is_set():
            try:
                async with self._slots:
                    place = await self._log.add(track.kept.entry)
                self._place(track, place)
            except Refused as error:
                get_logger().error("receipt_refused", receipt=track.kept.id, reason=error.reason)
                self._settle(track, "refused", refused=error.reason[:64])
            except HallmarkError as error:
                get_logger().warning("receipt_delayed", receipt=track.kept.id, reason=error.reason)
                pause = PAUSES[min(attempt, len(PAUSES) - 1)]
                await asyncio.sleep(max(pause, seconds_of(error.retry_after)) if attempt else pause)
                attempt += 1

    def _place(self, track: Track, place: Place) -> None:
        self._settle(track, "logged", position=place.index, admitted=place.admitted)

    def _settle(self, track: Track, outcome: str, **changes: int | str) -> None:
        """The log has taken or refused a receipt."""
        if track.placed.is_set():
            return
        track.kept = msgspec.structs.replace(track.kept, **changes)
        self._awaited.pop(track.kept.entry, None)
        self._logged.add(outcome)
        self._store.placed(track.kept)
        track.safe.set()
        track.placed.set()

    async def _save(self, track: Track) -> None:
        try:
            await self._store.put(track.kept)
        except HallmarkError as error:
            get_logger().error("receipt_not_kept", receipt=track.kept.id, reason=error.reason)
            return
        track.safe.set()


def where(replica: Replica, kept: Kept) -> Place | None:
    """Where exactly this entry stands in a replica; None when it is not there, or in another form."""
    position = replica.receipt_position(kept.id)
    if position is None:
        return None
    admitted = replica.admitted(position)
    held = leaf_hash(leaf(admitted, kept.entry)) == replica.leaf_hash(position)
    return Place(position, admitted) if held else None
