"""Digests: SHA-256 for documents and the log, Keccak-256 for EIP-712 and addresses."""

from __future__ import annotations

import hashlib

from Crypto.Hash import keccak

ZERO32 = bytes(32)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the concatenation of `parts`; 32 bytes (FIPS 180-4)."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.digest()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256); 32 bytes."""
    return keccak.new(digest_bits=256, data=data).digest()
