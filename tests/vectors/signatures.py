"""Ed25519 signatures for both verifiers, the odd ones among them: which hold, and which do not.

Points of small order, keys and R that carry one, S that is not below the order, R that is not the encoding of
SB - kA: libraries differ in all of these. They are computed here by the curve's law, since no library makes
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from hallmark.core.errors import VerificationFailed
from hallmark.crypto.ed25519 import D, P, decoded, is_public_key, verify

Point = tuple[int, int]
ORDER = 2**252 + 27742317777372353535851937790883648493
ZERO: Point = (0, 1)
SECRET, NONCE = 0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321


def added(one: Point, two: Point) -> Point:
    """The sum of two points."""
    (x1, y1), (x2, y2) = one, two
    both = D * x1 * x2 * y1 * y2 % P
    return (
        (x1 * y2 + x2 * y1) * pow(1 + both, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - both, -1, P) % P,
    )


def times(number: int, point: Point) -> Point:
    """The point added to itself so often."""
    total = ZERO
    while number:
        if number & 1:
            total = added(total, point)
        point, number = added(point, point), number >> 1
    return total


def encoded(point: Point) -> bytes:
    """RFC 8032 section 5.1.2; 32 bytes."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def base() -> Point:
    """The base point: y is 4/5, x is even."""
    y = 4 * pow(5, -1, P) % P
    x = decoded(y)
    assert x is not None
    return (x if x % 2 == 0 else P - x), y


def of_order_eight() -> Point:
    """A point of order 8."""
    for y in range(2, 100):
        x = decoded(y)
        if x is not None and times(4, point := times(ORDER, (x, y))) != ZERO:
            return point
    raise AssertionError("there is one")


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    """SHA-512(R || A || M) modulo the order."""
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def signed(key: bytes, r: bytes, nonce: int, message: bytes) -> bytes:
    """R and the S that belongs to it, as far as both lie in the subgroup of the order."""
    scalar = (nonce + challenge(r, key, message) * SECRET) % ORDER
    return r + scalar.to_bytes(32, "little")


def torsion() -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """Keys and R with every point of small order added, with messages for which the equation without cofactor
    holds, and others for which only the one with cofactor does.
    """
    small = [times(number, of_order_eight()) for number in range(8)]
    owner, nonce = times(SECRET, base()), times(NONCE, base())
    for at, beside in enumerate(small):
        key = encoded(added(owner, beside))
        for of, other in enumerate(small):
            for name, start, scalar in (("R", nonce, NONCE), ("R of small order", ZERO, 0)):
                r, found = encoded(added(start, other)), set()
                for number in range(200):
                    message = b"%d" % number
                    exact = (challenge(r, key, message) * at + of) % 8 == 0
                    if exact not in found:
                        found.add(exact)
                        why = f"key with {at}T, {name} with {of}T, {'exact' if exact else 'by cofactor only'}"
                        yield why, key, message, signed(key, r, scalar, message)


def odd() -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """What else a verifier may be careless about."""
    key, message = encoded(times(SECRET, base())), b"message"
    good = signed(key, encoded(times(NONCE, base())), NONCE, message)
    r, scalar = good[:32], int.from_bytes(good[32:], "little")
    yield "good", key, message, good
    yield "another message", key, b"massage", good
    yield "another key", encoded(times(SECRET + 1, base())), message, good
    yield "R with the other sign", key, message, r[:31] + bytes((r[31] ^ 0x80,)) + good[32:]
    for times_ in range(1, 9):
        yield f"S + {times_}L", key, message, r + (scalar + times_ * ORDER).to_bytes(32, "little")
    for name, value in (("0", 0), ("L - 1", ORDER - 1), ("L", ORDER), ("all ones", 2**256 - 1)):
        yield f"S is {name}", key, message, r + value.to_bytes(32, "little")
    # R is the identity, once as it is encoded and twice as it may not be.
    for name, y in (
        ("1", 1),
        ("p + 1", P + 1),
        ("1 with a sign", 1 + 2**255),
        ("p + 1, signed", P + 1 + 2**255),
    ):
        identity = y.to_bytes(32, "little")
        yield f"R is y = {name}", key, message, signed(key, identity, 0, message)
    for name, y in (("2, no point", 2), ("p", P), ("2^255 - 1", 2**255 - 1)):
        yield f"R is y = {name}", key, message, y.to_bytes(32, "little") + good[32:]
    for length in (0, 32, 63, 65):
        yield f"{length} bytes", key, message, (good + b"\0")[:length]
    secret = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    rfc = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    yield "RFC 8032, first test", secret, b"", bytes.fromhex(rfc)


def holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """What this verifier says."""
    try:
        verify(key, message, signature)
    except VerificationFailed:
        return False
    return True


def signature_vectors() -> list[dict[str, Any]]:
    """Keys that can be relied on, messages, signatures, and whether these hold."""
    return [
        {"why": why, "key": k.hex(), "message": m.hex(), "signature": s.hex(), "holds": holds(k, m, s)}
        for why, k, m, s in (*odd(), *torsion())
        if is_public_key(k)
    ]
