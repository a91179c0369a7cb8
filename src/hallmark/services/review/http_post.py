"""One POST to an address that was judged first, and that the connection really goes to.

The name is resolved once; every address that it gives must be allowed; the connection is made to that very
address, so that a name which changes its mind in between gains nothing. No redirect is followed, and of the
answer only the status counts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.http.tls import public_context
from hallmark.services.review.settings import Webhooks

MAX_HEAD: Final = 16_384


class HTTPPost:
    """Posts to receivers within the limits of the settings."""

    def __init__(self, limits: Webhooks, tls: ssl.SSLContext | None = None) -> None:
        self._limits = limits
        self._tls = tls

    async def check(self, url: str) -> tuple[SplitResult, str]:
        """The URL's parts and the address to connect to. Raises InvalidInput `bad_webhook_url`, Unavailable
        `connect_failed`.
        """
        parts = _split(url)
        addresses = await _resolve(parts)
        for address in addresses:
            self._allow(address, parts.scheme)
        return parts, addresses[0]

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The HTTP status of the answer. Raises as `check` does, Unavailable `timed_out`, `connection_lost`,
        `bad_http`.
        """
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._post(url, headers, body)
        except TimeoutError:
            raise Unavailable("timed_out", "The receiver took too long.") from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        parts, address = await self.check(url)
        secure = parts.scheme == "https"
        context = (self._tls or public_context()) if secure else None
        try:
            reader, writer = await asyncio.open_connection(
                address,
                _port(parts),
                ssl=context,
                server_hostname=parts.hostname if secure else None,
                limit=MAX_HEAD,
            )
        except OSError as error:
            raise Unavailable("connect_failed", "The receiver cannot be reached.") from error
        try:
            writer.write(_head(parts, headers, len(body)) + body)
            await writer.drain()
            line = await reader.readline()
        except (OSError, ValueError) as error:
            raise Unavailable("connection_lost", "The receiver closed the connection.") from error
        finally:
            writer.close()
        return _status(line)

    def _allow(self, address: str, scheme: str) -> None:
        found = ipaddress.ip_address(address.partition("%")[0])
        known = getattr(found, "ipv4_mapped", None) or found
        if known.is_loopback:
            allowed = self._limits.allow_loopback_webhooks
        elif known.is_global and not known.is_multicast:
            allowed = scheme == "https" or self._limits.allow_private_webhooks
        else:
            allowed = known.is_private and not known.is_link_local and self._limits.allow_private_webhooks
        if not allowed:
            raise InvalidInput(
                "bad_webhook_url",
                "Webhooks do not go there.",
                "A receiver is a public https address, unless the desk's settings allow more.",
            )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        fits = fits and url.isascii() and url.isprintable() and " " not in url
        fits = fits and not parts.username and not parts.password and not parts.fragment
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput("bad_webhook_url", "A receiver is an http or https URL without user or fragment.")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


async def _resolve(parts: SplitResult) -> Sequence[str]:
    assert parts.hostname is not None
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable("connect_failed", "The receiver's name is not known.") from error
    return [str(entry[4][0]) for entry in found]


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = {"host": parts.netloc, **headers, "content-length": str(length), "connection": "close"}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
        raise Unavailable("bad_http", "The receiver's answer is not HTTP.")
    return int(rest[:3])
