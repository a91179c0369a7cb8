"""Quotas: token buckets by key or address, on a clock that is passed in (seconds, never going back)."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from typing import Final

import msgspec

from hallmark.services.log.settings import Quota

KEPT: Final = 8_192
"""Buckets kept of one sort. One that was pushed out by others starts full again: the budget for all of its
sort together is what then bounds it.
"""


class _Bucket(msgspec.Struct):
    left: float
    at: float


class Buckets:
    """One bucket for each key. Looking costs nothing; taking may be refused."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def wait(self, key: bytes, now: float) -> float:
        """Seconds until `key` may take one; 0 when it may now."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0 if self._quota.burst >= 1 else math.inf
        missing = 1.0 - self._filled(bucket, now)
        return (
            max(0.0, missing / self._quota.rate) if self._quota.rate else (math.inf if missing > 0 else 0.0)
        )

    def take(self, key: bytes, now: float) -> None:
        """Take one, also when there is none: then `key` waits the longer, up to a bucketful."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(self._quota.burst), now)
            if len(self._buckets) > KEPT:
                self._buckets.popitem(last=False)
        left = self._filled(bucket, now) - 1.0
        bucket.left, bucket.at = max(left, -float(self._quota.burst)), now
        self._buckets.move_to_end(key)

    def _filled(self, bucket: _Bucket, now: float) -> float:
        return min(float(self._quota.burst), bucket.left + max(0.0, now - bucket.at) * self._quota.rate)


def whole_seconds(wait: float) -> int:
    """A wait as it is told: at least a second, at most an hour."""
    return max(1, math.ceil(min(wait, 3_600.0)))


def source_of(host: str) -> bytes:
    """What an address counts as: itself, or its /64 for IPv6, which one sender can fill alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.encode()[:64]
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return mapped.packed if mapped is not None else address.packed[:8]
    return address.packed
