"""Carries the outbox's entries to the log, in order, until the log has each one or refuses it for good."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.entries import Kind, entry_id
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.http.client import Pool
from hallmark.http.retry import LONGEST_S, retry_after_of, seconds_of
from hallmark.ledger import proof_of_work
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.follow import Cosigned
from hallmark.ledger.note import Note
from hallmark.services.enclave.runtime import Beacon
from hallmark.services.following import log_client as following
from hallmark.services.log.admission import join_many
from hallmark.services.node.outbox import Outbox
from hallmark.telemetry.logs import get_logger
from hallmark.verification.objections_after import reasons_against

BATCH_ENTRIES: Final = 512
BATCH_BYTES: Final = 4 << 20
IN_FLIGHT: Final = 4
GATHER_S: Final = 0.025
"""What arrives within so many seconds after something was sent is sent together."""
FIRST_BACKOFF_S: Final = 0.1
LAST_BACKOFF_S: Final = 5.0
WAIT_MS: Final = 10_000
FOR_GOOD: Final = frozenset(
    (
        "bad_entry",
        "wrong_network",
        "entry_too_large",
        "signature_missing",
        "too_many_signatures",
        "bad_signature",
        "wrong_signer",
        "attachments_malformed",
        "document_mismatch",
        "statement_logged",
    )
)
"""Reasons of the log that no repetition changes."""


class Placed(msgspec.Struct, frozen=True):
    """Where the log put an entry: index, admission time (unix ms)."""

    index: int
    admitted: int


class LogProblem(msgspec.Struct, frozen=True):
    """The log's reason for not taking an entry; after how many seconds it will, and how many bits of work it
    asks for, 0 when it does not say.
    """

    code: str
    message: str = ""
    retry_after: int = 0
    work_bits: int = 0


class _Result(msgspec.Struct, frozen=True):
    index: int = -1
    admitted: int = 0
    error: LogProblem | None = None


class _Results(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...]


class LogClient:
    """The log, as a node host needs it."""

    def __init__(self, pool: Pool, url: str, origin: str) -> None:
        self._pool = pool
        self._url = url.rstrip("/")
        self._origin = origin

    async def beacon(self) -> Beacon:
        """The newest checkpoint that a quorum has cosigned; size 0 before there is one.

        It is taken as it is: whoever judges evidence or a receipt compares it with the log. Raises
        Unavailable, InvalidInput `bad_checkpoint`, VerificationFailed `wrong_origin`.
        """
        async with self._pool.request("GET", f"{self._url}/checkpoint") as response:
            data = await response.read(1 << 20)
            if response.status == 503 and b"not_witnessed_yet" in data:
                return Beacon(0, EMPTY_ROOT)
            if response.status != 200:
                raise Unavailable("log_unavailable", f"The log answers {response.status}.")
        return self._beacon(data)

    async def beacons(self, every_ms: int) -> AsyncGenerator[Beacon, None]:
        """As the log tells them until it ends, at most one in `every_ms`: the first at once, then the newest.

        Raises NotFound from a log that does not tell, and as `beacon` does.
        """
        log = following.LogClient(self._pool, self._url)
        async with contextlib.aclosing(log.checkpoints(every_ms)) as frames:
            async for frame in frames:
                if isinstance(frame, Cosigned):
                    yield self._beacon(frame.note)

    async def objections(self, index: int) -> dict[bytes, str]:
        """The reason of each full node (by its address) that objects to the entry at `index`, once a quorum
        covers that: who cosigns it has objected before. As the log shows it. Raises what a connection raises.
        """
        log = following.LogClient(self._pool, self._url)
        size = 0
        while size <= index:
            await log.wait(index + 1, WAIT_MS)
            size = (await self.beacon()).size
        return reasons_against(index, await log.leaves(index + 1, size))

    def _beacon(self, note: bytes) -> Beacon:
        checkpoint = Checkpoint.parse(Note.parse(note).text)
        if checkpoint.origin != self._origin:
            raise VerificationFailed("wrong_origin", "The log is another network's.")
        return Beacon(checkpoint.size, checkpoint.root)

    async def add(self, entries: list[bytes]) -> list[Placed | LogProblem]:
        """For each entry its place or the log's reason. Raises Unavailable."""
        async with self._pool.request("POST", f"{self._url}/add-many", (), join_many(entries)) as response:
            data = await response.read(1 << 22)
            if response.status != 200:
                error = Unavailable("log_unavailable", f"The log answers {response.status}.")
                error.retry_after = retry_after_of(response)
                raise error
        try:
            results = msgspec.json.decode(data, type=_Results).results
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable("log_unavailable", "The log's answer cannot be read.") from error
        if len(results) != len(entries):
            raise Unavailable("log_unavailable", "The log's answer is incomplete.")
        answers = [result.error or Placed(result.index, result.admitted) for result in results]
        return [await self._worked(entry, said) for entry, said in zip(entries, answers, strict=True)]

    async def _worked(self, entry: bytes, said: Placed | LogProblem) -> Placed | LogProblem:
        """The same, but after the proof of work that the log asks of those for whom nobody vouches."""
        if isinstance(said, Placed) or not _may_need_work(entry):
            return said
        work = await proof_of_work.answer(entry_id(entry), said.work_bits)
        if work is None:
            return said
        async with self._pool.request("POST", f"{self._url}/add", (work,), entry) as response:
            data = await response.read(1 << 16)
        try:
            result = msgspec.json.decode(data, type=_Result)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return said
        return result.error or (Placed(result.index, result.admitted) if result.index >= 0 else said)


