"""The API keys of upstreams, opened inside and sent to the origin that they were sealed for.

A key arrives sealed to this enclave's HPKE key, which its evidence binds. It is held in this process alone,
goes into the `Authorization` header of requests to its upstream, and is in nothing that leaves otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from hallmark.core.errors import HallmarkError, NotFound
from hallmark.core.upstreams import key_info, require_key
from hallmark.crypto.hpke import HPKEPrivateKey


class ProviderKeys:
    """Keys by label, for the upstreams of the measured configuration and no others."""

    def __init__(self, key: HPKEPrivateKey, bundle_digest: bytes, upstreams: Mapping[str, str]) -> None:
        self._key, self._bundle, self._upstreams = key, bundle_digest, upstreams
        self._held: dict[str, bytes] = {}

    def take(self, label: str, sealed: bytes) -> str:
        """Hold the key in `sealed`, or none when that is empty. The reason why it was not taken, or ""."""
        try:
            if label not in self._upstreams:
                raise NotFound("unknown_upstream", "The configuration names no such upstream.")
            if not sealed:
                self._held.pop(label, None)
                return ""
            url = self._upstreams[label]
            self._held[label] = require_key(self._key.open(sealed, key_info(self._bundle, label, url)), url)
        except HallmarkError as error:
            return error.reason
        return ""

    def authorization(self, label: str) -> bytes:
        """The header's value for this upstream, empty without a key."""
        key = self._held.get(label)
        return b"Bearer " + key if key is not None else b""
