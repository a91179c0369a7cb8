"""HTTP of an issuer.

GET  /v1/issuer/keys              its key sets, and the key that tokens are sealed to on their way
POST /v1/issuer/tokens            blinded messages and an x402 payment -> blind signatures
POST /v1/issuer/hold              an enclave: hold the tokens of a request
POST /v1/issuer/exchange          tokens that end, and blinded messages -> blind signatures of the set on sale
POST /v1/issuer/settle            an enclave: so much was charged; blind signatures for the rest
GET  /v1/issuer/spent/0x...       what became of the token with this nullifier
"""

from __future__ import annotations

import ipaddress
import time
from typing import Any, Final, TypeVar

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, NotFound, RateLimited
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import Receive, Scope, Send, header, read_body, respond_json
from hallmark.http.errors import not_allowed
from hallmark.payments.issuing import Exchange, HoldRequest, SealingKey, SettleRequest
from hallmark.payments.x402.messages import SIGNATURE_HEADER
from hallmark.services.issuer.desk import Desk
from hallmark.services.issuer.key_sets import KeySets
from hallmark.services.issuer.sales import Order, Sales
from hallmark.services.issuer.settings import Settings
from hallmark.services.log.quotas import Buckets, whole_seconds

MAX_BODY: Final = 512 * 1024
PREFIX: Final = "/v1/issuer/"
SIGNATURE: Final = SIGNATURE_HEADER.encode()

T = TypeVar("T")


class IssuerApp:
    """The app."""

    def __init__(
        self, settings: Settings, key: Key, sealing: SealingKey, *, keys: KeySets, sales: Sales, desk: Desk
    ) -> None:
        self._settings, self._key, self._sealing = settings, key, sealing
        self._keys, self._sales, self._desk = keys, sales, desk
        self._quotas = Buckets(settings.per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method, path = scope["method"], scope["path"]
        if not path.startswith(PREFIX):
            raise NotFound("no_such_page", "There is no such page here.", "See docs/payments.md.")
        self._take(scope)
        name = path.removeprefix(PREFIX)
        if name in ("tokens", "hold", "settle", "exchange"):
            if method != "POST":
                raise not_allowed("POST")
            body = await read_body(receive, MAX_BODY)
            await respond_json(send, await self._post(name, body, header(scope, SIGNATURE) or b""))
        elif name == "keys" or name.startswith("spent/"):
            if method not in ("GET", "HEAD"):
                raise not_allowed("GET")
            told = self.page() if name == "keys" else await self._fate(name.removeprefix("spent/"))
            await respond_json(send, told)
        else:
            raise NotFound("no_such_page", "There is no such page here.", "See docs/payments.md.")

    def page(self) -> dict[str, Any]:
        """The key sets, oldest first. Exact documents: their digests are what the log has."""
        newest = self._keys.on_sale(_now())
        return {
            "issuer": hex0x(self._key.address),
            "on_sale": hex0x(newest.digest) if newest is not None else None,
            "sealing": hex0x(self._sealing.public),
            "sealing_signature": hex0x(self._sealing.signature),
            "sets": [
                {
                    "digest": hex0x(one.digest),
                    "document": one.document.decode(),
                    "logged": one.logged,
                }
                for one in self._keys.sets
            ],
        }

    async def _post(self, name: str, body: bytes, payment: bytes) -> Any:
        now = _now()
        if name == "hold":
            return await self._desk.hold(_read(body, HoldRequest), now)
        if name == "settle":
            return await self._desk.settle(_read(body, SettleRequest), now)
        if name == "exchange":
            return await self._desk.exchange(_read(body, Exchange), now)
        return await self._sales.buy(_read(body, Order), payment, f"{PREFIX}{name}", now)

    async def _fate(self, text: str) -> Any:
        nullifier = unhex(text)
        if len(nullifier) != 32:
            raise InvalidInput("bad_nullifier", "A nullifier is 32 bytes, 0x-hex.")
        return await self._desk.fate(nullifier, _now())

    def _take(self, scope: Scope) -> None:
        client = scope.get("client")
        try:
            key = ipaddress.ip_address(client[0]).packed if client else b""
        except ValueError:
            key = b""
        now = time.monotonic()
        wait = self._quotas.wait(key, now)
        if wait > 0:
            seconds = whole_seconds(wait)
            raise RateLimited("rate_limited", "This address asks more often than its quota allows.", seconds)
        self._quotas.take(key, now)


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "bad_message", "This is no message of this form.", "See docs/payments.md."
        ) from error


def _now() -> int:
    return time.time_ns() // 1_000_000
