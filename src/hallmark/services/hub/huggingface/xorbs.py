"""Chunks of xorbs: those that just came, and those that are in files that are stored.

A xorb that came is a file of its unpacked chunks in `staging`, until its files were made of it or its time is
over. After that a row says in which stored content each chunk lies: tools that sent a xorb once refer to it
for weeks, and the bytes are not kept twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from itertools import accumulate
from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.hub.ranges import Span
from hallmark.hub.xet import Term, bad, hash_text, verification_of
from hallmark.services.hub.blobs import Blobs
from hallmark.services.hub.huggingface.rows import Rows
from hallmark.services.hub.staging import Staged, disk
from hallmark.store.raw import RawDatabase, Transaction

WAITS_S: Final = 2 * 3600
BLOCK: Final = 1 << 20


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Chunks [first, last) of a xorb stand in the content with this SHA-256 (hex), from `offset` on."""

    first: int
    last: int
    sha256: str
    offset: int


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A xorb: the hashes of its chunks joined, their lengths, and where they are."""

    hashes: bytes
    lengths: tuple[int, ...]
    places: tuple[Place, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every chunk is in some content."""
        return not _gaps(self.places, 0, len(self.lengths))

    def check(self, term: Term) -> None:
        """Raises InvalidInput `bad_xet` unless the term is about chunks that there are."""
        if not 0 <= term.first < term.last <= len(self.lengths):
            raise bad("A term names chunks that its xorb does not have.")
        if sum(self.lengths[term.first : term.last]) != term.length:
            raise bad("A term has another length than its chunks.")
        if verification_of(self.hashes[32 * term.first : 32 * term.last]) != term.verification:
            raise bad("A term names other chunks than its xorb has there.")


class _Waiting(msgspec.Struct):
    known: Known
    staged: Staged
    since: float


def _create(transaction: Transaction) -> None:
    transaction.execute("CREATE TABLE hub_xorbs (hash BLOB NOT NULL PRIMARY KEY, known BLOB NOT NULL)")


