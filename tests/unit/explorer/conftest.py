"""A watched network and its explorer per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hallmark.testing.explorer import ExplorerFixture


@pytest.fixture
def watching() -> Iterator[ExplorerFixture]:
    """A little network and what an explorer knows of it; nothing is followed yet."""
    found = ExplorerFixture()
    yield found
    found.database.close()


@pytest.fixture
def exploring(watching: ExplorerFixture) -> ExplorerFixture:
    """The same, by its other name."""
    return watching


@pytest.fixture
def restarted() -> Callable[[ExplorerFixture], ExplorerFixture]:
    """Makes the explorer of the next process over the same database."""
    return lambda before: ExplorerFixture(before.net, before.database)
