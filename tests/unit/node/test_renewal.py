"""An enclave is replaced before its sealing keys run out."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from hallmark.core.documents import Sealing
from hallmark.services.node.renewal import due, renew_at
from hallmark.testing.network import LittleNetwork

HOUR = 3_600_000


def bundle(sealing: Sealing | None) -> bytes:
    """A key bundle that says this of sealing."""
    named = LittleNetwork().nodes[0].bundle
    assert named is not None
    return msgspec.structs.replace(named, sealing=sealing or msgspec.UNSET).encode()


@pytest.mark.parametrize(
    ("every", "count", "left"),
    [(6 * HOUR, 28, HOUR), (HOUR, 2, HOUR // 5), (1000, 10, 1000)],
)
def test_it_is_due_before_the_end(every: int, count: int, left: int) -> None:
    """An hour before, or a tenth of the whole time where that is short."""
    sealing = Sealing("0x" + "11" * 32, 5_000, every, count)
    assert renew_at(bundle(sealing)) == 5_000 + every * count - left


async def test_nothing_is_due_without_keys() -> None:
    """A node that takes nothing sealed lives on."""
    assert renew_at(bundle(None)) is None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await due(bundle(None))


async def test_what_is_over_is_due_at_once() -> None:
    """Also when it was over long ago; what is not waits."""
    await due(bundle(Sealing("0x" + "11" * 32, 0, 1, 1)))
    now = time.time_ns() // 1_000_000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await due(bundle(Sealing("0x" + "11" * 32, now, HOUR, 1)))
