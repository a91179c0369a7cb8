"""The file of an enclave's journal of accounts: frames as `payments.journal` makes them, one after the other.

Rules it keeps:

- a frame is written as it comes, so that it outlives a kill of host and enclave, and is acknowledged then;
- one that asks for it is acknowledged once it is on disk; one fsync serves all that wait, beside the loop;
- acknowledgements go up: what came after a frame that waits for the disk waits with it;
- position 1 begins a new journal in a file beside. Its first frame that asks for the disk puts it into the
  old one's place, in one step; until then the old one counts, and a start throws the other away;
- what a full or failing disk did not take is kept in memory and written again from the last place that is
  known to be on disk (a failed fsync says nothing about the pages that it was for). Nothing is acknowledged
  meanwhile.

So a kill at any point leaves every acknowledged frame, and at most half a frame behind the last whole one,
which the next frame overwrites.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hallmark.core.errors import Conflict, Unavailable
from hallmark.payments.journal import HEAD
from hallmark.store.errors import HINT_FULL
from hallmark.store.writer import Worker
from hallmark.telemetry.logs import get_logger

RETRY_S: Final = 0.25
FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
MOST_UNSYNCED: Final = 1 << 20
"""Bytes that may be written and not on disk when nobody asks for it: they are held in memory, too."""


class _Waiting(msgspec.Struct, frozen=True):
    """A frame that is not acknowledged: its position, where it ends in the file, what it waits for."""

    position: int
    end: int
    durable: bool


class _Part:
    """One open file and what of it is on disk (`synced`), written (`written`), and to be (`end`)."""

    def __init__(self, path: Path, size: int, *, beside: bool) -> None:
        self.path, self.beside = path, beside
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if beside else 0)
        self.fd = os.open(path, flags, 0o600)
        os.ftruncate(self.fd, size)
        self.synced = self.written = size
        self._tail = bytearray()

    @property
    def end(self) -> int:
        """Size of the file when everything is written."""
        return self.synced + len(self._tail)

    def add(self, frame: bytes) -> int:
        """Take a frame; where it ends."""
        self._tail += frame
        return self.end

    def write(self) -> None:
        """Write what is not written. Raises OSError; what was written until then is."""
        while self.written < self.end:
            with memoryview(self._tail) as tail, tail[self.written - self.synced :] as rest:
                self.written += os.pwrite(self.fd, rest, self.written)

    def sync(self, place: Path) -> None:
        """Get the file to the disk, and to its place. Runs beside the loop. Raises OSError."""
        if not self.beside:
            os.fdatasync(self.fd)
            return
        os.fsync(self.fd)
        with contextlib.suppress(FileNotFoundError):  # a try before this one came as far as here
            os.replace(self.path, place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def on_disk(self, upto: int) -> None:
        """Everything before `upto` is on disk, and the file is in its place."""
        del self._tail[: upto - self.synced]
        self.synced, self.beside = upto, False

    @property
    def done(self) -> bool:
        """Whether everything is on disk, in its place."""
        return self.synced == self.end and not self.beside

    def doubt(self) -> None:
        """Write everything again that is not known to be on disk."""
        self.written = self.synced


class JournalFile:
    """See the module docstring. `begin` before each enclave, then `put`; `close` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._worker = Worker("journal-sync")
        self._part: _Part | None = None
        self._waiting: deque[_Waiting] = deque()
        self._asked = 0
        self._turn = asyncio.Lock()
        self._parts = 0
        self._kept: Callable[[int], None] = lambda _position: None
        self._soon: asyncio.Handle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._size = 0
        self.position = 0
        """Of the newest frame that came."""
        self.kept = 0
        """Of the newest frame that was acknowledged."""
        self.problem = ""
        """Why the last write failed, `store_full` or `store_unavailable`; empty when it did not."""

    async def begin(self, kept: Callable[[int], None]) -> Path | None:
        """Get ready for an enclave that begins: what its predecessor sent is on disk, a half-made new journal
        is gone. Gives the file to hand to it, None when there is none; `kept` gets acknowledgements.

        Raises Unavailable `store_full`, `store_unavailable`.
        """
        await self.flush()
        self._leave()
        self._kept = kept
        try:
            self._size, self.position = await asyncio.to_thread(_opened, self._path)
        except OSError as error:
            raise _unavailable(error) from error
        self.kept = self.position
        return self._path if self._size else None

    def put(self, position: int, frame: bytes, *, durable: bool) -> None:
        """Take the next frame; it is written before the loop goes on to anything else.

        Raises Conflict `journal_gap` for one that does not follow the last.
        """
        if position == 1:
            self._leave()
            self._parts += 1
            self._part = self._open(self._path.with_name(f"{self._path.name}.{self._parts}.new"), beside=True)
            self.kept = 0
        elif position != self.position + 1:
            raise Conflict("journal_gap", f"Frame {position} of the journal came after {self.position}.")
        elif self._part is None:
            self._part = self._open(self._path, beside=False)
        assert self._part is not None
        self.position = position
        self._asked += durable
        self._waiting.append(_Waiting(position, self._part.add(frame), durable))
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._write)

    async def flush(self) -> None:
        """Until everything that came is on disk: tried now, once. Raises Unavailable `store_full`,
        `store_unavailable`; it is tried again later.
        """
        if self._syncing is not None:
            await asyncio.wait((self._syncing,))
        part = self._part
        if part is None or part.done or (part.beside and not self._asked):
            return
        try:
            part.write()
            await self._sync_once(part)
        except OSError as error:
            self._failed(error)
            self._retry()
            raise _unavailable(error) from error

    async def close(self) -> None:
        """Get what came to the disk, if it takes it, and let go of the file."""
        with contextlib.suppress(Unavailable):
            await self.flush()
        self._leave()
        await asyncio.to_thread(self._worker.close)

    def _open(self, path: Path, *, beside: bool) -> _Part:
        try:
            return _Part(path, 0 if beside else self._size, beside=beside)
        except OSError as error:
            self._failed(error)
            raise _unavailable(error) from error

    def _leave(self) -> None:
        """Go away from the open file; frames of it that wait are not waited for any more."""
        part, self._part = self._part, None
        for pending in (self._soon, self._syncing):
            if pending is not None:
                pending.cancel()
        self._soon = self._syncing = None
        self._waiting.clear()
        self._asked = 0
        if part is not None:
            with contextlib.suppress(OSError):
                part.write()
            # After a sync that still runs, which needs the descriptor.
            self._worker.start(lambda: os.close(part.fd))

    def _write(self) -> None:
        self._soon = None
        part = self._part
        if part is None:
            return
        try:
            part.write()
        except OSError as error:
            self._failed(error)
            self._retry()
            return
        self._acknowledge(part)
        if not self._must_sync(part):
            self._well()
        elif self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync(part))

    def _must_sync(self, part: _Part) -> bool:
        much = part.end - part.synced > MOST_UNSYNCED and not part.beside
        return self._asked > 0 or much

    async def _sync(self, part: _Part) -> None:
        """Sync until nobody waits for it."""
        try:
            while part is self._part and self._must_sync(part):
                await self._sync_once(part)
        except OSError as error:
            self._failed(error)
            self._retry()
        finally:
            if part is self._part:
                self._syncing = None

    async def _sync_once(self, part: _Part) -> None:
        async with self._turn:
            goal = part.written
            try:
                await self._worker.run(lambda: part.sync(self._path))
            except OSError:
                part.doubt()
                raise
            part.on_disk(goal)
        self._well()
        if part is self._part:
            self._acknowledge(part)

    def _acknowledge(self, part: _Part) -> None:
        upto = 0
        while self._waiting:
            first = self._waiting[0]
            there = part.synced if first.durable else part.written
            if first.end > there or (first.durable and part.beside):
                break
            self._waiting.popleft()
            self._asked -= first.durable
            upto = first.position
        if upto:
            self.kept = upto
            self._kept(upto)

    def _failed(self, error: OSError) -> None:
        reason = _unavailable(error).reason
        if reason != self.problem:
            get_logger().error("journal_write_failed", reason=reason)
        self.problem = reason

    def _well(self) -> None:
        if self.problem:
            get_logger().info("journal_written")
            self.problem = ""

    def _retry(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(RETRY_S, self._write)


def _unavailable(error: OSError) -> Unavailable:
    if error.errno in FULL:
        return Unavailable("store_full", "The store has no space left.", HINT_FULL)
    return Unavailable("store_unavailable", f"The store cannot do it now (code {error.errno}).")


def _opened(path: Path) -> tuple[int, int]:
    """Bytes of whole frames of the kept journal, and the last one's position; a half-made new one goes."""
    for left in path.parent.glob(f"{path.name}.*.new"):
        left.unlink(missing_ok=True)
    size = position = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        there = os.fstat(file.fileno()).st_size
        while len(head := file.read(HEAD.size)) == HEAD.size:
            length, number, _ = HEAD.unpack(head)
            if size + 4 + length > there:
                break
            size, position = size + 4 + length, number
            file.seek(size)
    return size, position
