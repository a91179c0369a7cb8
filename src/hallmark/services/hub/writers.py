"""Who may put: those whose key's SHA-256 stands in the settings, or everybody where the operator says so."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, Protocol

from hallmark.core.document import unhex
from hallmark.core.errors import Unauthorized
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Scope, header

BEARER: Final = b"bearer "
NOBODY: Final = bytes(32)
"""Who shows no key to a store that everybody may write."""
OPERATOR: Final = b"\xff" * 32
"""The store itself. No key's digest is this one, as far as anybody can find out."""


class Keyed(Protocol):
    """Settings that say who may put: everybody, or who shows a key with one of these SHA-256 (0x-hex)."""

    @property
    def anonymous(self) -> bool:
        """Whether everybody may."""
        ...

    @property
    def keys(self) -> tuple[str, ...]:
        """Digests of the keys."""
        ...


def blob_key() -> Unauthorized:
    """The error for who may not put blobs."""
    return Unauthorized(
        "blob_key",
        "Blobs are stored here for those who have a key.",
        "Send Authorization: Bearer KEY; the operator has one.",
    )


class Writers:
    """See the module docstring. `refusal` makes the error for who may not."""

    def __init__(self, settings: Keyed, refusal: Callable[[], Unauthorized] = blob_key) -> None:
        self._anonymous, self._refusal = settings.anonymous, refusal
        self._keys = tuple(unhex(key) for key in settings.keys)

    def shown(self, scope: Scope) -> bytes:
        """The SHA-256 of the key that a request shows, be it one of ours or not; NOBODY without one."""
        value = header(scope, b"authorization") or b""
        if value[: len(BEARER)].lower() != BEARER or not value[len(BEARER) :].strip():
            return NOBODY
        return sha256(value[len(BEARER) :].strip())

    def writer(self, scope: Scope) -> bytes:
        """Who asks, as the SHA-256 of the key, when it is somebody who may put. Raises `refusal`'s error."""
        digest = self.shown(scope)
        matches = [hmac.compare_digest(digest, key) for key in self._keys]
        if not self._anonymous and not any(matches):
            error = self._refusal()
            error.headers = ((b"www-authenticate", b"Bearer"),)  # type: ignore[attr-defined]  # see http.errors
            raise error
        return digest