def _registers(entry: bytes) -> bool:
    """Whether an entry is a registration."""
    return entry[1:2] == bytes([Kind.REGISTRATION])


def _may_need_work(entry: bytes) -> bool:
    """Whether somebody for whom nobody vouches may say this: a node, a label, its version."""
    return entry[1:2] in [bytes([kind]) for kind in (Kind.REGISTRATION, Kind.PUBLICATION, Kind.VERSION)]


class Forwarder:
    """See the module docstring. `run` must be running."""

    def __init__(self, outbox: Outbox, log: LogClient) -> None:
        self._outbox = outbox
        self._log = log
        self._sending: set[int] = set()
        self._watched: dict[int, asyncio.Future[Placed]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoff = FIRST_BACKOFF_S
        self._next = 0.0
        """When more may be sent, in the loop's seconds."""
        self._told = 0
        self.problem = ""
        self.stuck_at = 0.0
        """Since when the log takes nothing although something waits (monotonic clock); 0: it does."""

    def watch(self, number: int) -> asyncio.Future[Placed]:
        """The place of an entry that was just put; fails with VerificationFailed and the log's reason."""
        return self._watched.setdefault(number, asyncio.get_running_loop().create_future())

    async def run(self) -> None:
        """Send what waits, for ever."""
        try:
            while True:
                await self._outbox.arrived.wait()
                if self._outbox.waiting.keys() <= self._sending:
                    self._outbox.arrived.clear()
                    continue
                await self._slots.acquire()
                await self._gather()
                batch = self._take()
                task = asyncio.create_task(self._send(batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            for task in self._tasks:
                task.cancel()

    async def idle(self) -> None:
        """Until nothing waits any more."""
        while self._outbox.waiting:  # noqa: ASYNC110 - used once, when stopping
            await asyncio.sleep(0.02)

    async def _gather(self) -> None:
        """One request of a busy node carries what came since the last; an idle one's goes at once."""
        loop = asyncio.get_running_loop()
        left = self._next - loop.time()
        if left > 0:
            await asyncio.sleep(left)
        self._next = loop.time() + GATHER_S

    def _take(self) -> dict[int, bytes]:
        batch: dict[int, bytes] = {}
        size = 0
        # What registers the node goes first: without it the log takes nothing else of it.
        waiting = sorted(self._outbox.waiting.items(), key=lambda item: not _registers(item[1]))
        for number, entry in waiting:
            if number in self._sending:
                continue
            if len(batch) >= BATCH_ENTRIES or size >= BATCH_BYTES:
                break
            batch[number] = entry
            size += len(entry)
        self._sending.update(batch)
        return batch

    async def _send(self, batch: dict[int, bytes]) -> None:
        try:
            if await self._settled(batch):
                self.problem, self.stuck_at, self._backoff = "", 0.0, FIRST_BACKOFF_S
                return
            self.stuck_at = self.stuck_at or time.monotonic()
            get_logger().warning("log_refused_entries", reason=self.problem, count=len(batch))
            await asyncio.sleep(max(self._backoff, self._told))
            self._told = 0
            self._backoff = min(self._backoff * 2, LAST_BACKOFF_S)
        finally:
            self._sending.difference_update(batch)
            self._slots.release()
            self._outbox.arrived.set()

    async def _settled(self, batch: dict[int, bytes]) -> bool:
        """Send once; whether every entry of the batch is done with."""
        try:
            results = await self._log.add(list(batch.values()))
        except HallmarkError as error:
            self.problem, self._told = error.reason, seconds_of(error.retry_after)
            return False
        return all([await self._settle(n, result) for n, result in zip(batch, results, strict=True)])

    async def _settle(self, number: int, result: Placed | LogProblem) -> bool:
        """Act on the log's answer for one entry; False when it has to go again."""
        watcher = self._watched.get(number)
        if isinstance(result, Placed):
            self._outbox.admitted(number)
            if watcher is not None and not watcher.done():
                watcher.set_result(result)
        elif result.code in FOR_GOOD:
            get_logger().error("log_refused_entry", reason=result.code)
            await self._outbox.refuse(number, result.code)
            if watcher is not None and not watcher.done():
                watcher.set_exception(VerificationFailed(result.code, "The log refuses the entry."))
        else:
            self.problem = result.code
            self._told = max(self._told, min(result.retry_after, LONGEST_S))
            return False
        self._watched.pop(number, None)
        return True
