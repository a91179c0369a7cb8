"""Proof of work: what an entry costs whose author nobody vouches for.

A nonce is good for one entry and for `bits` bits when SHA-256("hallmark/work/v1" 0x00 || entry id || nonce)
begins with so many zero bits. Checking is one hash; making takes 2^bits of them on average. It is no
defence by itself (a faster machine makes it faster): it makes a flood dearer to send than to refuse.
"""

from __future__ import annotations

import asyncio
import itertools
from hashlib import sha256
from typing import Final

from hallmark.core.errors import HallmarkError

TAG: Final = b"hallmark/work/v1\0"
HEADER: Final = b"hallmark-work"
NONCE_SIZE: Final = 8
MAX_BITS: Final = 24
"""No client of ours works for more: that is some ten seconds."""


class WorkMissing(HallmarkError):
    """The entry needs a proof of work (428 as in RFC 6585 section 3); `detail` says of how many bits."""

    status = 428
    detail: dict[str, object] = {}


def missing(bits: int) -> WorkMissing:
    """The refusal that says how much work is asked for."""
    error = WorkMissing(
        "work_missing",
        "Nobody that the log knows vouches for this entry, so it needs a proof of work.",
        f"Send a nonce for {bits} bits in the header Hallmark-Work (docs/log.md).",
    )
    error.detail = {"work_bits": bits}
    return error


def holds(entry_id: bytes, nonce: bytes, bits: int) -> bool:
    """Whether `nonce` (8 bytes) is good for the entry and `bits` bits."""
    if len(nonce) != NONCE_SIZE:
        return False
    value = int.from_bytes(sha256(TAG + entry_id + nonce).digest(), "big")
    return value >> (256 - bits) == 0


def make(entry_id: bytes, bits: int) -> bytes:
    """A nonce that is good. Takes 2^bits hashes on average: call it beside an event loop."""
    start = sha256(TAG + entry_id)
    limit = 1 << (256 - bits)
    for number in itertools.count():
        trial = start.copy()
        trial.update(number.to_bytes(NONCE_SIZE, "big"))
        if int.from_bytes(trial.digest(), "big") < limit:
            break
    return number.to_bytes(NONCE_SIZE, "big")


async def answer(entry_id: bytes, bits: int) -> tuple[bytes, bytes] | None:
    """The request header for a log that asks for so many bits, made beside the event loop; None where nobody
    works for that: for none, or for more than `MAX_BITS`.
    """
    if not 0 < bits <= MAX_BITS:
        return None
    return header_of(await asyncio.to_thread(make, entry_id, bits))


def header_of(nonce: bytes) -> tuple[bytes, bytes]:
    """The request header that carries a nonce."""
    return HEADER, nonce.hex().encode()


def read_header(value: bytes | None) -> bytes:
    """The nonce of a header's value; empty when there is none or it cannot be read."""
    if value is None or len(value) != 2 * NONCE_SIZE:
        return b""
    try:
        return bytes.fromhex(value.decode("ascii"))
    except ValueError:
        return b""
