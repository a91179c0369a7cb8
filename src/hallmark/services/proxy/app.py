"""The proxy's HTTP interface: what OpenAI clients ask, and a status page. docs/proxy.md describes it.

It listens on loopback, and answers no page of another site: a browser names the page that asks in `Origin`
and the address in `Host`, and both must be this proxy's own (or an origin that its owner named), so that a
web page cannot ask in its visitor's name, nor by a name of its own that it makes point here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from hallmark.core.errors import HallmarkError, NotFound, Unauthorized
from hallmark.http.asgi import ASGIApp, Message, Receive, Scope, Send, header, respond, respond_json
from hallmark.http.errors import not_allowed
from hallmark.http.serve import Service
from hallmark.services.gateway.paths import ANSWERS, EDITS
from hallmark.services.proxy.answers import NAME, Answers, request_name
from hallmark.services.proxy.standing import Desk, Standing
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.sealed_way import SealedWay

RECEIPT: Final = re.compile(r"/v1/hallmark/receipts/([A-Za-z0-9._:-]{1,200})")
NO_STORE: Final = ((b"cache-control", b"no-store"),)
HTML: Final = b"text/html; charset=utf-8"
RELAY_S: Final = 60.0
"""How often the relay is asked what it says of itself."""
LOG_S: Final = 30.0
"""So long the log is read for, when somebody has the gateway's tickets held against it."""
EXPOSED: Final = b"x-request-id, hallmark-receipt, hallmark-salts, hallmark-path, hallmark-marks, retry-after"

Page = Callable[[Standing], bytes]
"""Writes the status page."""
Asset = Callable[[str], tuple[bytes, bytes] | None]
"""A file that the page uses: body and media type; None where there is none of this name."""


class Proxy:
    """See the module docstring. `hosts` are names under which it is reached besides loopback ones, `origins`
    those of pages that may call it, `log` the address of a log or full node to hold route tickets against
    (default: the home's).
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        policy: str,
        page: Page,
        asset: Asset,
        hosts: frozenset[str] = frozenset(),
        origins: frozenset[str] = frozenset(),
        hold_s: float = 30.0,
        log: str | None = None,
    ) -> None:
        way, verifier = client.way, client.verifier
        if not isinstance(way, SealedWay) or verifier is None:
            raise Unauthorized("proxy_plain", "A proxy has no plain way, so its client cannot have one.")
        if policy:
            verifier.trust.clearing(policy)
        self._client, self._link = client, way.path.link
        self._desk = Desk(verifier.trust, way.path, policy)
        self._answers = Answers(client, self._desk, policy=policy, hold_s=hold_s)
        self._page, self._asset, self._hosts, self._origins = page, asset, hosts, origins
        self._log, self._looking = log, asyncio.Lock()
        self.service = Service(self._serve, around=self._named)

    async def watch(self) -> None:
        """Ask the relay now and then what it says of itself, until cancelled."""
        while True:
            with contextlib.suppress(HallmarkError):
                self._desk.reached(await self._link.info(fresh=True))
            await asyncio.sleep(RELAY_S)

    async def aclose(self) -> None:
        """Stop, and close every connection."""
        await self._answers.aclose()
        await self._client.aclose()

    def _named(self, app: ASGIApp) -> ASGIApp:
        """Every response has a name; a page that may call is told so."""

        async def around(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            name = scope[NAME] = request_name()
            added = [(b"x-request-id", name.encode()), *self._sharing(scope)]

            async def named(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message = {**message, "headers": [*message.get("headers", ()), *added]}
                await send(message)

            await app(scope, receive, named)

        return around

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._require_own(scope)
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            await respond(send, 204, b"", ((b"access-control-allow-methods", b"GET, POST"),))
            return
        if path in ANSWERS:
            if method != "POST":
                raise not_allowed("POST")
            if path == EDITS:
                raise NotFound(
                    "unsupported_endpoint",
                    "This proxy takes no forms: changes of images do not go sealed yet.",
                    "A gateway takes them, and sees them.",
                )
            await self._answers.serve(scope, receive, send)
            return
        if method not in ("GET", "HEAD"):
            raise not_allowed("GET", "HEAD")
        await self._get(path, scope, send)

    async def _get(self, path: str, scope: Scope, send: Send) -> None:
        receipt = RECEIPT.fullmatch(path)
        asset = self._asset(path.removeprefix("/assets/")) if path.startswith("/assets/") else None
        if path == "/" and b"text/html" in (header(scope, b"accept") or b"text/html"):
            await respond(send, 200, self._page(self._desk.standing()), PAGE_HEAD, content_type=HTML)
        elif path in ("/", "/index.json"):
            await respond_json(send, self._desk.standing(), headers=NO_STORE)
        elif path == "/steering":
            await self._look()
            await respond(send, 303, b"", ((b"location", b"/#gateway"), *NO_STORE))
        elif asset is not None:
            await respond(send, 200, asset[0], ((b"cache-control", b"no-cache"),), content_type=asset[1])
        elif path == "/v1/models":
            await respond_json(
                send, {"object": "list", "data": await self._client.models()}, headers=NO_STORE
            )
        elif path.startswith("/v1/models/"):
            await self._model(unquote(path.removeprefix("/v1/models/")), send)
        elif receipt is not None:
            await self._receipt(receipt[1], send)
        else:
            raise NotFound("unknown_path", "There is nothing at this path.", "See docs/proxy.md.")

    async def _look(self) -> None:
        """Hold the route tickets against the log, which is read now, from this machine's address."""
        async with self._looking:
            try:
                self._desk.looked(await self._client.steering(self._log, LOG_S))
            except HallmarkError as error:
                self._desk.looked(error)

    async def _model(self, label: str, send: Send) -> None:
        for model in await self._client.models():
            if model.get("id") == label:
                await respond_json(send, model, headers=NO_STORE)
                return
        raise NotFound("model_not_found", "The network knows no model of this name.")

    async def _receipt(self, name: str, send: Send) -> None:
        found = self._desk.find(name)
        if found is None:
            raise NotFound(
                "no_such_receipt",
                "This proxy remembers no answer with this name.",
                "It keeps the last ones, as ids and marks; `hallmark receipt` finds others by their id.",
            )
        await respond_json(send, found, headers=NO_STORE)

    def _require_own(self, scope: Scope) -> None:
        """Raises Unauthorized `foreign_host`, `foreign_origin`."""
        host = (header(scope, b"host") or b"").decode("latin-1")
        if not _loopback(host) and host not in self._hosts:
            raise Unauthorized(
                "foreign_host",
                "This proxy is not reached under that name.",
                "Use 127.0.0.1 or localhost, or start it with --allow-host.",
            )
        origin = (header(scope, b"origin") or b"").decode("latin-1")
        if origin and origin not in self._origins and urlsplit(origin).netloc != host:
            raise Unauthorized(
                "foreign_origin",
                "A page of another site asks, and this proxy answers none.",
                "Start it with --allow-origin and the page's origin.",
            )

    def _sharing(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        origin = (header(scope, b"origin") or b"").decode("latin-1")
        if origin not in self._origins:
            return []
        asked = header(scope, b"access-control-request-headers") or b""
        allowed = [(b"access-control-allow-headers", asked)] if HEADER_NAMES.fullmatch(asked) else []
        named = (b"access-control-allow-origin", origin.encode())
        return [named, (b"vary", b"Origin"), (b"access-control-expose-headers", EXPOSED), *allowed]


HEADER_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~ ,-]{1,2000}")
PAGE_HEAD: Final = (
    *NO_STORE,
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
        b"base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def _loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
