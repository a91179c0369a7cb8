"""A desk over a little network, one per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hallmark.testing.offices import Office


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """A desk with one policy, `witnessed`, in force."""
    made = Office()
    await made.start()
    yield made
    await made.stop()
