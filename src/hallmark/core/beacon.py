"""Beacons: a recent checkpoint, used as "not before" and as the source of evidence nonces."""

from __future__ import annotations

from hallmark.core.hashing import sha256

NETWORK_TAG = b"hallmark/network/v1\0"
NONCE_TAG = b"hallmark/nonce/v1\0"
EMPTY_ROOT = sha256()


def network_id(origin: str) -> bytes:
    """The network's 32-byte id from its log's origin line."""
    return sha256(NETWORK_TAG, origin.encode())


def evidence_nonce(size: int, root: bytes) -> bytes:
    """Nonce for evidence made after the checkpoint (size, 32-byte root); 32 bytes."""
    return sha256(NONCE_TAG, size.to_bytes(8, "big"), root)