class Xorbs:
    """See the module docstring. `now` is unix seconds."""

    def __init__(
        self, database: RawDatabase, blobs: Blobs, rows: Rows, now: Callable[[], float] = time.time
    ) -> None:
        self._database, self._blobs, self._rows, self._now = database, blobs, rows, now
        self._waiting: dict[bytes, _Waiting] = {}
        database.migrate("hub_xorbs", (_create,))

    async def has(self, xorb: bytes) -> bool:
        """Whether nothing of it has to be sent."""
        if xorb in self._waiting:
            return True
        known = await self._row(xorb)
        return known is not None and known.whole

    def keep(self, xorb: bytes, chunks: list[tuple[bytes, int]], staged: Staged, stack: ExitStack) -> None:
        """A xorb came: its unpacked chunks are in the file, which is ours from now on."""
        self.tidy()
        known = Known(b"".join(one for one, _ in chunks), tuple(size for _, size in chunks))
        if xorb not in self._waiting:
            stack.pop_all()
            self._waiting[xorb] = _Waiting(known, staged, self._now())

    def tidy(self) -> None:
        """Throw away what waited too long for its shard."""
        over = self._now() - WAITS_S
        for xorb in [xorb for xorb, one in self._waiting.items() if one.since < over]:
            self._drop(xorb)

    async def chunks(self, term: Term) -> list[tuple[bytes, int]]:
        """Hash and length of each chunk of a term. Raises InvalidInput `bad_xet`, `xorb_not_found`."""
        waiting = self._waiting.get(term.xorb)
        known = waiting.known if waiting else await self._row(term.xorb)
        if known is None:
            raise _missing(term.xorb)
        known.check(term)
        return [
            (known.hashes[32 * at : 32 * at + 32], known.lengths[at]) for at in range(term.first, term.last)
        ]

    async def read(self, term: Term) -> AsyncIterator[bytes]:
        """The bytes of a term, after it was checked. Raises InvalidInput `bad_xet`, `xorb_not_found`, and
        what the blob store raises.
        """
        waiting = self._waiting.get(term.xorb)
        known = waiting.known if waiting else await self._row(term.xorb)
        if known is None:
            raise _missing(term.xorb)
        known.check(term)
        starts = [0, *accumulate(known.lengths)]
        if waiting is not None:
            with disk():
                descriptor = os.open(waiting.staged.path, os.O_RDONLY)
                try:
                    for at in range(starts[term.first], starts[term.last], BLOCK):
                        length = min(BLOCK, starts[term.last] - at)
                        yield await asyncio.to_thread(os.pread, descriptor, length, at)
                finally:
                    os.close(descriptor)
            return
        if _gaps(known.places, term.first, term.last):
            raise _missing(term.xorb)
        at = term.first
        while at < term.last:
            place = max((one for one in known.places if one.first <= at < one.last), key=lambda one: one.last)
            end = min(place.last, term.last)
            blob = await self._stored(place.sha256)
            if not blob:
                raise _missing(term.xorb)
            first = place.offset + starts[at] - starts[place.first]
            span = Span(first, first + starts[end] - starts[at])
            async for data in self._blobs.read(await self._blobs.record(blob), span):
                yield data
            at = end

    async def settle(self, terms: list[tuple[Term, int]], digest: str) -> None:
        """The content with this SHA-256 was stored, and has each term at its offset: its chunks are there."""
        found = dict[bytes, list[Place]]()
        for term, offset in terms:
            if term.xorb in self._waiting:
                found.setdefault(term.xorb, []).append(Place(term.first, term.last, digest, offset))
        for xorb, places in found.items():
            waiting = self._waiting.get(xorb)
            if waiting is None:
                continue
            before = await self._row(xorb)
            held = list(before.places if before else ())
            for place in places:
                if _gaps(held, place.first, place.last):
                    held.append(place)
            known = Known(waiting.known.hashes, waiting.known.lengths, tuple(held))
            await self._write(xorb, known)
            if known.whole:
                self._drop(xorb)

    def close(self) -> None:
        """Throw away what waits."""
        for xorb in list(self._waiting):
            self._drop(xorb)

    def _drop(self, xorb: bytes) -> None:
        self._waiting.pop(xorb).staged.path.unlink(missing_ok=True)

    async def _row(self, xorb: bytes) -> Known | None:
        """What is written of a xorb, without what is in contents that are gone or damaged."""
        rows = await self._database.async_read(
            lambda transaction: transaction.fetch("SELECT known FROM hub_xorbs WHERE hash = ?", (xorb,))
        )
        if not rows:
            return None
        known = msgspec.msgpack.decode(bytes(rows[0][0]), type=Known)
        alive = {digest for digest in {one.sha256 for one in known.places} if await self._stored(digest)}
        return msgspec.structs.replace(
            known, places=tuple(one for one in known.places if one.sha256 in alive)
        )

    async def _stored(self, digest: str) -> str:
        """The blob with these bytes; empty where there is none."""
        entry = await self._rows.content(digest)
        return entry.blob if entry is not None and await self._blobs.has(entry.blob) else ""

    async def _write(self, xorb: bytes, known: Known) -> None:
        await self._database.async_write(
            lambda transaction: transaction.execute(
                "INSERT INTO hub_xorbs (hash, known) VALUES (?, ?) "
                "ON CONFLICT (hash) DO UPDATE SET known = excluded.known",
                (xorb, msgspec.msgpack.encode(known)),
            )
        )


def _gaps(places: tuple[Place, ...] | list[Place], first: int, last: int) -> bool:
    """Whether a chunk of [first, last) is nowhere."""
    at = first
    for place in sorted(places, key=lambda one: one.first):
        if place.first > at:
            break
        at = max(at, place.last)
    return at < last


def _missing(xorb: bytes) -> InvalidInput:
    return InvalidInput(
        "xorb_not_found",
        f"The xorb {hash_text(xorb)[:16]} that a file consists of is not here.",
        "Where the hub lost what it had, delete ~/.cache/huggingface/xet and upload again.",
    )
