"""The log's HTTP interface over a little network's leaves, in the process of the test."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast
from urllib.parse import parse_qs

from hallmark.core.entries import decode, entry_id, split_leaf
from hallmark.core.errors import Conflict, NotFound, Unavailable
from hallmark.core.receipt import Receipt
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.ledger.tiles import TileName, encode_bundle
from hallmark.services.log.followers import Cursor, Followers, Source
from hallmark.services.log.publisher import Head
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork


class LocalLog:
    """The log's HTTP interface over a little network's leaves."""

    def __init__(self, net: LittleNetwork, notary: Notary) -> None:
        self.net, self.notary = net, notary
        self.witnessing = True
        self.down = False
        self.ranges = True
        self.witnessed = net.tree.size
        self.adds = 0
        self.receipts: set[bytes] = set()
        self.added = asyncio.Event()
        self.places = {entry_id(split_leaf(leaf)[1]): i for i, leaf in enumerate(net.leaves)}
        self._grown = asyncio.Event()
        self.paths: list[str] = []
        """Every path that was asked for."""
        self.tells = True
        self.followers = Followers()
        self._source = Source(cast(Any, self), cast(Any, self))

    @property
    def size(self) -> int:
        """As a `LogStore` has it."""
        return len(self.net.leaves)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """As a `LogStore` has it."""
        return self.net.leaves[start:end]

    @property
    def head(self) -> Head:
        """As a `Publisher` has it."""
        return Head(self.witnessed, self.notary.cosigned(self.witnessed), ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path, query = scope["path"], parse_qs(scope["query_string"].decode())
        self.paths.append(path)
        if self.down:
            raise Unavailable("log_standby", "Down.")
        if path == "/follow" and self.tells:
            asked = {name: int(values[0]) for name, values in query.items()}
            tail, rest = asked.get("tail", 0) - 1, asked.get("every", 0) / 1000
            cursor = Cursor(asked.get("from", 0), tail=tail, leaves=not asked.get("notes"), every_s=rest)
            await self.followers.serve(self._source, cursor, b"", receive, send)
        elif path == "/add":
            self.adds += 1
            await respond_json(send, self.add(await read_body(receive, 70_000)))
        elif path == "/checkpoint":
            await respond(send, 200, self.notary.cosigned(self.witnessed).encode())
        elif path == "/wait":
            await self._wait(int(query["size"][0]), int(query["timeout"][0]))
            if self.witnessed < int(query["size"][0]):
                raise Unavailable("not_witnessed_yet", "Not yet.")
            await respond_json(send, {"cosigned_size": self.witnessed})
        elif path == "/leaves" and self.ranges:
            leaves = self.net.leaves[int(query["start"][0]) : int(query["end"][0])]
            await respond(send, 200, encode_bundle(leaves))
        elif path.startswith("/tile/entries/"):
            name = TileName.parse(path[1:])
            start = name.index * 256
            await respond(send, 200, encode_bundle(self.net.leaves[start : start + name.width]))
        elif path.startswith("/proof/"):
            index = int(path.split("/")[2])
            await self._wait(index + 1, int(query["wait"][0]))
            if index >= self.witnessed:
                raise Unavailable("not_witnessed_yet", "Not yet.")
            await respond(send, 200, self.notary.proof(index, self.witnessed).encode())
        else:
            raise NotFound("no_such_path", "No such path.")

    def witness(self) -> None:
        """The quorum cosigns everything that there is."""
        self.witnessed = self.net.tree.size
        self._grown.set()
        self._grown = asyncio.Event()
        self.followers.cosigned()

    def add(self, data: bytes) -> dict[str, int]:
        """Admit an entry, once; a receipt only after its predecessor. Raises Conflict
        `receipt_out_of_order`.
        """
        name = entry_id(data)
        if name not in self.places:
            receipt = decode(data).statement
            if isinstance(receipt, Receipt):
                if receipt.sequence > 0 and receipt.previous not in self.receipts:
                    raise Conflict("receipt_out_of_order", "Its predecessor is not in the log.")
                self.receipts.add(receipt.digest())
            self.places[name] = self.net.add(data)
            self.added.set()
            self.followers.grown()
            if self.witnessing:
                self.witness()
        index = self.places[name]
        return {"index": index, "admitted": split_leaf(self.net.leaves[index])[0]}

    async def _wait(self, size: int, timeout_ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                while self.witnessed < size:
                    await self._grown.wait()
