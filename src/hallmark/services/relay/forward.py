"""Passing one capsule on and its answer back, as the bytes come.

Out go the media type, a length and the capsule; back come status, media type and body. A capsule up to
BUFFER is read whole first, so that a slow sender holds nobody's connection; a longer one streams, as every
answer does. Neither side is read faster than the other takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.http.asgi import Disconnected, Message, Receive, Send
from hallmark.http.client import Exchange, Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.services.gateway.disconnect import until_disconnect
from hallmark.services.relay.directory import Target
from hallmark.services.relay.info import RESPONSES, SEALED

BUFFER: Final = 64 * 1024
TYPES: Final = RESPONSES | {b"application/json", b"application/problem+json"}
"""What a node or gateway may answer with: anything else is not handed on."""
UNSENT: Final = frozenset(("connect_failed", "pool_exhausted", "pin_mismatch", "bad_url"))


class NotACapsule(InvalidInput):
    """The body is not of Oblivious HTTP (RFC 9110 section 15.5.16)."""

    status = 415


class Incoming:
    """A request's body. `begun` is what `first` has read of it, `size` counts, `ended` is set once all has
    come.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.begun: list[bytes] = []
        self.ended = asyncio.Event()
        self.size = 0

    async def first(self) -> None:
        """Read the first BUFFER bytes or a little more, or all that there are. Raises Disconnected."""
        while self.size <= BUFFER and not self.ended.is_set():
            self.begun.append(await self._next())

    async def rest(self) -> AsyncIterator[bytes]:
        """What was read, then what follows. Raises Disconnected."""
        while self.begun:
            yield self.begun.pop(0)
        while not self.ended.is_set():
            yield await self._next()

    async def after(self) -> Message:
        """What the client says after its body: that it has gone."""
        await self.ended.wait()
        return await self._receive()

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        self.size += len(part)
        if not message.get("more_body", False):
            self.ended.set()
        return part


class Forwarder:
    """Connections to nodes and gateway, shared by all clients."""

    def __init__(self, pool: Pool, name: str, most: int, timeouts: Timeouts) -> None:
        self._pool, self._most, self._timeouts = pool, most, timeouts
        self._status = f"{name}; received-status="

    async def forward(self, target: Target, kind: bytes, incoming: Incoming, send: Send) -> None:
        """Pass one capsule on.

        Raises Unavailable `relay_peer_away` (nothing was sent), `relay_peer_silent`, `relay_answer_type`,
        `relay_answer_too_large`, Disconnected.
        """
        body = b"".join(incoming.begun) if incoming.ended.is_set() else incoming.rest()
        exchange = self._pool.request(
            "POST",
            target.url + SEALED,
            ((b"content-type", kind),),
            body,
            pin=target.pin,
            timeouts=self._timeouts,
        )
        await until_disconnect(incoming.after, self._exchange(exchange, send))

    async def _exchange(self, exchange: Exchange, send: Send) -> None:
        try:
            response = await exchange.__aenter__()
        except Unavailable as error:
            raise _lost(error) from error
        except HallmarkError as error:
            if error.reason in UNSENT:
                raise _lost(error) from error
            raise
        try:
            await self._answer(response, send)
        finally:
            await exchange.__aexit__(None, None, None)

    async def _answer(self, response: Response, send: Send) -> None:
        kind = (response.header(b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind not in TYPES:
            raise Unavailable("relay_answer_type", "What came back is no answer to a capsule.")
        status = (b"proxy-status", f"{self._status}{response.status}".encode())
        headers = [(b"content-type", kind), status, (b"cache-control", b"no-store")]
        length = response.header(b"content-length")
        if length is not None and length.isdigit():
            headers.append((b"content-length", length))
        size, started = 0, False
        try:
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            started = True
            async for chunk in response:
                size += len(chunk)
                if size > self._most:
                    raise Unavailable("relay_answer_too_large", f"An answer has at most {self._most} bytes.")
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except HallmarkError:
            # The connection is dropped, which an unfinished answer shows to whoever opens it.
            if started:
                raise Disconnected from None
            raise
        await send({"type": "http.response.body", "body": b""})


def _lost(error: HallmarkError) -> Unavailable:
    if error.reason in UNSENT:
        return Unavailable(
            "relay_peer_away",
            "The node or gateway cannot be reached, or another key answers there; nothing was sent.",
            "Ask for another route, and seal the request anew.",
        )
    lost = Unavailable(
        "relay_peer_silent",
        "The node or gateway gave no answer; it may have begun with the request.",
        "Seal the request anew if it may be done twice: this capsule is used up.",
    )
    lost.retry = False
    return lost
