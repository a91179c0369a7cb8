"""Keccak-256 beside the library's own interface."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

from Crypto.Hash import keccak

from hallmark.core.hashing import keccak256

EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_it_is_ethereums() -> None:
    """Of nothing, as every client of Ethereum has it."""
    assert keccak256(b"").hex() == EMPTY


def test_every_length_up_to_three_blocks() -> None:
    """Around the ends of blocks of 136 bytes, too, and whatever was hashed before."""
    data = random.Random(1).randbytes(3 * 136 + 2)
    for size in range(len(data)):
        assert keccak256(data[:size]) == keccak.new(digest_bits=256, data=data[:size]).digest()


def test_threads_do_not_share_a_state() -> None:
    """Eight threads hash different things at the same time."""
    inputs = [bytes([n % 256]) * (n % 700) for n in range(4000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(keccak256, inputs, chunksize=10))
    assert found == [keccak.new(digest_bits=256, data=data).digest() for data in inputs]
