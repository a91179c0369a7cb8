"""A watched network per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hallmark.testing.watching import Watching


@pytest.fixture
def watching() -> Iterator[Watching]:
    """A little network and what an explorer knows of it; nothing is followed yet."""
    found = Watching(by="this explorer")
    yield found
    found.database.close()
