"""A desk over a little network, one per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hallmark.testing.review_desk import ReviewDesk


@pytest.fixture
async def office() -> AsyncIterator[ReviewDesk]:
    """A desk with one policy, `witnessed`, in force."""
    made = ReviewDesk()
    await made.start()
    yield made
    await made.stop()
