"""Where leaves come from that were not pushed: the log's tiles, or another full node's mirror.

No source is believed: whoever asks compares the root of what came with a checkpoint that the log signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.http.client import Pool, Timeouts
from hallmark.ledger.note import Note
from hallmark.ledger.tiles import WIDTH, TileName, decode_bundle, entry_bundles
from hallmark.services.fullnode.outline import HASH, Outline

AT_ONCE = 4_096
"""Leaves up to which what is missing is fetched in one piece; a longer log comes piece by piece."""
MAX_BUNDLE = 32 * 1024 * 1024


class LeafSource:
    """Reads leaves over HTTP, from the first of `urls` that has them."""

    at_once = AT_ONCE

    def __init__(self, pool: Pool, urls: Sequence[str], wait_s: float) -> None:
        self._pool = pool
        self._urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls if url))
        self._timeouts = Timeouts(connect=2.0, head=wait_s, idle=wait_s)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """Leaves [start, end) of a log of at least `end`. Raises Unavailable `leaves_unavailable`."""
        problem = ""
        for url in self._urls:
            try:
                return await self._from(url, start, end)
            except HallmarkError as error:
                problem = error.reason
        raise Unavailable("leaves_unavailable", "No source has the leaves of the checkpoint.", problem)

    async def outline(self, size: int, root: bytes) -> Outline:
        """The outline of the log's first `size` leaves, which has this root. Raises Unavailable
        `leaves_unavailable`, `leaves_mismatch`.
        """
        problem = ""
        for url in self._urls:
            try:
                bundles = await self._hashes(url, 1, size // WIDTH)
                rest = (
                    await self._tile(url, TileName(0, size // WIDTH, size % WIDTH)) if size % WIDTH else b""
                )
            except HallmarkError as error:
                problem = error.reason
                continue
            found = Outline(bundles, rest)
            if found.size == size and found.root() == root:
                return found
            problem = "leaves_mismatch"
        if problem == "leaves_mismatch":
            raise Unavailable(problem, "What the log serves does not have the root that it signed.")
        raise Unavailable("leaves_unavailable", "No source has the tiles of the checkpoint.", problem)

    async def _hashes(self, url: str, level: int, count: int) -> bytes:
        """The first `count` hashes of a tile level."""
        found = []
        for index in range(-(-count // WIDTH)):
            found.append(await self._tile(url, TileName(level, index, min(WIDTH, count - index * WIDTH))))
        return b"".join(found)

    async def _tile(self, url: str, name: TileName) -> bytes:
        """A tile's first hashes. A source may have dropped a partial tile for the full one."""
        try:
            return await self._get(f"{url}/{name.path}")
        except Unavailable:
            if name.width == WIDTH:
                raise
        whole = await self._get(f"{url}/{TileName(name.level, name.index).path}")
        return whole[: name.width * HASH]

    async def checkpoint(self, url: str) -> Note:
        """The newest checkpoint that a mirror holds. Raises Unavailable, InvalidInput `bad_note`."""
        return Note.parse(await self._get(f"{url.rstrip('/')}/checkpoint"))

    async def _from(self, url: str, start: int, end: int) -> list[bytes]:
        """By `/leaves`, which sends no more than is missing; from other mirrors by C2SP entry bundles."""
        found: list[bytes] = []
        try:
            while start + len(found) < end:
                query = f"{url}/leaves?start={start + len(found)}&end={end}"
                part = decode_bundle(await self._get(query))
                if not part:
                    break
                found += part
        except Unavailable:
            found = []
        return found if len(found) == end - start else await self._bundles(url, start, end)

    async def _bundles(self, url: str, start: int, end: int) -> list[bytes]:
        found: list[bytes] = []
        for name in entry_bundles(start, end):
            leaves = decode_bundle(await self._get(f"{url}/{name.path}"))
            if len(leaves) != name.width:
                raise Unavailable("leaves_unavailable", "A source sent a bundle of another width.")
            found += leaves
        first = start // WIDTH * WIDTH
        return found[start - first : end - first]

    async def _get(self, url: str) -> bytes:
        async with self._pool.request("GET", url, timeouts=self._timeouts) as response:
            body = await response.read(MAX_BUNDLE)
            if response.status != 200:
                raise Unavailable("leaves_unavailable", f"A source answers {response.status}.")
            return body
