"""Aggregates that anyone may see. Everything is counted from the items' rows, which fold from their
events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from hallmark.review.words import about
from hallmark.services.review.queue import MANY, Queue
from hallmark.services.review.schema import ITEMS
from hallmark.services.review.store import DeskStore
from hallmark.services.review.views import Count, Figures

KEPT_MS: Final = 2_000
CLEARED: Final = ITEMS.c.first_cleared > 0


class Counting:
    """Figures; among many items counted every two seconds at most, however many people ask."""

    def __init__(self, store: DeskStore, queue: Queue, clock: Callable[[], int]) -> None:
        self._store, self._queue, self._clock = store, queue, clock
        self._known: tuple[int, int, Figures] | None = None

    async def figures(self) -> Figures:
        """Aggregates; see `Figures`.

        Time to clear is from birth to the first CLEAR, by nearest rank. Cleared without a person:
        no review was
        logged. Overturned: appeals upheld and sampled CLEARs that a person disagreed with. A false
        hold was let go
        though no mark said anything else than it did when it was held; a false clear was held again because a
        mark failed, was revoked or disputed.
        """
        now, commits = self._clock(), self._store.commits
        if self._known is not None:
            at, known, figures = self._known
            if known == commits or (figures.items > MANY and 0 <= now - at < KEPT_MS):
                return figures
        facets = await self._queue.facets(now)
        states = {count.name: count.count for count in facets.states}
        sums = await self._sums()
        figures = Figures(
            sum(states.values()),
            states["HOLD"],
            states["CLEAR"],
            states["FINAL"],
            states["REJECTED"],
            tuple(Count(count.name, count.count, about(count.name)) for count in facets.reasons),
            await self._time_to_clear(sums["cleared"], 50),
            await self._time_to_clear(sums["cleared"], 95),
            sums["alone"],
            sums["overturned"],
            sums["releases"],
            sums["false_holds"],
            sums["false_clears"],
            sums["appealed"],
        )
        self._known = (now, commits, figures)
        return figures

    async def _sums(self) -> dict[str, int]:
        def total(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
            return sa.func.coalesce(sa.func.sum(column), 0)

        alone = sa.case((sa.and_(CLEARED, ITEMS.c.reviews == 0), 1), else_=0)
        query: sa.Select[Any] = sa.select(
            total(sa.case((CLEARED, 1), else_=0)).label("cleared"),
            total(alone).label("alone"),
            total(ITEMS.c.overturned).label("overturned"),
            total(ITEMS.c.releases).label("releases"),
            total(ITEMS.c.false_holds).label("false_holds"),
            total(ITEMS.c.false_clears).label("false_clears"),
            total(ITEMS.c.appealed).label("appealed"),
        )
        (row,) = await self._store.read(query)
        return {name: int(value) for name, value in row._mapping.items()}

    async def _time_to_clear(self, cleared: int, percent: int) -> int | None:
        if not cleared:
            return None
        rank = max(-(-cleared * percent // 100), 1)
        took = ITEMS.c.first_cleared - ITEMS.c.born
        query = sa.select(took).where(CLEARED).order_by(took).offset(rank - 1).limit(1)
        rows = await self._store.read(query)
        return int(rows[0][0]) if rows else None
