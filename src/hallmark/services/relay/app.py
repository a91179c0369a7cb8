"""HTTP of the relay: GET /v1/relay, POST /v1/relay/gateway, POST /v1/relay/0x<node>, GET /readyz."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from typing import Final

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, NotFound
from hallmark.http.asgi import ASGIApp, Disconnected, Message, Receive, Scope, Send, header, respond_json
from hallmark.http.errors import not_allowed
from hallmark.http.health import Health
from hallmark.http.serve import Service
from hallmark.services.relay.directory import Directory, Target
from hallmark.services.relay.forward import Forwarder, Incoming, NotACapsule
from hallmark.services.relay.info import (
    INFO,
    REQUESTS,
    TO_GATEWAY,
    RelayInfo,
    RelayKept,
    RelayLimits,
    RelayTokens,
    keys_shown,
)
from hallmark.services.relay.settings import Settings
from hallmark.services.relay.sizes import is_of_a_class
from hallmark.services.relay.sources import Sources
from hallmark.services.relay.spent import Spent
from hallmark.services.relay.tokens import TokenCheck
from hallmark.telemetry.metrics import Metrics

OF_NODE: Final = re.compile(r"/v1/relay/(0x[0-9a-f]{40})")
FORWARDED: Final = "hallmark.forwarded"
DENIED: Final = {503: b"destination_unavailable", 500: b"proxy_internal_error"}
OPEN: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"proxy-status, retry-after, www-authenticate, x-should-retry"),
)
PREFLIGHT: Final = (
    *OPEN,
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"content-type, authorization, incremental"),
    (b"access-control-max-age", b"86400"),
)


class Admission:
    """Who may send now: by address, or by token. `check` and `spent` are None where addresses are counted."""

    def __init__(self, sources: Sources, check: TokenCheck | None, spent: Spent) -> None:
        self.sources, self.check, self._spent = sources, check, spent

    def take(self, source: bytes) -> None:
        """Take one of an address's quota, where addresses have one. Raises RateLimited."""
        if self.check is None:
            self.sources.take(source, time.monotonic())

    async def spend(self, scope: Scope) -> None:
        """Spend a capsule's token, where it needs one. Raises Unauthorized, Conflict."""
        if self.check is not None:
            token = self.check.verify(header(scope, b"authorization"), time.time())
            await self._spent.spend(token.epoch, token.nullifier)

    async def forget(self) -> None:
        """Forget tokens of epochs that have ended."""
        if self.check is not None:
            await self._spent.forget(self.check.epoch(time.time()) - 1)


class Relay:
    """The app. Counts outcomes; keeps nothing of a request."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        forwarder: Forwarder,
        admission: Admission,
        metrics: Metrics,
        *,
        health: Callable[[], Health],
    ) -> None:
        self._settings, self._directory, self._forwarder = settings, directory, forwarder
        self._admission, self._health = admission, health
        self._outcomes = metrics.counter("relay_capsules", "Capsules by what became of them.", ("outcome",))
        self._bytes = metrics.counter("relay_capsule_bytes", "Bytes of capsules that were passed on.")
        self._odd = metrics.counter("relay_capsules_odd", "Capsules whose size is of no size class.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        node = OF_NODE.fullmatch(path)
        if node or path == TO_GATEWAY:
            if method != "POST":
                raise not_allowed("POST")
            await self._counted(scope, receive, send, unhex(node[1]) if node else b"")
        elif path in (INFO, "/readyz"):
            if method not in ("GET", "HEAD"):
                raise not_allowed("GET")
            if path == INFO:
                await respond_json(send, self.info())
            else:
                health = self._health()
                await respond_json(send, health.to_json(), 200 if health.state == "ready" else 503)
        else:
            raise NotFound("relay_unknown_path", "A relay has nothing at this path.", "See docs/relay.md.")

    def info(self) -> RelayInfo:
        """What GET /v1/relay says."""
        settings, check = self._settings, self._admission.check
        quota = settings.by_address
        return RelayInfo(
            settings.name,
            hex0x(self._directory.network) if self._directory.network else "",
            *keys_shown(self._directory.keys),
            self._directory.nodes,
            RelayLimits(
                settings.capsule,
                settings.answer,
                settings.at_once,
                settings.at_once_by_address,
                0 if check else int(quota.rate * 60),
                0 if check else int(quota.burst),
            ),
            RelayKept(settings.forget_s, 2 * settings.tokens.epoch_s if settings.tokens is not None else 0),
            RelayTokens(*check.shown(time.time())) if check else None,
        )

    async def _counted(self, scope: Scope, receive: Receive, send: Send, node: bytes) -> None:
        try:
            await self._pass_on(scope, receive, send, node)
        except HallmarkError as error:
            self._outcomes.add(error.reason)
            raise
        except Disconnected:
            self._outcomes.add("disconnected")
            raise
        self._outcomes.add("passed_on")

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, node: bytes) -> None:
        """Pass one capsule on: of the right type, to a party of the directory, within the limits."""
        kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind not in REQUESTS:
            raise NotACapsule(
                "relay_media_type",
                "A relay takes capsules of Oblivious HTTP alone.",
                "Send message/ohttp-chunked-req or message/ohttp-req.",
            )
        sources = self._admission.sources
        source = sources.name((scope.get("client") or ("",))[0])
        with sources.place(source):
            target = await self._directory.node(node) if node else self._directory.gateway
            incoming = Incoming(receive)
            self._admission.take(source)
            await incoming.first()
            with sources.carry():
                await self._admission.spend(scope)
                await self._forward(scope, target, kind, incoming, send=send)

    async def _forward(
        self, scope: Scope, target: Target, kind: bytes, incoming: Incoming, *, send: Send
    ) -> None:
        async def forwarded(message: Message) -> None:
            if not scope.get(FORWARDED) and target is self._directory.gateway and message["status"] == 400:
                # It may have begun anew: who asks the relay for its keys next gets the new ones.
                await self._directory.refreshed()
            scope[FORWARDED] = True
            await send(message)

        await self._forwarder.forward(target, kind, incoming, forwarded)
        self._bytes.add(n=incoming.size)
        if not is_of_a_class(incoming.size, kind):
            self._odd.add()


class RelayDoor(Service):
    """The service as it is seen from outside: its metrics are this machine's alone, because whoever could
    read them as they change would learn when a capsule of which size passed.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] == "/metrics" and not is_here(scope):
            scope = {**scope, "path": "/metrics/", "raw_path": b"/metrics/"}
        await super().__call__(scope, receive, send)


def is_here(scope: Scope) -> bool:
    """Whether a request comes from this machine."""
    host = (scope.get("client") or ("",))[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class RelayHeaders:
    """ASGI middleware, outermost: pages of any site may call (without credentials, of which there are none),
    and an error says that it is the relay's own (Proxy-Status, RFC 9209).
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app, self._error = app, f"{name}; error=".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": list(PREFLIGHT)})
            await send({"type": "http.response.body", "body": b""})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *OPEN]
                status = message["status"]
                if status >= 400 and not scope.get(FORWARDED):
                    why = DENIED.get(status, b"http_request_denied")
                    headers.append((b"proxy-status", self._error + why))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, marked)
