"""A watched network per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hallmark.testing.followed_log import FollowedLogFixture


@pytest.fixture
def watching() -> Iterator[FollowedLogFixture]:
    """A little network and what a desk knows of it; nothing is followed yet."""
    found = FollowedLogFixture()
    yield found
    found.database.close()
