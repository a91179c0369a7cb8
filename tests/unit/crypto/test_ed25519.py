"""Ed25519 keys as points: canonical encodings of points that are not of small order, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256
from hallmark.crypto.ed25519 import is_public_key
from hallmark.ledger.note import COSIGNATURE, VerifierKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.text import b64

VECTORS = Path(__file__).parents[2] / "vectors" / "keys.json"


def _vkey(key: bytes) -> str:
    identity = sha256(b"key\n", bytes((COSIGNATURE,)), key)[:4].hex()
    return f"key+{identity}+{b64(bytes((COSIGNATURE,)) + key)}"


def test_keys_that_signers_make_are_sound() -> None:
    """Every key that is generated is the encoding of a point on the curve."""
    for seed in range(64):
        key = Ed25519PrivateKey.from_private_bytes(sha256(bytes((seed,))))
        assert is_public_key(key.public_key().public_bytes_raw())


def test_published_keys_and_the_vkeys_that_carry_them() -> None:
    """Odd keys are refused wherever a vkey is read, in a policy as well, as the browser's verifier does."""
    published = json.loads(VECTORS.read_text())
    assert {vector["sound"] for vector in published} == {True, False}
    for vector in published:
        key = bytes.fromhex(vector["key"])
        assert is_public_key(key) is vector["sound"], vector
        if vector["sound"]:
            assert VerifierKey.parse(_vkey(key)).public_key == key
            continue
        with pytest.raises(InvalidInput) as caught:
            VerifierKey.parse(_vkey(key))
        assert caught.value.reason == "bad_vkey"
        with pytest.raises(InvalidInput) as caught:
            Policy.parse(f"witness one {_vkey(key)}\nquorum one\n")
        assert caught.value.reason == "bad_policy"


def test_other_lengths_are_no_keys() -> None:
    """A key has 32 bytes."""
    assert not any(is_public_key(b"\x05" * size) for size in (0, 31, 33, 64))
