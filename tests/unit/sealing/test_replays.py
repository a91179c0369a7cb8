"""What was seen in a window is known for as long as it is open."""

from __future__ import annotations

import os

import pytest

from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.services.sealing.replays import ReplayCache


def test_each_is_admitted_once_a_window() -> None:
    """Ten thousand keys of both sizes; each is known afterwards, and none that is new."""
    cache = ReplayCache(os.urandom(32))
    seen = [os.urandom(32 if number % 2 else 1120) for number in range(10_000)]
    for key in seen:
        cache.admit(7, key)
    for key in seen[::7]:
        with pytest.raises(VerificationFailed):
            cache.admit(7, key)
        cache.admit(8, key)


def test_what_is_forgotten_is_the_whole_window() -> None:
    """Windows that are kept forget nothing."""
    cache = ReplayCache(bytes(32))
    cache.admit(1, b"a")
    cache.admit(2, b"a")
    cache.keep({2, 3})
    cache.admit(1, b"a")
    with pytest.raises(VerificationFailed):
        cache.admit(2, b"a")


def test_a_full_window_takes_nothing_more() -> None:
    """It refuses what is new, and still knows what is not."""
    cache = ReplayCache(bytes(32), most=3)
    for key in (b"a", b"b", b"c"):
        cache.admit(1, key)
    with pytest.raises(Unavailable, match="remembered"):
        cache.admit(1, b"d")
    with pytest.raises(VerificationFailed):
        cache.admit(1, b"a")
    cache.admit(2, b"d")


def test_memory_is_what_is_kept_of_them() -> None:
    """Eight bytes each and a little around them."""
    cache = ReplayCache(bytes(32))
    for number in range(50_000):
        cache.admit(1, number.to_bytes(32, "big"))
    buckets = cache._windows[1]._buckets.values()
    assert sum(map(len, buckets)) == 8 * 50_000
    assert len(buckets) <= 4096
