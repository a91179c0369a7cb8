"""A little network whose nodes take sealed requests, with a relay in front of it, all over real sockets.

    async with SealedNetwork() as local:
        local.relay_url              # where clients go
        local.relay.mischief = Mischief.TRUNCATE
        local.directory.change = lambda record: {...}      # a gateway that shows something else

The nodes' sealed door and the gateway's are the product's (`services.sealing.server`); the relay is a double
that misbehaves on demand (`testing.relays`), and so is what the gateway shows of nodes (`Directory`).
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidates
from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import KEM_X25519, KEM_XWING, PrivateKey, make_key
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind
from hallmark.privacy.key_configurations import SYMMETRIC, Ratchet
from hallmark.privacy.ohttp import KeyConfiguration, encode_list
from hallmark.routing.ticket import Place, sign_ticket
from hallmark.services.relay.info import SEALED
from hallmark.services.sealing.keys import ScheduledKeys, Window
from hallmark.services.sealing.server import SealedApp
from hallmark.testing.listening import listening
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.local_node import LocalNode
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.ports import free_port
from hallmark.testing.relays import LittleRelay, MisbehavingRelay, over

HOUR_MS = 3_600_000
NODE = "/v1/hallmark/nodes/"

Change = Callable[[dict[str, Any]], dict[str, Any]]


class LittleNetworkNow(LittleNetwork):
    """A little network of today, so that clients can go by their own clocks."""

    def __init__(self) -> None:
        self.start = time.time_ns() // 1_000_000
        super().__init__(found=False)


class SealedNode(LocalNode):
    """A node that takes sealed requests as well."""

    def __init__(self, net: LittleNetwork, party: Party, ratchet: Ratchet) -> None:
        super().__init__(net, party)
        self.keys = ScheduledKeys(ratchet, lambda: net.now)
        self.door = SealedApp(self._inner, self.keys)
        self._transport: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, sealed or not."""
        if scope["type"] == "http" and scope["path"] == SEALED:
            self._transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's cycle
            await self.door(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["test.transport"] = self._transport
        await self._answer(scope, receive, send)


class GatewayKeys:
    """A gateway's two keys, as `SealedApp` takes them."""

    def __init__(self) -> None:
        made: dict[int, PrivateKey] = {
            number: make_key(kem, os.urandom(32)) for number, kem in enumerate((KEM_X25519, KEM_XWING))
        }
        shown = [KeyConfiguration(n, key.kem.id, key.public, SYMMETRIC) for n, key in made.items()]
        self.blob = encode_list(tuple(shown))
        self._window = Window(0, sha256(self.blob), made)

    def in_force(self) -> tuple[Window, ...]:
        """Always the same."""
        return (self._window,)


class Directory:
    """What is asked of the gateway sealed: node records of its own, all else from the real gateway.

    `change` alters a record before it is shown, `ticket` replaces the answer to a route request; `asked` are
    the paths that came.
    """

    def __init__(self, local: SealedNetwork) -> None:
        self._local = local
        self.change: Change = lambda record: record
        self.ticket: Change = lambda route: route
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one opened request."""
        path = scope["path"]
        self.asked.append(path)
        if path.startswith(NODE):
            await respond_json(send, self.change(self.record(unhex(path.removeprefix(NODE)))))
            return
        query = scope["query_string"].decode()
        url = self._local.url + path + (f"?{query}" if query else "")
        body = await read_body(receive, 1 << 20)
        async with self._local.pool.request(scope["method"], url, (), body) as response:
            answer = await response.read()
        if path == "/v1/hallmark/route" and response.status == 200:
            answer = msgspec.json.encode(self.ticket(msgspec.json.decode(answer)))
        await respond(send, response.status, answer)

    def record(self, node: bytes) -> dict[str, Any]:
        """The honest record of a node."""
        party = next(one for one in self._local.net.nodes if one.address == node)
        assert party.bundle is not None
        assert party.configuration is not None
        assert party.evidence is not None
        return {
            "node": hex0x(node),
            "bundle": party.bundle.encode().decode(),
            "configuration": party.configuration.encode().decode(),
            "evidence": base64.b64encode(party.evidence.encode()).decode(),
            "registration": {
                "leaf": base64.b64encode(self._local.net.leaves[party.registered]).decode(),
                "index": party.registered,
                "proof": self._local.notary.proof(party.registered),
                "after": [
                    base64.b64encode(leaf).decode() for leaf in self._local.net.leaves[party.registered + 1 :]
                ],
            },
            "sealing": self.sealing(party),
        }

    def sealing(self, party: Party, window: int | None = None) -> dict[str, Any]:
        """The keys of a window; of the present one without."""
        ratchet = self._local.ratchets[party.name]
        window = ratchet.window(self._local.net.now) if window is None else window
        return {
            "window": window,
            "configurations": base64.b64encode(ratchet.blob(window)).decode(),
            "path": [hex0x(step) for step in ratchet.path(window)],
        }


class SealedNetwork(LocalNetwork):
    """See the module docstring; an async context manager."""

    def __init__(self, **options: Any) -> None:
        super().__init__(net=LittleNetworkNow(), **options)
        self.ratchets: dict[str, Ratchet] = {}
        self.directory = Directory(self)
        self.gateway_keys = GatewayKeys()
        self.pool = Pool()
        self.relay_url = ""

    async def __aenter__(self) -> SealedNetwork:
        await super().__aenter__()
        for node in self.nodes:
            node.runtime.submit = self.log.add  # as a node's host does
        self._stack.push_async_callback(self.pool.aclose)
        doors = {
            party.address: over(self.pool, party.bundle.endpoint, unhex(party.bundle.tls_spki))
            for party in self.net.nodes
            if party.bundle is not None
        }
        gateway = SealedApp(self.directory, self.gateway_keys)
        network = self.net.genesis.network
        self.honest = LittleRelay(doors, gateway, self.gateway_keys.blob, network)
        self.relay = MisbehavingRelay(self.honest)
        sock = bind(Listen(free_port()))
        self.relay_url = await self._stack.enter_async_context(listening(Service(self.relay), sock))
        return self

    def ticket(self, candidates: Candidates, **changes: Any) -> dict[str, Any]:
        """A ticket by the network's gateway for these candidates, as POST /v1/hallmark/route answers."""
        size, root = self.net.beacon()
        genesis = self.net.genesis
        place = Place(genesis.network, genesis.chain_id, size, root)
        signer = changes.pop("signer", self.net.gateway.key)
        now = changes.pop("now", self.net.now)
        signed = sign_ticket(candidates, place, signer, now=now, nonce=os.urandom(32))
        return {"ticket": hex0x(signed.packed), "candidates": signed.candidates.decode()}

    def _node(self, party: Party) -> LocalNode:
        return SealedNode(self.net, party, self.ratchets[party.name])

    def _prepare(self, party: Party) -> Any:
        prepared = super()._prepare(party)
        seed = sha256(b"sealing", party.name.encode())
        ratchet = Ratchet(seed, since=self.net.now - HOUR_MS, every=3 * HOUR_MS, count=8)
        self.ratchets[party.name] = ratchet
        assert party.bundle is not None
        party.bundle = msgspec.structs.replace(party.bundle, sealing=ratchet.sealing)
        return prepared


def only(route: Mapping[str, Any], keep: int = 1) -> Candidates:
    """The candidates of a route, the first ones alone."""
    told = Candidates.decode(str(route["candidates"]).encode())
    return msgspec.structs.replace(told, candidates=told.candidates[:keep])
