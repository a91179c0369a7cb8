"""The other end of the private path: opens sealed requests and has an ASGI application answer them.

    POST /v1/hallmark/sealed   message/ohttp-chunked-req (draft-ietf-ohai-chunked-ohttp-08), message/ohttp-req

1. The request is opened as it comes, with the keys that are in force, within limits of size and time.
2. It must not have come before: encapsulated keys are remembered while their window is open.
3. It becomes a request to the inner application, with how it came beside it (`inner`).
4. The application's response is sealed as it is made (`outer`).

What goes wrong before 3 is told in clear with one of two reasons: `key_configuration_stale`, where the key
id, which stands in clear, is not one in force, and `sealed_unreadable` for everything else. Every later error
is a sealed response. Whoever carries the request learns its size class, and when the answer's frames left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.sealing import SUITES
from hallmark.crypto.hpke import KDF_SHA256
from hallmark.http.asgi import ASGIApp, Disconnected, Message, Receive, Scope, Send, header
from hallmark.http.errors import Errors, Tell, not_allowed, respond_error
from hallmark.http.limits import BodyLimits, Limits
from hallmark.privacy.binary_http import MAX_HEAD, decode_request
from hallmark.privacy.ohttp import (
    CHUNKED_REQUEST_TYPE,
    REQUEST_TYPE,
    ResponseWriter,
    ServerRequest,
    stale,
    unreadable,
)
from hallmark.privacy.padding import request_class
from hallmark.services.sealing.inner import (
    AUTHORITY,
    Allows,
    Came,
    inner_scope,
    not_offered_sealed,
    takes_padding,
)
from hallmark.services.sealing.keys import KeyHolder
from hallmark.services.sealing.outer import SealedSend
from hallmark.services.sealing.replays import ReplayCache

CHUNKED: Final = CHUNKED_REQUEST_TYPE.encode()
WHOLE: Final = REQUEST_TYPE.encode()
STALE: Final = stale().reason
OVERHEAD: Final = 64 * 1024
"""Bytes that sealing adds to a request at most: keys, and 17 bytes or so a chunk."""
BODY_BYTES: Final = 16 * 1024 * 1024


class Refused(InvalidInput):
    """A sealed request that is not answered under its seal (400)."""


class _Opened(NamedTuple):
    """A request that opened: its Binary HTTP message, how it came, what seals its response, and why it is not
    answered.
    """

    message: bytes
    came: Came
    writer: ResponseWriter
    problem: HallmarkError | None


class SealedApp:
    """The ASGI application; see the module docstring.

    `app` answers; an exception of its own becomes a sealed error. `authorities` are the servers that a
    request may name beside none. `allows` says what may be asked. `body` bounds the content of a request: a
    whole sealed request is at most the size class above that, and comes within `body_s`. `tell` is told of
    bugs.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyHolder,
        *,
        authorities: Iterable[str] = (),
        allows: Allows = lambda _method, _path: True,
        replays: ReplayCache | None = None,
        body: int = BODY_BYTES,
        body_s: float = Limits().body_s,
        random: Callable[[int], bytes] = os.urandom,
        tell: Tell | None = None,
    ) -> None:
        self._app = Errors(app, tell=tell)
        self._keys, self._allows, self._random = keys, allows, random
        self._authorities = frozenset((AUTHORITY, *(each.lower().encode() for each in authorities)))
        self._replays = replays or ReplayCache(random(32))
        self._most = request_class(body + MAX_HEAD)
        limits = Limits(body=self._most + OVERHEAD, body_s=body_s)
        self._door = Errors(BodyLimits(self._serve, limits), answer=_refuse, tell=tell)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await respond_error(send, not_allowed("POST"))
            return
        await self._door(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        chunked = _chunked(scope)
        opened = await self._open(receive, chunked=chunked)
        padded = bodiless = False
        problem, inner, content = opened.problem, scope, b""
        try:
            request = decode_request(opened.message)
            padded, bodiless = takes_padding(request), request.method == b"HEAD"
            inner, content = inner_scope(request, opened.came, scope, self._authorities), request.content
            if not self._allows(inner["method"], inner["path"]):
                raise not_offered_sealed()
        except HallmarkError as error:
            problem = problem or error
        sealed = SealedSend(send, opened.writer, chunked=chunked, padded=padded, bodiless=bodiless)
        try:
            if problem is not None:
                await respond_error(sealed, problem)
            else:
                await self._app(inner, _once(content, receive), sealed)
        except Exception:
            if not sealed.begun:
                raise
            # It had begun, so it cannot become an error: returning cuts the connection.
        finally:
            await sealed.close()

    async def _open(self, receive: Receive, *, chunked: bool) -> _Opened:
        """Read a sealed request to its end. Raises VerificationFailed `key_configuration_stale`,
        `sealed_unreadable`, and what the limits raise.
        """
        windows = self._keys.in_force()
        keys = {key_id: key for window in windows for key_id, key in window.keys.items()}
        request = ServerRequest(keys, chunked=chunked, most=self._most)
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = message.get("more_body", False)
            chunks = request.feed(message.get("body", b""))
            if not more:
                chunks += request.end()
            parts += chunks
            size += sum(map(len, chunks))
            if size > self._most:
                raise unreadable()
        windows = self._keys.in_force()  # reading may have taken until after a window's end
        window = next((each for each in windows if request.key_id in each.keys), None)
        if window is None:
            raise stale()
        self._replays.forget(min(each.number for each in windows))
        problem = None
        try:
            self._replays.admit(window.number, request.enc)
        except Unavailable as error:
            problem = error
        suite = SUITES[request.kem, KDF_SHA256, request.aead]
        came = Came(window.number, window.configuration, suite, request_class(size))
        return _Opened(b"".join(parts), came, request.response(self._random), problem)


def _chunked(scope: Scope) -> bool:
    """Whether the request comes in chunks. Raises VerificationFailed `sealed_unreadable`."""
    kind = (header(scope, b"content-type") or b"").lower()
    if kind not in (CHUNKED, WHOLE) or header(scope, b"content-encoding") not in (None, b"identity"):
        raise unreadable()
    return kind == CHUNKED


def _once(content: bytes, receive: Receive) -> Receive:
    """The inner application's `receive`: the content, then whatever the outer connection has to say."""
    told = False

    async def inner() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": content, "more_body": False}

    return inner


async def _refuse(error: HallmarkError | None, _scope: Scope, _receive: Receive, send: Send) -> None:
    """One of two reasons, whatever happened."""
    told = stale() if error is not None and error.reason == STALE else unreadable()
    await respond_error(send, Refused(told.reason, told.message, told.hint))
