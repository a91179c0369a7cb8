"""Sealing keys are made for a time: before they run out, their enclave is replaced by one with new keys."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from hallmark.core.documents import KeyBundle

BEFORE_MS: Final = 3_600_000
"""How long before the end; less where the whole time is short."""
LOOK_S: Final = 3600.0
"""A clock may be set: it is looked at so often at least."""


def renew_at(bundle: bytes) -> int | None:
    """When the enclave with this key bundle (exact bytes) should be replaced, unix ms; None for never."""
    sealing = KeyBundle.decode(bundle).sealing
    if isinstance(sealing, msgspec.UnsetType):
        return None
    whole = sealing.every * sealing.count
    return sealing.since + whole - min(BEFORE_MS, whole // 10)


async def due(bundle: bytes) -> None:
    """Wait until then, for ever where there is no such time."""
    at = renew_at(bundle)
    if at is None:
        await asyncio.Event().wait()
        return
    while (left := at - time.time_ns() // 1_000_000) > 0:  # noqa: ASYNC110 - a clock has no event
        await asyncio.sleep(min(left / 1000, LOOK_S))
