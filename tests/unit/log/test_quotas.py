"""Token buckets, what an address counts as, and the proof of work."""

from __future__ import annotations

import math

import pytest

from hallmark.ledger import proof_of_work
from hallmark.services.log.quotas import KEPT, Buckets, source_of, whole_seconds
from hallmark.services.log.settings import Quota


def test_a_bucket_fills_again() -> None:
    """A burst at once, then the rate; never more than the burst."""
    buckets = Buckets(Quota(2, 3))
    for _ in range(3):
        assert buckets.wait(b"k", 10.0) == 0
        buckets.take(b"k", 10.0)
    assert buckets.wait(b"k", 10.0) == pytest.approx(0.5)
    assert buckets.wait(b"other", 10.0) == 0
    assert buckets.wait(b"k", 10.5) == 0
    buckets.take(b"k", 1_000.0)
    assert [buckets.wait(b"k", 1_000.0), buckets.wait(b"k", 999.0)] == [0, 0]
    buckets.take(b"k", 1_000.0)
    buckets.take(b"k", 1_000.0)
    assert buckets.wait(b"k", 1_000.0) > 0


def test_what_is_taken_beyond_is_owed_for_a_while() -> None:
    """At most another bucketful: nobody is shut out for long by what came at once."""
    buckets = Buckets(Quota(1, 4))
    for _ in range(1_000):
        buckets.take(b"k", 0.0)
    assert buckets.wait(b"k", 0.0) == 5


def test_no_rate_is_never_again() -> None:
    """And no burst is never at all."""
    buckets = Buckets(Quota(0, 1))
    buckets.take(b"k", 0.0)
    assert buckets.wait(b"k", 1e9) == math.inf
    assert Buckets(Quota(1, 0)).wait(b"k", 0.0) == math.inf
    assert [whole_seconds(wait) for wait in (0.1, 1.1, math.inf)] == [1, 2, 3_600]


def test_buckets_are_few() -> None:
    """However many keys come, so many are remembered."""
    buckets = Buckets(Quota(1, 1))
    for number in range(KEPT + 100):
        buckets.take(number.to_bytes(4), 0.0)
    assert len(buckets) == KEPT


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("", "unix", False),
    ],
)
def test_what_an_address_counts_as(one: str, other: str, same: bool) -> None:
    """Itself; of IPv6 its /64, which one sender can fill alone."""
    assert (source_of(one) == source_of(other)) is same


def test_work_is_for_one_entry() -> None:
    """A nonce is good for its entry and bits, and no other."""
    nonce = proof_of_work.make(bytes(32), 10)
    assert proof_of_work.holds(bytes(32), nonce, 10)
    assert not proof_of_work.holds(bytes(31) + b"\1", nonce, 10)
    assert not proof_of_work.holds(bytes(32), nonce[:-1], 0)
    assert not proof_of_work.holds(bytes(32), nonce + b"\0", 0)
    name, value = proof_of_work.header_of(nonce)
    assert (name, proof_of_work.read_header(value)) == (b"hallmark-work", nonce)


@pytest.mark.parametrize("value", [None, b"", b"00", b"zz" * 8, "é".encode() * 8, b"0" * 17, b" " * 16])
def test_a_header_that_is_no_nonce(value: bytes | None) -> None:
    """Is none."""
    assert proof_of_work.read_header(value) == b""


def test_work_takes_many_hashes() -> None:
    """Each bit doubles them: eight bits are some hundreds."""
    numbers = [int.from_bytes(proof_of_work.make(bytes([seed]) * 32, 8), "big") for seed in range(64)]
    assert 64 < sum(numbers) / len(numbers) < 1_024
