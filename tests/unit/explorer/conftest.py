"""A watched network and its explorer per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from hallmark.http.client import Pool
from hallmark.ledger.policy import Policy
from hallmark.services.explorer.explorer import Explorer
from hallmark.store import Database
from hallmark.testing.network import LittleNetwork
from hallmark.testing.watching import GATEWAY, Watching


class Exploring(Watching):
    """A watching with an explorer over it."""

    def __init__(self, net: LittleNetwork | None = None, database: Database | None = None) -> None:
        super().__init__(net, database=database, by="this explorer")
        self.explorer = Explorer(
            self.watch,
            self.database,
            policy=Policy.parse(self.notary.policy_text),
            pool=cast(Pool, self.pool),
            gateway_url=f"http://{GATEWAY}",
        )

    async def witness(self) -> None:
        """The quorum cosigns everything; it is followed and indexed."""
        await super().witness()
        await self.explorer.flush()


@pytest.fixture
def watching() -> Iterator[Exploring]:
    """A little network and what an explorer knows of it; nothing is followed yet."""
    found = Exploring()
    yield found
    found.database.close()


@pytest.fixture
def exploring(watching: Exploring) -> Exploring:
    """The same, by its other name."""
    return watching


@pytest.fixture
def restarted() -> Callable[[Exploring], Exploring]:
    """Makes the explorer of the next process over the same database."""
    return lambda before: Exploring(before.net, before.database)
