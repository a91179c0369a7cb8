"""Ed25519: keys are canonical encodings of points that are not of small order, and nothing else; a signature
holds when OpenSSL says so, whoever is asked first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.ed25519 import PrivateKey, is_public_key, verify
from hallmark.ledger.note import COSIGNATURE, VerifierKey
from hallmark.ledger.policy import Policy
from hallmark.ledger.text import b64

VECTORS = Path(__file__).parents[2] / "vectors" / "keys.json"
SIGNATURES = VECTORS.with_name("signatures.json")


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


def _signatures() -> list[tuple[bytes, bytes, bytes, dict[str, Any]]]:
    published = json.loads(SIGNATURES.read_text())
    names = ("key", "message", "signature")
    return [(*(bytes.fromhex(vector[name]) for name in names), vector) for vector in published]  # type: ignore[misc]


def test_published_signatures() -> None:
    """Points of small order in keys and R, S past the order, R in another encoding: the verdict is the one
    that the equation without cofactor gives, and the browser's verifier gives the same.
    """
    published = _signatures()
    assert {vector["holds"] for *_, vector in published} == {True, False}
    for key, message, signature, vector in published:
        assert is_public_key(key), vector
        if "T, " in vector["why"]:  # by the curve's arithmetic, not by a library
            assert vector["holds"] is vector["why"].endswith("exact"), vector
        if vector["holds"]:
            verify(key, message, signature)
            continue
        with pytest.raises(VerificationFailed) as caught:
            verify(key, message, signature)
        assert caught.value.reason == "bad_ed25519_signature"


def test_what_libsodium_takes_openssl_takes_and_openssl_has_the_last_word() -> None:
    """Asking the faster library first changes no verdict, also where the two differ."""
    differ = 0
    for key, message, signature, vector in _signatures():
        openssl = sodium = len(signature) == 64
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            openssl = False
        try:
            crypto_sign_open(signature + message, key) if sodium else None
        except BadSignatureError:
            sodium = False
        assert vector["holds"] is openssl, vector
        assert openssl or not sodium, vector
        differ += openssl is not sodium
    assert differ, "the case for which OpenSSL is asked as well: R of small order"


def test_signatures_are_those_that_openssl_makes() -> None:
    """Keys, and the signatures of all sorts of messages, are the same to the byte, and hold."""
    for seed in range(32):
        secret, message = sha256(bytes((seed,))), sha256(b"message", bytes((seed,))) * seed
        ours, theirs = PrivateKey(secret), Ed25519PrivateKey.from_private_bytes(secret)
        assert ours.public == theirs.public_key().public_bytes_raw()
        assert ours.sign(message) == theirs.sign(message)
        verify(ours.public, message, ours.sign(message))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_other_lengths_are_not_read(size: int) -> None:
    """Of libsodium: it reads 32 bytes wherever it is told to; a key of another length never gets there."""
    signer = PrivateKey(bytes(32))
    key = (signer.public * 2)[:size]
    with pytest.raises(VerificationFailed):
        verify(key, b"message", signer.sign(b"message"))
    with pytest.raises(ValueError, match="seed"):
        PrivateKey(bytes(size))
