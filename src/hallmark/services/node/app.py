"""What a node says about itself, on its own port: /healthz with its state and load, /metrics, /earnings."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import NotFound
from hallmark.http.asgi import Receive, Scope, Send, respond_json
from hallmark.http.health import SERVING, Health
from hallmark.http.serve import Service
from hallmark.services.node.health import judge
from hallmark.services.node.node import Node
from hallmark.services.node.settings import Settings
from hallmark.telemetry.metrics import Metrics


class NodeService(Service):
    """The service with a /healthz that says more than a state."""

    def __init__(self, node: Node, settings: Settings, *, problem: Callable[[], str] = str) -> None:
        metrics = Metrics()
        metrics.gauge("node_connections", "Open client connections.", lambda: node.pipes.open)
        metrics.gauge("node_piped_bytes", "Bytes passed in both directions.", lambda: node.pipes.meter.bytes)
        metrics.gauge("node_receipts", "Receipts of all enclaves since the start.", lambda: node.receipts)
        metrics.gauge("node_restarts", "Enclaves that had to be replaced.", lambda: node.restarts)
        super().__init__(self._earnings, health=self._health_now, registry=metrics.registry)
        self._node = node
        self._problem = problem
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] in ("/healthz", "/health"):
            state = self._status()
            await respond_json(send, state, 200 if state["state"] in SERVING else 503)
            return
        await super().__call__(scope, receive, send)

    def _health_now(self) -> Health:
        return judge(self._node.facts(self._problem()), time.time_ns() // 1_000_000)

    def _status(self) -> dict[str, object]:
        node, running = self._node, self._node.running
        return {
            **self.health().to_json(),
            "mode": self._settings.mode,
            "node": hex0x(running.address) if running else None,
            "bundle": hex0x(running.bundle_digest) if running else None,
            "endpoint": self._settings.endpoint,
            "connections": node.pipes.open,
            "capacity": self._settings.capacity,
            "registered_at": node.registered_at,
            "receipts": node.receipts,
            "restarts": node.restarts,
            "upstream_keys": msgspec.to_builtins(node.sealing.states),
            **node.outbox_status(),
            "payments": node.payments.status() if node.payments is not None else None,
        }

    async def _earnings(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """What came by other rails than the vault."""
        payments = self._node.payments
        if scope["path"] != "/earnings":
            raise NotFound("no_such_path", "A node's host has /healthz, /metrics and /earnings only.")
        if payments is None:
            raise NotFound("not_paid", "This node takes no payments.")
        await respond_json(send, msgspec.to_builtins(await payments.earned()))
