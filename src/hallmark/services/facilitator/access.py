"""Who may ask, and how often: keys by their digest, token buckets by key and by payer, bounded in memory."""

from __future__ import annotations

import hmac
import time

from hallmark.core.document import unhex
from hallmark.core.errors import RateLimited, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Scope, header
from hallmark.services.facilitator.reasons import LIMITED, Refusal
from hallmark.services.facilitator.settings import Key, Settings
from hallmark.services.log.quotas import Buckets, whole_seconds

ANONYMOUS = Key("", "0x" + "00" * 32)


class Access:
    """See the module docstring."""

    def __init__(self, settings: Settings) -> None:
        self._keys = tuple((unhex(key.sha256), key) for key in settings.keys)
        self._anonymous = settings.anonymous
        self._by_key = Buckets(settings.per_key)
        self._by_payer = Buckets(settings.per_payer)

    def caller(self, scope: Scope) -> Key:
        """Whose key a request carries, after one of its quota was taken; the anonymous one for none.

        Raises Unauthorized `facilitator_key`, RateLimited `rate_limited`.
        """
        key = self._known(header(scope, b"authorization") or b"")
        name, now = key.name.encode(), time.monotonic()
        wait = self._by_key.wait(name, now)
        if wait > 0:
            seconds = whole_seconds(wait)
            raise RateLimited("rate_limited", "This key asks more often than its quota allows.", seconds)
        self._by_key.take(name, now)
        return key

    def payer(self, address: bytes) -> None:
        """Take one of a payer's quota. Raises Refusal `rate_limited`."""
        now = time.monotonic()
        wait = self._by_payer.wait(address, now)
        if wait > 0:
            raise Refusal(LIMITED, f"This payer's quota has room again in {whole_seconds(wait)} s.")
        self._by_payer.take(address, now)

    def _known(self, value: bytes) -> Key:
        given = sha256(value[7:].strip()) if value[:7].lower() == b"bearer " else b""
        found = None
        for digest, key in self._keys:
            if hmac.compare_digest(digest, given):
                found = key
        if found is not None:
            return found
        if value or not self._anonymous:
            raise Unauthorized(
                "facilitator_key",
                "This facilitator serves holders of its keys.",
                "Send Authorization: Bearer KEY.",
            )
        return ANONYMOUS
