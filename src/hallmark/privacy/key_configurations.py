"""All keys that a node's sealed requests go to, fixed at once by one root in its attested bundle.

Window w of `Sealing` has two key configurations, X25519 (key id 2w mod 256) and X-Wing (2w + 1 mod 256), as
one `application/ohttp-keys` blob; the blobs are the leaves of an RFC 6962 tree. So one log entry names every
key of every window, and nobody can be given one of his own. The keys come from a seed that is hashed forward:
who forgets it as windows pass can open nothing older, and nobody who takes it later can either.
"""

from __future__ import annotations

from typing import Final

from hallmark.core import merkle
from hallmark.core import sealing as sealed
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Sealing
from hallmark.core.errors import HallmarkError, InvalidInput, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import (
    AEAD_AES128,
    AEAD_CHACHA20,
    KDF_SHA256,
    KEM_X25519,
    KEM_XWING,
    PrivateKey,
    make_key,
)
from hallmark.privacy.ohttp import KeyConfiguration, decode_list, encode_list

NEXT_TAG: Final = b"hallmark/sealing-seed/v1\0"
KEY_TAG: Final = b"hallmark/sealing-key/v1\0"
SYMMETRIC: Final = ((KDF_SHA256, AEAD_AES128), (KDF_SHA256, AEAD_CHACHA20))
KEMS: Final = (KEM_X25519, KEM_XWING)


class Ratchet:
    """The keys of all windows from one seed, and what is published of them.

    A seed in memory opens its own window and all later ones; `forget` hashes it forward. Making it makes
    every window's keys, for the root: 0.3 to 0.4 ms a window, of which two thirds are ML-KEM's.
    """

    def __init__(self, seed: bytes, *, since: int, every: int, count: int) -> None:
        """`seed` is 32 random bytes; `since` and `every` are unix ms and ms."""
        self._seed, self._first = seed, 0
        self._hashes, at = [], seed
        for window in range(count):
            self._hashes.append(leaf_of(window, encode_list(configurations(window, _keys(at)))))
            at = sha256(NEXT_TAG, at)
        self.sealing = Sealing(hex0x(merkle.root(self._hashes)), since, every, count)

    def window(self, now: int) -> int:
        """The window at `now` (unix ms). Raises InvalidInput `no_window`."""
        return window_at(self.sealing, now)

    def keys(self, window: int) -> dict[int, PrivateKey]:
        """Private keys by key id. Raises InvalidInput `no_window` when it is over, or there is none."""
        made = _keys(self._seed_of(window))
        return dict(zip(key_ids(window), made, strict=True))

    def blob(self, window: int) -> bytes:
        """What is published: `application/ohttp-keys`. Raises as `keys` does."""
        return encode_list(configurations(window, _keys(self._seed_of(window))))

    def path(self, window: int) -> tuple[bytes, ...]:
        """The Merkle path of the window's blob, from its sibling up."""
        return merkle.inclusion_proof(window, len(self._hashes), self._node)

    def forget(self, before: int) -> None:
        """Destroy the keys of all windows before this one."""
        while self._first < min(before, self.sealing.count):
            self._seed, self._first = sha256(NEXT_TAG, self._seed), self._first + 1

    def _seed_of(self, window: int) -> bytes:
        if not self._first <= window < self.sealing.count:
            raise no_window()
        seed = self._seed
        for _ in range(window - self._first):
            seed = sha256(NEXT_TAG, seed)
        return seed

    def _node(self, level: int, index: int) -> bytes:
        return merkle.root(self._hashes[index << level : (index + 1) << level])


def key_ids(window: int) -> tuple[int, int]:
    """The key ids of a window's X25519 and X-Wing keys."""
    return 2 * window % 256, (2 * window + 1) % 256


def configurations(window: int, keys: tuple[PrivateKey, ...]) -> tuple[KeyConfiguration, ...]:
    """What is published of a window's keys."""
    named = zip(key_ids(window), keys, strict=True)
    return tuple(KeyConfiguration(key_id, key.kem.id, key.public, SYMMETRIC) for key_id, key in named)


def leaf_of(window: int, blob: bytes) -> bytes:
    """The leaf hash of a window's blob; 32 bytes."""
    return merkle.leaf_hash(window.to_bytes(8, "big") + blob)


def window_at(sealing: Sealing, now: int) -> int:
    """The window at `now` (unix ms). Raises InvalidInput `no_window`."""
    window = sealed.window_at(sealing, now)
    if window is None:
        raise no_window()
    return window


def verify_window(
    sealing: Sealing, window: int, blob: bytes, path: tuple[bytes, ...], now: int
) -> tuple[KeyConfiguration, ...]:
    """The key configurations of a window that is in force at `now` (unix ms), give or take two minutes.

    Raises VerificationFailed `key_window_over` (not now), `key_configuration_unproven` (not under the
    bundle's root), InvalidInput `bad_key_configuration`.
    """
    if not sealed.covers(sealing, window, now):
        raise VerificationFailed(
            "key_window_over",
            "The key configuration is not of the present window.",
            "Get the node's present one; if it comes again, the clocks differ or somebody keeps an old one.",
        )
    try:
        merkle.verify_inclusion(
            leaf_of(window, blob), window, sealing.count, tuple(path), unhex(sealing.root)
        )
    except HallmarkError as error:
        raise VerificationFailed(
            "key_configuration_unproven",
            "The key configuration is not one that the node's attested bundle names.",
            "Seal nothing to it: somebody offers a key of his own.",
        ) from error
    return decode_list(blob)


def no_window() -> InvalidInput:
    """A time or window that has no keys."""
    return InvalidInput(
        "no_window", "There are no keys for this window: it is over, or the node's keys have run out."
    )


def _keys(seed: bytes) -> tuple[PrivateKey, ...]:
    return tuple(make_key(kem, sha256(KEY_TAG, kem.to_bytes(2, "big"), seed)) for kem in KEMS)
