"""The newest checkpoint that a quorum cosigned, as the log tells it: at once after a rest, then one in so
many seconds. A log that does not tell is asked at that rhythm.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from hallmark.core.errors import HallmarkError, NotFound, Unavailable
from hallmark.http.client import Pool
from hallmark.ledger.follow import Cosigned
from hallmark.ledger.note import Note
from hallmark.ledger.policy import Policy, VerifiedCheckpoint, verify_quorum
from hallmark.services.anchor.sources import quorum_checkpoint
from hallmark.services.following.log_client import LogClient

RETRY_S: Final = 2.0


class Newest:
    """`checkpoint` is verified. `changed` is set when there is a newer one, or another `problem`."""

    def __init__(self, pool: Pool, log_url: str, policy: Policy, seconds: float) -> None:
        self._pool, self._url, self._policy, self._seconds = pool, log_url, policy, seconds
        self.log = LogClient(pool, log_url)
        self.checkpoint: VerifiedCheckpoint | None = None
        self.problem: HallmarkError | None = None
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self.listen()
            except HallmarkError as error:
                self._failed(error)
                await asyncio.sleep(RETRY_S)

    async def listen(self) -> None:
        """Take what the log tells until it ends, or ask it once if it does not tell."""
        try:
            async with contextlib.aclosing(self.log.checkpoints(int(self._seconds * 1000))) as frames:
                async for frame in frames:
                    if isinstance(frame, Cosigned):
                        self._take(verify_quorum(self._policy, Note.parse(frame.note)))
        except NotFound:
            self._take(await quorum_checkpoint(self._pool, self._url, self._policy))
            await asyncio.sleep(self._seconds)
            return
        raise Unavailable("log_unreachable", "The log stopped telling.")

    def _take(self, verified: VerifiedCheckpoint) -> None:
        known, problem, self.problem = self.checkpoint, self.problem, None
        if known is None or verified.checkpoint != known.checkpoint:
            self.checkpoint = verified
        elif problem is None:
            return
        self.changed.set()

    def _failed(self, error: HallmarkError) -> None:
        if self.problem is None or self.problem.reason != error.reason:
            self.changed.set()
        self.problem = error
