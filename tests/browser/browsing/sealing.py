"""The sealed path of a fake network: doors of nodes and gateway, a relay that misbehaves on demand, and who
saw which bytes.

The doors are the product's (`services.sealing.server`), the relay is a double (`testing.relays`); what the
gateway shows of nodes is honest unless `change` alters it.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from browsing.gateway import FakeGateway
from browsing.serving import served
from browsing.stage import Stage
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidate, Candidates
from hallmark.core.entries import decode
from hallmark.core.hashing import sha256
from hallmark.core.receipt import Mode
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING, make_key
from hallmark.http.asgi import ASGIApp, Message, Receive, Scope, Send
from hallmark.http.errors import Errors
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.proof import Proof
from hallmark.privacy.key_configurations import SYMMETRIC
from hallmark.privacy.ohttp import KeyConfiguration, encode_list
from hallmark.routing.ticket import Place, sign_ticket
from hallmark.services.sealing.keys import ScheduledKeys, Window
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.relays import LittleRelay, MisbehavingRelay

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Heard:
    """An application, and every byte of requests and answers that passed it: headers, paths, bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.parts: list[bytes] = []
        self.paths: list[str] = []

    @property
    def all(self) -> bytes:
        """All of it, one behind the other."""
        return b"\n".join(self.parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and note it."""
        if scope["type"] != "http":
            return
        self.paths.append(scope["path"])
        self.parts += [scope["path"].encode(), scope["query_string"], repr(scope["headers"]).encode()]

        async def hear() -> Message:
            message = await receive()
            self.parts.append(bytes(message.get("body", b"")))
            return message

        async def say(message: Message) -> None:
            self.parts.append(bytes(message.get("body", b"")))
            await send(message)

        await self._app(scope, hear, say)


class OwnKeys:
    """A gateway's keys: always the same, attested by nothing."""

    def __init__(self) -> None:
        made = {at: make_key(kem, os.urandom(32)) for at, kem in enumerate((KEM_X25519, KEM_XWING))}
        shown = [KeyConfiguration(at, key.kem.id, key.public, SYMMETRIC) for at, key in made.items()]
        self.blob = encode_list(tuple(shown))
        self._window = Window(0, sha256(self.blob), made)

    def in_force(self) -> tuple[Window, ...]:
        """See `KeyHolder`."""
        return (self._window,)


class SealedStage(Stage):
    """The pages, a gateway, two nodes and a relay. `relayed` and `passed` are what relay and gateway saw, and
    `opened` what the gateway saw under its own seal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.change: Change = lambda record: record
        self.offered: int | None = None
        self.keys = OwnKeys()
        self.handed_in: list[str] = []
        net = self.gateway.net
        doors = {node.address: self._door(node.address) for node in net.nodes}
        self.opened = Heard(self._directory())
        self.relay = MisbehavingRelay(
            LittleRelay(doors, SealedApp(self.opened, self.keys), self.keys.blob, net.genesis.network)
        )
        self.relayed = Heard(Errors(self.relay))
        self.passed = Heard(self.app())

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The pages' address, while pages and relay are served."""
        headers = {
            "allow_origins": ["*"],
            "allow_methods": ["GET", "POST"],
            "allow_headers": ["content-type"],
        }
        with served(CORSMiddleware(self.relayed, **headers)) as relay:  # type: ignore[arg-type]
            self.surfaces = msgspec.structs.replace(self.surfaces, relay=relay)
            app = self.app()
            app.router.routes.append(Route("/v1/hallmark/ohttp-keys", self._own_keys))
            self.passed = Heard(app)
            with served(self.passed) as origin:
                yield origin

    def alone(self) -> str:
        """From now on one node alone is a candidate; the relay's path to it."""
        self.offered = 1
        return f"/v1/relay/{hex0x(self.gateway.net.nodes[0].address)}"

    def _door(self, node: bytes) -> SealedApp:
        gateway = self.gateway
        app = Starlette(routes=gateway.enclave_routes(node))
        return SealedApp(app, ScheduledKeys(gateway.ratchet, gateway.now))

    async def _own_keys(self, _: Request) -> Response:
        return Response(self.keys.blob, media_type="application/ohttp-keys")

    def _directory(self) -> Starlette:
        """What may be asked of the gateway sealed."""
        return Starlette(
            routes=[
                Route("/v1/hallmark/route", self._route, methods=["POST"]),
                Route("/v1/hallmark/nodes/{node}", self._node),
                Route("/v1/hallmark/receipts", self._take, methods=["POST"]),
                *(route for route in self.gateway.routes() if "receipts" in getattr(route, "path", "")),
            ]
        )

    async def _route(self, _: Request) -> Response:
        return JSONResponse(ticket_of(self.gateway, self.offered))

    async def _take(self, request: Request) -> Response:
        """As a gateway does: an entry of the log, of a receipt that it then can show the proof of."""
        entry = decode(await request.body())
        self.handed_in.append(hex0x(entry.statement.digest()))  # type: ignore[attr-defined]
        return JSONResponse({"id": self.handed_in[-1]}, 202)

    async def _node(self, request: Request) -> Response:
        return JSONResponse(self.change(record_of(self.gateway, unhex(request.path_params["node"]))))


def ticket_of(gateway: FakeGateway, offered: int | None = None) -> dict[str, Any]:
    """The answer to POST /v1/hallmark/route: every node is a candidate, or the first `offered`."""
    net = gateway.net
    named = [(hex0x(node.address), node.bundle) for node in net.nodes[:offered]]
    both = tuple(Candidate(node, hex0x(bundle.digest())) for node, bundle in named if bundle)
    size, root = net.beacon()
    place = Place(net.genesis.network, net.genesis.chain_id, size, root)
    told = Candidates(net.card.label, Mode.TEE, both, ())
    signed = sign_ticket(told, place, net.gateway.key, now=gateway.now(), nonce=os.urandom(32))
    nodes = [{"node": node, "endpoint": b.endpoint, "bundle": b.encode().decode()} for node, b in named if b]
    return {"ticket": hex0x(signed.packed), "candidates": signed.candidates.decode(), "nodes": nodes}


def record_of(gateway: FakeGateway, node: bytes) -> dict[str, Any]:
    """The honest answer to GET /v1/hallmark/nodes/{node}."""
    net, ratchet = gateway.net, gateway.ratchet
    party = next(one for one in net.nodes if one.address == node)
    assert party.bundle is not None
    assert party.configuration is not None
    assert party.evidence is not None
    window = ratchet.window(gateway.now())
    proof = gateway.notary.proof(party.registered)
    size = Checkpoint.parse(Proof.parse(proof.encode()).note.text).size
    return {
        "node": hex0x(node),
        "bundle": party.bundle.encode().decode(),
        "configuration": party.configuration.encode().decode(),
        "evidence": base64.b64encode(party.evidence.encode()).decode(),
        "registration": {
            "leaf": base64.b64encode(net.leaves[party.registered]).decode(),
            "index": party.registered,
            "proof": proof,
            "after": [base64.b64encode(leaf).decode() for leaf in net.leaves[party.registered + 1 : size]],
        },
        "sealing": {
            "window": window,
            "configurations": base64.b64encode(ratchet.blob(window)).decode(),
            "path": [hex0x(step) for step in ratchet.path(window)],
        },
    }
