"""Recovering who signed: the same as the library's own interface says, also for what no signer makes."""

from __future__ import annotations

import threading

import coincurve
import pytest

from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.secp256k1 import HALF_ORDER, Key, address_of, recover

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FIELD = 2**256 - 2**32 - 977


def _by_the_library(digest: bytes, signature: bytes) -> bytes | None:
    raw = signature[:64] + bytes((signature[64] - 27,))
    try:
        return address_of(coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None))
    except ValueError:
        return None


def _recovered(digest: bytes, signature: bytes) -> bytes | None:
    try:
        return recover(digest, signature)
    except VerificationFailed:
        return None


def test_what_a_key_signs_recovers_to_its_address() -> None:
    """Both values of v occur."""
    seen = set()
    for number in range(64):
        key, digest = Key(sha256(b"key", bytes((number,)))), sha256(bytes((number,)))
        signature = key.sign(digest)
        seen.add(signature[64])
        assert recover(digest, signature) == key.address == _by_the_library(digest, signature)
    assert seen == {27, 28}


def test_numbers_that_no_signer_makes() -> None:
    """Zero, past the order, past the field, no point on the curve, R = digest's negative: as the library."""
    digest = sha256(b"digest")
    numbers = [0, 1, 2, 3, 5, 8, HALF_ORDER, ORDER - 1, ORDER, ORDER + 1, FIELD - 1, FIELD, 2**256 - 1]
    numbers += [int.from_bytes(sha256(bytes((n,))), "big") % HALF_ORDER for n in range(24)]
    found = set()
    for r in numbers:
        for s in (number for number in numbers if number <= HALF_ORDER):
            for v in (27, 28):
                signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((v,))
                by = _recovered(digest, signature)
                assert by == _by_the_library(digest, signature), (r, s, v)
                found.add(by is None)
    assert found == {True, False}


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytes(64)])
def test_only_digests_of_32_bytes_are_signed(digest: bytes) -> None:
    """Another length is never read."""
    signature = Key(sha256(b"key")).sign(bytes(32))
    assert _recovered(digest, signature) is None


def test_other_forms_of_a_signature_are_refused() -> None:
    """Lengths, v, and s in the upper half (EIP-2)."""
    digest = sha256(b"digest")
    signature = Key(sha256(b"key")).sign(digest)
    high = ORDER - int.from_bytes(signature[32:64], "big")
    flipped = bytes((55 - signature[64],))
    assert _recovered(digest, signature[:32] + high.to_bytes(32, "big") + flipped) is None
    for v in (0, 1, 26, 29, 30, 255):
        assert _recovered(digest, signature[:64] + bytes((v,))) is None
    assert _recovered(digest, signature[:64]) is None
    assert _recovered(digest, signature + b"\0") is None


def test_threads_do_not_share_what_is_written_while_recovering() -> None:
    """Several threads at once, each with signatures of its own key."""
    wrong = []

    def work(name: int) -> None:
        key = Key(sha256(b"thread", bytes((name,))))
        for number in range(200):
            digest = sha256(bytes((name,)), number.to_bytes(2, "big"))
            if recover(digest, key.sign(digest)) != key.address:
                wrong.append((name, number))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
