"""A little network over real sockets: a log, two nodes behind TLS, a gateway; all in one process.

The nodes run the enclave's own code for receipts and streams; only the engine is made up: it answers with
`ANSWER`. The log admits everything and its quorum cosigns at once, unless `log.witnessing` is False.

    async with LocalNetwork(database_url) as local:
        local.url              # the gateway
        local.nodes[0].behaviour = "busy"
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
from types import TracebackType
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Sealing
from hallmark.core.hashing import sha256
from hallmark.http.serve import Listen, Service, bind
from hallmark.privacy.key_configurations import Ratchet
from hallmark.services.gateway.app import Gateway, World
from hallmark.services.gateway.settings import Settings
from hallmark.services.sealing.keys import ScheduledKeys
from hallmark.store.raw import RawDatabase
from hallmark.testing.dossiers import Notary
from hallmark.testing.listening import listening, self_signed
from hallmark.testing.local_log import LocalLog
from hallmark.testing.local_node import LocalNode
from hallmark.testing.network import HOUR, LittleNetwork, Party
from hallmark.testing.ports import free_port
from hallmark.testing.stub_evidence import verify_stub_evidence


class LocalNetwork:
    """See the module docstring; an async context manager."""

    def __init__(
        self,
        database: str = "sqlite://",
        *,
        seed: int = 1,
        hold_ms: int = 2000,
        queue_s: float = 0.05,
        answer_s: float = 0.5,
        submit_ms: int = 0,
        net: LittleNetwork | None = None,
        with_gateway: bool = True,
        sealed: bool = False,
    ) -> None:
        """`sealed`: the nodes take sealed requests too."""
        self._sealed = sealed
        self._keys: dict[str, ScheduledKeys] = {}
        self.net = net or LittleNetwork(found=False)
        self.notary = Notary(self.net)
        self.trust = self.notary.trust()
        self._chance = random.Random(seed)  # noqa: S311 - tests want the same draws each time
        self._database = RawDatabase(database)
        self._hold_ms = hold_ms
        self._queue_s, self._answer_s = queue_s, answer_s
        self._submit_ms = submit_ms
        self._with_gateway = with_gateway
        self._tasks: list[asyncio.Future[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self.nodes: list[LocalNode] = []
        self.url = ""

    async def __aenter__(self) -> LocalNetwork:
        sockets = [self._prepare(party) for party in self.net.nodes]
        self.net.found()
        for party, (sock, context) in zip(self.net.nodes, sockets, strict=True):
            node = self._node(party)
            node.keys = self._keys.get(party.name)
            self.nodes.append(node)
            await self._stack.enter_async_context(listening(node, sock, context))
        self.log = LocalLog(self.net, self.notary)
        log = Service(self.log)
        self.log_url = await self._stack.enter_async_context(listening(log, bind(Listen(free_port()))))
        if self._with_gateway:
            await self.start_gateway()
        return self

    async def start_gateway(self, **changes: Any) -> None:
        """Start one, or another over the same database, with changed settings; `url` is its address."""
        settings = Settings(
            Listen(port=0),
            self.log_url,
            trust_file="",
            key_file="",
            database="",
            hold_ms=self._hold_ms,
            answer_s=self._answer_s,
            body=100_000,
            queue_s=self._queue_s,
            submit_ms=self._submit_ms,
            names={hex0x(node.owner.address): f"node-{n}" for n, node in enumerate(self.net.nodes, 1)},
        )
        settings = msgspec.structs.replace(settings, **changes)
        world = World(lambda: self.net.now, os.urandom, self._chance.randrange, verify_stub_evidence)
        self.gateway = Gateway(settings, self.trust, self.net.gateway.key, self._database, world)
        self._stack.push_async_callback(self.gateway.aclose)
        self._tasks += [asyncio.ensure_future(task) for task in self.gateway.tasks]
        await self.gateway.follower.reached(len(self.net.leaves), 10)
        await self.gateway.looking.look()
        self.url = await self._stack.enter_async_context(
            listening(self.gateway.service, bind(Listen(free_port())))
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.release.set()
        self.log.followers.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        self._database.close()

    def _node(self, party: Party) -> LocalNode:
        return LocalNode(self.net, party)

    def _prepare(self, party: Party) -> tuple[Any, ssl.SSLContext]:
        sock = bind(Listen(free_port()))
        context, pin = self_signed(party.name)
        endpoint = f"https://127.0.0.1:{sock.getsockname()[1]}"
        bundle = self.net.bundle(party)
        assert party.configuration is not None
        paid_at = hex0x(party.owner.address)
        party.configuration = msgspec.structs.replace(party.configuration, endpoint=endpoint, payment=paid_at)
        party.bundle = msgspec.structs.replace(
            bundle,
            endpoint=endpoint,
            payment=paid_at,
            tls_spki=hex0x(pin),
            configuration=hex0x(party.configuration.digest()),
            sealing=self._sealing(party),
        )
        return sock, context

    def _sealing(self, party: Party) -> Sealing | msgspec.UnsetType:
        """Eight windows of an hour, of which the first is half over."""
        if not self._sealed:
            return msgspec.UNSET
        seed, since = sha256(b"sealing", party.name.encode()), self.net.start - HOUR // 2
        ratchet = Ratchet(seed, since=since, every=HOUR, count=8)
        self._keys[party.name] = ScheduledKeys(ratchet, lambda: self.net.now)
        return ratchet.sealing
