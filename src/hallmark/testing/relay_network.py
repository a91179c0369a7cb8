"""What a relay stands in front of, in memory: a gateway with its directory, and nodes behind pinned TLS."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, respond, respond_json
from hallmark.http.limits import Limits
from hallmark.http.serve import Listen, Service, bind
from hallmark.services.relay.info import KEYS, NODES, SEALED
from hallmark.services.relay.service import RelayService
from hallmark.services.relay.settings import Settings
from hallmark.store.raw import RawDatabase
from hallmark.testing.listening import listening, self_signed
from hallmark.testing.ports import free_port

ORIGIN = "hallmark.test/relay"


class DirectoryGateway:
    """A gateway as relays know it: its directory, key configurations, origin, and an application for
    capsules. `fail` answers 503 to everything.
    """

    def __init__(self, sealed: ASGIApp, keys: bytes = b"configurations") -> None:
        self.sealed, self.keys, self.nodes = sealed, keys, list[dict[str, Any]]()
        self.fail, self.asked = False, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"]
        if self.fail:
            await respond(send, 503, b"{}")
        elif path == NODES:
            self.asked += 1
            await respond_json(send, self.nodes)
        elif path == KEYS:
            await respond(send, 200, self.keys, content_type=b"application/ohttp-keys")
        elif path == "/v1/hallmark/trust.json":
            await respond_json(send, {"origin": ORIGIN})
        elif path == SEALED:
            await self.sealed(scope, receive, send)
        else:
            raise NotFound("unknown_path", "Nothing here.")


class RelayScene:
    """A relay with its gateway and nodes; `url` is the relay's, `relay` its parts."""

    def __init__(self, url: str, relay: RelayService, gateway: DirectoryGateway) -> None:
        self.url, self.relay, self.gateway = url, relay, gateway

    def to(self, node: bytes) -> str:
        """Where capsules for a node go."""
        return f"{self.url}/v1/relay/{hex0x(node)}"


@contextlib.asynccontextmanager
async def relay_scene(
    nodes: dict[bytes, ASGIApp], sealed: ASGIApp, **changes: Any
) -> AsyncIterator[RelayScene]:
    """A relay in front of these nodes, each with a TLS key of its own, while the block lasts. `changes` are
    of its settings.
    """
    gateway = DirectoryGateway(sealed)
    limits = Limits(body=64 * 1024 * 1024)
    async with contextlib.AsyncExitStack() as stack:
        base = await stack.enter_async_context(listening(Service(gateway), bind(Listen(free_port()))))
        for node, app in nodes.items():
            tls, pin = self_signed(node.hex())
            service = Service(app, limits=limits)
            endpoint = await stack.enter_async_context(listening(service, bind(Listen(free_port())), tls))
            gateway.nodes.append(listed(node, endpoint, pin))
        settings = msgspec.structs.replace(Settings(Listen(free_port()), base, "sqlite://"), **changes)
        relay = RelayService(settings, RawDatabase(settings.database))
        stack.push_async_callback(relay.aclose)
        await relay.directory.fetch()
        url = await stack.enter_async_context(listening(relay.service, bind(settings.listen)))
        yield RelayScene(url, relay, gateway)


def listed(node: bytes, endpoint: str, pin: bytes, *, sealed: bool = True) -> dict[str, Any]:
    """A node as a gateway lists it."""
    return {"node": hex0x(node), "endpoint": endpoint, "tls_spki": hex0x(pin), "epoch": 7, "sealed": sealed}
