"""The pages of models, as the explorer answers them: the search, a label's page, and what was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.discovery.exposure import shares
from hallmark.discovery.ranking import PERIOD_MS
from hallmark.services.explorer import model_cards, model_search, outcomes
from hallmark.services.explorer.discovery import Discovery
from hallmark.services.explorer.filters import position_of
from hallmark.services.explorer.impressions import KEPT, Impressions, Period
from hallmark.services.explorer.index import Index
from hallmark.services.explorer.licences import Licences
from hallmark.services.explorer.lineage import steps
from hallmark.services.explorer.model_filter import ANY, Filter, filter_of
from hallmark.services.explorer.model_views import (
    ExposurePage,
    ExposurePeriod,
    ExposureRow,
    ExposureTable,
    ModelCardPage,
    ModelList,
    ShownRow,
)
from hallmark.services.explorer.network import GatewayNetwork
from hallmark.services.explorer.views import ReceiptRow
from hallmark.services.following.followed_log import FollowedLog
from hallmark.store import Database

MOST: Final = 200
DAY: Final = 24
FACETS: Final = ("task", "modality", "licence")
MOST_VALUES: Final = 60


class Showing:
    """See the module docstring. `ask` asks the gateway; `take` is given every folded leaf; `run` must run."""

    def __init__(
        self,
        watch: FollowedLog,
        index: Index,
        database: Database,
        ask: Callable[[], Awaitable[GatewayNetwork | None]],
        licences: Licences,
    ) -> None:
        self._watch, self._index, self._ask = watch, index, ask
        self._licences = licences
        self.discovery = Discovery(watch, licences)
        self.impressions = Impressions(database)

    def take(self, leaf: bytes) -> None:
        """A folded leaf."""
        self.discovery.take(leaf)

    async def run(self) -> None:
        """Write what was shown, and ask the hub, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.impressions.run())
            group.create_task(self._licences.run())

    async def listed(self, query: str, cursor: str, limit: int) -> ModelList:
        """See `ExplorerView.model_list`."""
        asked, start = filter_of(query), position_of(cursor) if cursor else 0
        if start > model_search.DEEPEST:
            raise InvalidInput(
                "bad_cursor", "That far down nothing is listed.", "Ask for something narrower."
            )
        watch, found, tally, now = self._watch, self.discovery, self._index.tally, self._watch.clock()
        told = await self._ask()
        await found.refresh(tally, now)
        standing = model_search.offered(watch, found.catalogue)
        modes = model_search.modes_now(watch, standing, told, now) if asked.mode else None
        within = self._within(asked, standing, modes, now)
        most = max(1, min(limit, MOST))
        hits = found.catalogue.search(asked.wanted, within=within, start=start, most=most)
        seed = hex0x(found.seed)
        self.impressions.shown(found.period, seed, hits.rows)
        following = start + most if start + most < min(hits.total, model_search.DEEPEST) else 0
        if modes is None:
            labels = {hit.item.label for hit in hits.rows}
            modes = model_search.modes_now(watch, standing, told, now, labels)
        lines = model_cards.lines(watch, tally, told, now, hits=hits.rows, modes=modes)
        return ModelList(
            hits.total,
            str(following or ""),
            watch.replica.size,
            tuple(lines),
            asked,
            seed,
            found.size,
            found.period,
            {name: self._facet(name) for name in FACETS},
            available_known=told is not None,
        )

    async def card(self, label: str, newest: tuple[ReceiptRow, ...]) -> ModelCardPage:
        """See `ExplorerView.model_card`."""
        watch, told = self._watch, await self._ask()
        known = watch.replica.registry.labels.get(label)
        records = await outcomes.of_label(self._index, steps(watch, known) if known is not None else ())
        return model_cards.page(
            watch,
            label,
            self._index.tally,
            newest,
            told=told,
            now=watch.clock(),
            records=records,
            licence=await self._licences.look(label) if known is not None else "",
        )

    async def exposure(self, days: int) -> ExposurePage:
        """See `ExplorerView.exposure`."""
        now = self._watch.clock() // PERIOD_MS
        days = max(1, min(days, KEPT // DAY))
        await self.impressions.close(now)
        rows = await self.impressions.rows_since(now + 1 - days * DAY)
        listed = tuple(
            ExposureRow(one.label, one.artifact, one.shown, one.first_ten, one.drawn) for one in shares(rows)
        )
        periods = tuple(map(_period, await self.impressions.periods()))
        return ExposurePage(days, sum(row.shown for row in listed), listed, periods)

    async def exposure_of(self, period: int) -> ExposureTable:
        """See `ExplorerView.exposure_of`."""
        await self.impressions.close(self._watch.clock() // PERIOD_MS)
        table = await self.impressions.table(period)
        if table is None:
            raise NotFound(
                "unknown_period",
                "In that hour nothing was shown, or it is kept no more.",
                "See /explore/exposure for the hours that there are.",
            )
        told = Period(period, table.seed, hex0x(table.digest()))
        rows = tuple(ShownRow(one.label, one.artifact, one.place, one.count) for one in table.rows)
        return ExposureTable(_period(told), table.before, table.encode().decode(), rows)

    def _within(
        self,
        asked: Filter,
        standing: model_search.Offered,
        modes: dict[str, set[str]] | None,
        now: int,
    ) -> frozenset[str] | None:
        """The labels that can be answered now as it is asked for, of those that are offered; None where that
        is not asked. `modes` are theirs where a mode is asked for.
        """
        found: frozenset[str] | None = None
        if modes is not None:
            found = frozenset(
                label for label, known in modes.items() if known and asked.mode in (ANY, *known)
            )
        if asked.max_price:
            cheap = model_search.affordable(self._watch, standing, asked.max_price, now)
            found = cheap if found is None else found & cheap
        return found

    def _facet(self, name: str) -> dict[str, int]:
        """The values that most labels have."""
        values = self.discovery.catalogue.facet(name).items()
        kept = sorted(values, key=lambda one: (-one[1], one[0]))[:MOST_VALUES]
        return dict(sorted(kept))


def _period(one: Period) -> ExposurePeriod:
    return ExposurePeriod(one.period, one.period * PERIOD_MS, one.seed, one.digest)
