"""Tells followers: one response each, for as long as they like (`GET /follow`, frames of `ledger.follow`).

1. A follower is a position in the log and nothing else: what it lacks is read when it can be sent, so one
   that reads slowly, or not at all, holds one chunk. The server drops who has not read for `stuck_s`.
2. A checkpoint is told when its quorum is there, with the leaves below it. Who is slow misses checkpoints in
   between, never leaves.
3. What no quorum covers goes only to who asked for the tail, and only after it has waited `TAIL_S`: on a
   network that works it is covered before that.
4. Who wants checkpoints alone, or at most one in so many milliseconds, says so, and costs no more than that.
5. Followers are bounded in number, in all and by address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput, RateLimited, Unavailable
from hallmark.http.asgi import Receive, Send
from hallmark.ledger.follow import Alive, Cosigned, Covered, Uncovered, encode
from hallmark.ledger.store import LogStore
from hallmark.services.log.publisher import Publisher
from hallmark.services.log.settings import Limits

ALIVE_S: Final = 30.0
TAIL_S: Final = 0.4
NEWEST: Final = 2_000
CHUNK: Final = 256 * 1024
LEAVES: Final = 256
HEADERS: Final = [(b"content-type", b"application/octet-stream"), (b"cache-control", b"no-store")]


class Cursor(msgspec.Struct):
    """Where a follower is: the next leaf that it lacks, the checkpoint that it was told last (-1: none), and
    for who asked for the tail, how far it was sent (-1: not asked). `leaves` is false for who wants
    checkpoints alone; after being told something it rests for `every_s`.
    """

    at: int
    told: int = -1
    tail: int = -1
    leaves: bool = True
    every_s: float = 0.0


class Source:
    """Reads what a follower lacks from the log, a chunk at a time."""

    def __init__(self, store: LogStore, publisher: Publisher) -> None:
        self._store, self._publisher = store, publisher
        self._newest = (-1, -1, b"")

    async def next(self, cursor: Cursor, *, tail: bool) -> bytes:
        """The next frames for a follower, moving its cursor; empty when it has everything. `tail`: what no
        quorum covers has waited for long enough.
        """
        parts: list[bytes] = []
        if cursor.at >= cursor.told:
            head = self._publisher.head
            if head is not None and head.size > cursor.told and head.size >= cursor.at:
                cursor.told = head.size
                cursor.at = cursor.at if cursor.leaves else head.size
                parts.append(encode(Cosigned(head.note.encode())))
        if cursor.at < cursor.told:
            parts.append(await self._covered(cursor))
        elif tail and cursor.tail >= 0:
            parts.append(await self._uncovered(cursor))
        return b"".join(parts)

    async def _covered(self, cursor: Cursor) -> bytes:
        start, end, data = self._newest
        if start != cursor.at or end > cursor.told:
            start = cursor.at
            leaves = _some(await self._store.leaves(start, min(cursor.told, start + LEAVES)))
            end, data = start + len(leaves), encode(Covered(start, leaves))
            self._newest = (start, end, data)
        cursor.at = end
        return data

    async def _uncovered(self, cursor: Cursor) -> bytes:
        size = self._store.size
        start = max(cursor.at, cursor.tail, size - NEWEST)
        if start >= size:
            return b""
        leaves = _some(await self._store.leaves(start, min(size, start + LEAVES)))
        cursor.tail = start + len(leaves)
        return encode(Uncovered(size, start, leaves))


class Followers:
    """Everybody who follows. `cosigned` and `grown` are told what happens; `close` ends all streams."""

    def __init__(self, limits: Limits | None = None, shared: Collection[bytes] = ()) -> None:
        self._limits, self._shared = limits or Limits(), frozenset(shared)
        self._wakes: dict[asyncio.Event, bool] = {}
        self._resting: set[asyncio.Event] = set()
        self._addresses: Counter[bytes] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._tail_is_due = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._wakes) + len(self._resting)

    def cosigned(self, *, leaves_left: bool = False) -> None:
        """There is a newer checkpoint with a quorum; `leaves_left`: there are younger leaves than it covers,
        which have not waited yet.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tail_is_due = False
        for wake in self._wakes:
            wake.set()
        if leaves_left:
            self.grown()

    def grown(self) -> None:
        """There are new leaves."""
        if self._timer is None and any(self._wakes.values()):
            self._timer = asyncio.get_running_loop().call_later(TAIL_S, self._tail_due)

    def close(self) -> None:
        """End all streams: their followers come again, here or where the log is then."""
        self._closed = True
        for wake in (*self._wakes, *self._resting):
            wake.set()

    async def serve(
        self, source: Source, cursor: Cursor, address: bytes, receive: Receive, send: Send
    ) -> None:
        """Stream to one follower until it goes away or `close`. Raises RateLimited `too_many_followers`,
        Unavailable `log_busy`.
        """
        self._admit(address)
        wake = asyncio.Event()
        self._wakes[wake] = cursor.tail >= 0
        self._addresses[address] += 1
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda _: wake.set())
        self.grown()
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            while not gone.done() and not self._closed:
                wake.clear()
                data = await source.next(cursor, tail=self._tail_is_due)
                if not data and await _waited(wake):
                    continue
                await send({"type": "http.response.body", "body": data or encode(Alive()), "more_body": True})
                if data and cursor.every_s and cursor.at >= cursor.told and not gone.done():
                    await self._rest(wake, cursor.every_s)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self._wakes.pop(wake, None)
            self._addresses[address] -= 1
            self._addresses += Counter()

    async def _rest(self, wake: asyncio.Event, seconds: float) -> None:
        """Let one follower be, whatever is cosigned; it may go away, or the log may end, meanwhile."""
        tail = self._wakes.pop(wake)
        self._resting.add(wake)
        try:
            wake.clear()
            async with asyncio.timeout(0 if self._closed else seconds):
                await wake.wait()
        except TimeoutError:
            pass
        finally:
            self._resting.discard(wake)
            self._wakes[wake] = tail

    def _admit(self, address: bytes) -> None:
        if len(self) >= self._limits.followers:
            raise Unavailable("log_busy", "Too many follow the log.", "Follow one of its mirrors.")
        if address not in self._shared and self._addresses[address] >= self._limits.address_followers:
            raise RateLimited("too_many_followers", "Too many follow the log from this address.", 60)

    def _tail_due(self) -> None:
        self._timer = None
        self._tail_is_due = True
        for wake, tail in self._wakes.items():
            if tail:
                wake.set()


def check_start(store: LogStore, start: int) -> int:
    """A position that one may follow from. Raises InvalidInput `follower_ahead`."""
    if start > store.size:
        raise InvalidInput("follower_ahead", f"The log has {store.size} entries, not {start}.")
    return start


async def _waited(wake: asyncio.Event) -> bool:
    """True when something happened; False after `ALIVE_S` of nothing."""
    try:
        async with asyncio.timeout(ALIVE_S):
            await wake.wait()
    except TimeoutError:
        return False
    return True


async def _gone(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _some(leaves: list[bytes]) -> list[bytes]:
    """As many as a chunk holds, one at least."""
    size = 0
    for number, leaf in enumerate(leaves):
        size += len(leaf) + 2
        if size > CHUNK and number:
            return leaves[:number]
    return leaves
