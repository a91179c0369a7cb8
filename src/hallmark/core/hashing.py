"""Digests: SHA-256 for documents and the log, Keccak-256 for EIP-712 and addresses."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, Final

from Crypto.Hash import keccak
from Crypto.Util import _raw_api

ZERO32 = bytes(32)
CAPACITY: Final = 64
"""Bytes of Keccak-256's capacity, twice its output."""
ROUNDS: Final = 24
PADDING: Final = 1
"""Keccak's own; SHA3-256 has 6."""


def sha256(*parts: bytes) -> bytes:
    """SHA-256 over the concatenation of `parts`; 32 bytes (FIPS 180-4)."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.digest()


class _Sponge(threading.local):
    """pycryptodome's compiled sponge, one for each thread, used again and again. Its public interface makes
    five Python objects around each hash, which take longer than hashing 500 bytes.
    """

    def __init__(self) -> None:
        self.library: Any = getattr(keccak, "_raw_keccak_lib")  # noqa: B009 - no part of its typed interface
        self.api: Any = _raw_api
        self._kept = self.api.VoidPointer()
        size, rounds = self.api.c_size_t(CAPACITY), self.api.c_ubyte(ROUNDS)
        if self.library.keccak_init(self._kept.address_of(), size, rounds):
            raise MemoryError
        self.state = self._kept.get()
        self.out = self.api.create_string_buffer(32)
        self.size, self.padding = self.api.c_size_t(32), self.api.c_ubyte(PADDING)


_sponge = _Sponge()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256); 32 bytes."""
    sponge, data = _sponge, bytes(data)
    library, state, out = sponge.library, sponge.state, sponge.out
    library.keccak_reset(state)
    library.keccak_absorb(state, data, sponge.api.c_size_t(len(data)))
    library.keccak_digest(state, out, sponge.size, sponge.padding)
    found: bytes = sponge.api.get_raw_buffer(out)
    return found
