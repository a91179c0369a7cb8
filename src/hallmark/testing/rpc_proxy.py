"""A JSON-RPC endpoint as bad as public ones can be: in front of a real one, with its faults on demand."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.testing.ports import free_port

READS = frozenset(("eth_call", "eth_getTransactionCount", "eth_getBalance", "eth_getCode"))


class RPCProxy:
    """Passes calls on to `url`. `down` answers none; `nulls` are methods that get null, or "*"; `behind`
    answers one question of three as a node would that is so many blocks behind; `late_s` is the most by which
    each answer is late, at random, so that they come in another order.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = Pool(per_origin=32)
        self._random = random.Random(8)  # noqa: S311 - which answer is a bad one
        self.down = False
        self.nulls: frozenset[str] = frozenset()
        self.behind = 0
        self.late_s = 0.0
        self.calls: dict[str, int] = {}
        self.raw: list[str] = []
        """Every transaction that was handed over, in hex."""
        self._asked = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        asked = msgspec.json.decode(await read_body(receive, 1 << 22))
        method = asked["method"]
        self.calls[method] = self.calls.get(method, 0) + 1
        self._asked.set()
        if self.down:
            await respond(send, 503, b"down")
            return
        if method == "eth_sendRawTransaction":
            self.raw.append(asked["params"][0])
        if self.late_s:
            await asyncio.sleep(self._random.random() * self.late_s)
        if method in self.nulls or "*" in self.nulls:
            told: dict[str, Any] = {"result": None}
        else:
            told = await self._ask(self._aged(asked, await self._head()))
            if method == "eth_blockNumber" and self._old():
                told["result"] = hex(max(0, int(told["result"], 16) - self.behind))
        await respond(send, 200, msgspec.json.encode({"jsonrpc": "2.0", "id": asked["id"], **told}))

    async def asked(self, method: str, times: int) -> None:
        """Until a method was asked so many times in all."""
        while self.calls.get(method, 0) < times:
            self._asked.clear()
            await self._asked.wait()

    def _old(self) -> bool:
        return self.behind > 0 and self._random.random() < 1 / 3

    async def _head(self) -> int:
        return 0 if not self.behind else int((await self._ask({"method": "eth_blockNumber"}))["result"], 16)

    def _aged(self, asked: dict[str, Any], head: int) -> dict[str, Any]:
        if asked["method"] not in READS or not self._old() or asked["params"][-1] != "latest":
            return asked
        return {**asked, "params": [*asked["params"][:-1], hex(max(0, head - self.behind))]}

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "params": [], **asked})
        headers = ((b"content-type", b"application/json"),)
        async with self._pool.request("POST", self._url, headers, body) as response:
            told = msgspec.json.decode(await response.read(1 << 24))
        return {key: told[key] for key in ("result", "error") if key in told}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The proxy's URL, while it serves."""
        async with serving(Service(self), bind(Listen(free_port())), grace_s=1) as url:
            yield url
        await self._pool.aclose()
