"""Other people's HPKE: what they seal we open, what we seal they open, and secrets that both export are the
same.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from hallmark.crypto import hpke

AEADS = ((hpke.AEAD_AES128, AEAD.AES_128_GCM), (hpke.AEAD_CHACHA20, AEAD.CHACHA20_POLY1305))
SEED = bytes(range(32))


def pyca(kem: int, public: bytes) -> tuple[Any, Any, Any]:
    """Cryptography's KEM with the private key of SEED, and a public key."""
    if kem == hpke.KEM_X25519:
        private = X25519PrivateKey.from_private_bytes(SEED)
        return KEM.X25519, private, X25519PublicKey.from_public_bytes(public)
    expanded = hashlib.shake_256(SEED).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    theirs = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[: hpke.MLKEM_PUBLIC]),
        X25519PublicKey.from_public_bytes(public[hpke.MLKEM_PUBLIC :]),
    )
    return KEM.MLKEM768_X25519, MLKEM768X25519PrivateKey(mlkem, x25519), theirs


@pytest.mark.parametrize(("ours", "theirs"), AEADS)
@pytest.mark.parametrize("kem", [hpke.KEM_X25519, hpke.KEM_XWING])
def test_cryptography(kem: int, ours: int, theirs: Any) -> None:
    """Single messages both ways, X25519 and X-Wing, both AEADs."""
    key = hpke.make_key(kem, SEED)
    name, private, public = pyca(kem, key.public)
    suite = Suite(name, KDF.HKDF_SHA256, theirs)
    enc, context = hpke.setup_sender(kem, key.public, ours, b"info")
    assert suite.decrypt(enc + context.seal(b"message"), private, b"info") == b"message"
    sealed = suite.encrypt(b"message", public, b"info")
    size = key.kem.encapsulated
    assert hpke.setup_receiver(key, sealed[:size], ours, b"info").open(sealed[size:]) == b"message"


@pytest.mark.parametrize("ours", [hpke.AEAD_AES128, hpke.AEAD_CHACHA20])
def test_pyhpke(ours: int) -> None:
    """Contexts both ways: messages in order with associated data, and exported secrets."""
    pyhpke = pytest.importorskip("pyhpke")
    suite = pyhpke.CipherSuite.new(
        pyhpke.KEMId.DHKEM_X25519_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId(ours)
    )
    key = hpke.X25519Key(SEED)
    private = pyhpke.KEMKey.from_pyca_cryptography_key(X25519PrivateKey.from_private_bytes(SEED))
    public = pyhpke.KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(key.public))
    enc, sender = suite.create_sender_context(public, b"info")
    receiver = hpke.setup_receiver(key, enc, ours, b"info")
    ours_enc, our_sender = hpke.setup_sender(hpke.KEM_X25519, key.public, ours, b"info")
    their_receiver = suite.create_recipient_context(ours_enc, private, b"info")
    for number in range(5):
        message, aad = os.urandom(number * 40), b"%d" % number
        assert receiver.open(sender.seal(message, aad), aad) == message
        assert their_receiver.open(our_sender.seal(message, aad), aad) == message
    assert receiver.export(b"context", 48) == sender.export(b"context", 48)
    assert our_sender.export(b"", 16) == their_receiver.export(b"", 16)
