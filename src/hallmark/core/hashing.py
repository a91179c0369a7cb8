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
        library: Any = getattr(keccak, "_raw_keccak_lib")  # noqa: B009 - no part of its typed interface
        api: Any = _raw_api
        self._kept = api.VoidPointer()
        size, rounds = api.c_size_t(CAPACITY), api.c_ubyte(ROUNDS)
        if library.keccak_init(self._kept.address_of(), size, rounds):
            raise MemoryError
        out = api.create_string_buffer(32)
        found = memoryview(api.ffi.buffer(out) if api.backend == "cffi" else out)
        self.steps: tuple[Any, ...] = (
            library.keccak_reset,
            library.keccak_absorb,
            library.keccak_digest,
            self._kept.get(),
            out,
            found,
            api.c_size_t,
            api.c_size_t(32),
            api.c_ubyte(PADDING),
        )


_sponge = _Sponge()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256); 32 bytes."""
    reset, absorb, digest, state, out, found, length, size, padding = _sponge.steps
    data = bytes(data)
    reset(state)
    absorb(state, data, length(len(data)))
    digest(state, out, size, padding)
    hashed: bytes = found.tobytes()
    return hashed
