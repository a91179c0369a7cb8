"""An issuer of tokens as a client asks it."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from hallmark.core.document import Hex32, unhex
from hallmark.core.errors import InvalidInput
from hallmark.core.tokens import IssuerKeys
from hallmark.crypto.token_keys import KeySet
from hallmark.http.client import Pool
from hallmark.payments.issuing import Blinded, Exchanged, SealingKey
from hallmark.payments.x402.messages import SIGNATURE_HEADER
from hallmark.services.sdk.network import error_of

MAX_PAGE: Final = 1 << 20
SIGNATURE: Final = SIGNATURE_HEADER.encode()

T = TypeVar("T")


class _Set(msgspec.Struct, frozen=True):
    digest: Hex32
    document: str
    logged: bool


class _Keys(msgspec.Struct, frozen=True):
    issuer: str
    sets: tuple[_Set, ...]
    on_sale: Hex32 | None = None
    sealing: str = ""
    sealing_signature: str = ""


class Order(msgspec.Struct, frozen=True):
    """What is bought: the key set's digest, and a blinded message for each token."""

    keys: Hex32
    blinded: tuple[Blinded, ...]


class Sold(msgspec.Struct, frozen=True):
    """Blind signatures, in the order of the messages, and the payment's transaction."""

    signed: tuple[Blinded, ...]
    transaction: str


class Fate(msgspec.Struct, frozen=True):
    """What became of a token: `good`, `held`, or `spent`; with what was charged, and the change."""

    state: str
    until: int = 0
    charged: str = ""
    change: bytes = b""


class IssuerClient:
    """See the module docstring. It learns the address of who asks, and what is asked for."""

    def __init__(self, url: str, pool: Pool) -> None:
        self.url, self._pool = url.rstrip("/"), pool

    async def on_sale(self) -> tuple[KeySet, bytes]:
        """The key set that is sold from, with its exact document. Raises InvalidInput `nothing_on_sale`,
        `issuer_unreadable`, and what a connection raises.
        """
        return _on_sale(_read(await self._ask("GET", "keys"), _Keys))

    async def exchanged_for(self) -> tuple[KeySet, bytes, bytes]:
        """As `on_sale`, and the key that tokens are sealed to on their way to the issuer. Raises
        VerificationFailed `sealing_key_unsigned` too.
        """
        page = _read(await self._ask("GET", "keys"), _Keys)
        keys, document = _on_sale(page)
        sealing = SealingKey(unhex(page.sealing), unhex(page.sealing_signature))
        sealing.require(unhex(keys.document.network), unhex(keys.document.issuer))
        return keys, document, sealing.public

    async def exchange(self, body: bytes) -> Exchanged:
        """Blind signatures for an exchange's exact bytes."""
        return _read(await self._ask("POST", "exchange", body), Exchanged)

    async def buy(self, body: bytes, header: str) -> Sold:
        """Blind signatures for an order's exact bytes, paid with a PAYMENT-SIGNATURE header."""
        return _read(await self._ask("POST", "tokens", body, ((SIGNATURE, header.encode()),)), Sold)

    async def fate(self, nullifier: bytes) -> Fate:
        """What became of a token."""
        return _read(await self._ask("GET", f"spent/0x{nullifier.hex()}"), Fate)

    async def _ask(
        self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> bytes:
        kind = ((b"content-type", b"application/json"),) if body else ()
        url = f"{self.url}/v1/issuer/{path}"
        async with self._pool.request(method, url, (*kind, *headers), body) as response:
            said = await response.read(MAX_PAGE)
            if response.status != 200:
                raise error_of(response.status, said)
            return said


def _on_sale(page: _Keys) -> tuple[KeySet, bytes]:
    for one in page.sets:
        if one.digest == page.on_sale and one.logged:
            document = one.document.encode()
            return KeySet(IssuerKeys.decode(document)), document
    raise InvalidInput("nothing_on_sale", "This issuer sells no tokens now.", "Try again in a moment.")


def _read(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("issuer_unreadable", "What the issuer answers cannot be read.") from error
