"""Brings signed reviews into the log: kept on disk first, submitted until the log has taken or refused
them. A desk
that dies loses none; the log takes each once.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import sqlalchemy as sa

from hallmark.core.errors import HallmarkError
from hallmark.http.retry import seconds_of
from hallmark.services.following.log_client import Place, Refused
from hallmark.services.review.rows import SubmissionRow
from hallmark.services.review.schema import SUBMISSIONS
from hallmark.services.review.store import DeskStore
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics

PAUSES: Final = (0.1, 0.5, 2.0, 5.0, 15.0)
PENDING: Final = sa.and_(SUBMISSIONS.c.refused == "", SUBMISSIONS.c.position.is_(None))


class Log(Protocol):
    """As much of the log as submitting needs."""

    async def add(self, entry: bytes) -> Place:
        """Submit an entry; returns once it is durable. Raises Refused, or what is retryable."""
        ...


class ReviewSubmitter:
    """See the module docstring. `run` must run."""

    def __init__(self, store: DeskStore, log: Log, metrics: Metrics) -> None:
        self._store, self._log = store, log
        self._wake = asyncio.Event()
        self._told = 0
        self._outcomes = metrics.counter("review_submissions", "Reviews by outcome.", ("outcome",))

    def wake(self) -> None:
        """There is something to submit."""
        self._wake.set()

    async def run(self) -> None:
        """Submit, for ever."""
        attempt = 0
        while True:
            self._wake.clear()
            done = False
            try:
                done = await self.round()
            except HallmarkError as error:
                get_logger().warning("reviews_not_submitted", reason=error.reason)
            if done:
                attempt = 0
                await self._wake.wait()
            else:
                await asyncio.sleep(max(PAUSES[min(attempt, len(PAUSES) - 1)], self._told))
                self._told = 0
                attempt += 1

    async def round(self) -> bool:
        """Submit what is pending, oldest first; True when nothing is left."""
        left = 0
        for row in await self._store.submissions(PENDING):
            left += not await self._bring(row)
        return left == 0

    async def _bring(self, row: SubmissionRow) -> bool:
        try:
            place = await self._log.add(row.entry)
        except Refused as error:
            self._outcomes.add("refused")
            get_logger().error("review_refused", item=row.item, reason=error.reason)
            await self._store.settle(row.id, position=None, refused=error.reason)
            return True
        except HallmarkError as error:
            self._told = max(self._told, seconds_of(error.retry_after))
            get_logger().warning("review_delayed", item=row.item, reason=error.reason)
            return False
        self._outcomes.add("logged")
        await self._store.settle(row.id, position=place.index, refused="")
        return True
