"""A watched network and its explorer per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hallmark.testing.exploring import Exploring


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
