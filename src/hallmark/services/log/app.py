"""The log's HTTP interface, as bare ASGI. docs/log.md describes every path."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable
from hallmark.http.asgi import Receive, Scope, Send, query_int, read_body, respond, respond_json
from hallmark.ledger import proof_of_work
from hallmark.ledger.proof import Proof
from hallmark.ledger.store import LogStore
from hallmark.ledger.tiles import WIDTH, TileName, encode_bundle
from hallmark.services.log.followers import Cursor, Followers, Source, check_start
from hallmark.services.log.publisher import Head, Publisher
from hallmark.services.log.quotas import source_of
from hallmark.services.log.sequencer import Placed, Sequencer
from hallmark.services.log.submissions import Submissions

MAX_MANY = 8 * 1024 * 1024
MAX_LEAVES = 4_096
MAX_WAIT_MS = 60_000
TEXT = b"text/plain; charset=utf-8"
BINARY = b"application/octet-stream"
FRESH = ((b"cache-control", b"no-store"),)
FOREVER = ((b"cache-control", b"public, max-age=31536000, immutable"),)

Handler = Callable[["Request", Send], Awaitable[None]]


class Request(msgspec.Struct, frozen=True):
    """What a handler needs of a request: the path's variable part, its query, the body's source, whom it is
    from (`quotas.source_of`), and its proof of work.
    """

    rest: str
    query: dict[str, list[str]]
    receive: Receive
    source: bytes = b""
    nonce: bytes = b""

    def number(self, name: str, default: int, high: int) -> int:
        """A number of the query string. Raises InvalidInput `bad_query`."""
        values = self.query.get(name)
        return query_int(values[0] if values else None, default, low=0, high=high)


class Leader(msgspec.Struct, frozen=True):
    """The parts of a log that holds the lease."""

    store: LogStore
    entrance: Submissions
    sequencer: Sequencer
    publisher: Publisher
    source: Source


class LogApp:
    """Answers for the log while `leader` is set, and 503 `log_standby` before."""

    def __init__(self, followers: Followers | None = None) -> None:
        self.leader: Leader | None = None
        self.followers = followers or Followers()
        self._growth = asyncio.Event()
        self._routes: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(
            (method, re.compile(pattern), handler)
            for method, pattern, handler in (
                ("POST", "/add()", self._add),
                ("POST", "/add-many()", self._add_many),
                ("GET", "/head()", self._head),
                ("GET", "/wait()", self._wait),
                ("GET", "/proof/([0-9]{1,18})", self._proof),
                ("GET", "/inclusion/([0-9]{1,18})", self._inclusion),
                ("GET", "/find/([0-9a-f]{64})", self._find),
                ("GET", "/checkpoint()", self._checkpoint),
                ("GET", "/checkpoint/latest()", self._latest),
                ("GET", "/leaves()", self._leaves),
                ("GET", "/follow()", self._follow),
                ("GET", "/(tile/.*)", self._tile),
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path, found = scope["path"], False
        for method, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if scope["method"] == method:
                query = parse_qs(scope["query_string"].decode("latin-1"))
                host, _ = scope.get("client") or ("", 0)
                nonce = proof_of_work.read_header(dict(scope["headers"]).get(proof_of_work.HEADER))
                await handler(Request(match[1], query, receive, source_of(host), nonce), send)
                return
            found = True
        if found:
            raise InvalidInput("method_not_allowed", "This path takes another method.")
        raise NotFound("no_such_path", "The log has no such path.", "See docs/log.md.")

    def grown(self) -> None:
        """Wake whoever waits for new leaves."""
        self.followers.grown()
        self._growth.set()
        self._growth = asyncio.Event()

    @property
    def _log(self) -> Leader:
        if self.leader is None:
            raise Unavailable("log_standby", "This process is not the log.", "Ask the one that is.")
        return self.leader

    def _writable(self) -> Leader:
        log = self._log
        if log.publisher.alarm:
            raise Unavailable("log_stopped", "The log contradicts its witnesses and takes no more entries.")
        if not log.publisher.confirmed:
            raise Unavailable(
                "log_unconfirmed", "The quorum has not confirmed the log's end since its start."
            )
        return log

    async def _add(self, request: Request, send: Send) -> None:
        log = self._writable()
        log.entrance.open(request.source)
        entry = await read_body(request.receive, MAX_MANY)
        await respond_json(send, _place(await log.entrance.add(entry, request.source, request.nonce)))

    async def _add_many(self, request: Request, send: Send) -> None:
        log = self._writable()
        log.entrance.open(request.source)
        entries = log.entrance.split(await read_body(request.receive, MAX_MANY), request.source)
        outcomes = await log.entrance.add_all(entries, request.source)
        await respond_json(send, {"results": [_place(outcome) for outcome in outcomes]})

    async def _head(self, _request: Request, send: Send) -> None:
        log = self._log
        head = log.publisher.head
        value = {
            "size": log.store.size,
            "cosigned_size": head.size if head else 0,
            "signers": head.signers if head else (),
        }
        await respond_json(send, value, headers=FRESH)

    async def _wait(self, request: Request, send: Send) -> None:
        size = request.number("size", 0, 1 << 62)
        head = await self._log.publisher.wait(size, request.number("timeout", 0, MAX_WAIT_MS) / 1000)
        value = {"size": self._log.store.size, "cosigned_size": head.size, "signers": head.signers}
        await respond_json(send, value, headers=FRESH)

    async def _proof(self, request: Request, send: Send) -> None:
        log, index = self._log, int(request.rest)
        if index >= log.store.size:
            raise NotFound("no_such_entry", f"The log has {log.store.size} entries.")
        head = await log.publisher.wait(index + 1, request.number("wait", 0, MAX_WAIT_MS) / 1000)
        text = await prove(log.store, index, head)
        await respond(send, 200, text, FRESH, content_type=TEXT)

    async def _inclusion(self, request: Request, send: Send) -> None:
        """The path from an entry to the root at any size, for whoever knows that root from elsewhere."""
        store, index = self._log.store, int(request.rest)
        size = request.number("size", store.size, 1 << 62)
        if not index < size <= store.size:
            raise NotFound(
                "no_such_entry", f"The log has {store.size} entries; entry {index} is not below {size}."
            )
        path = await store.inclusion_proof(index, size)
        await respond_json(send, {"index": index, "size": size, "path": ["0x" + node.hex() for node in path]})

    async def _find(self, request: Request, send: Send) -> None:
        entry_id = bytes.fromhex(request.rest)
        found = (await self._log.store.find([entry_id])).get(entry_id)
        if found is None:
            raise NotFound("no_such_entry", "The log has no such entry.")
        await respond_json(send, {"index": found.index, "admitted": found.admitted}, headers=FRESH)

    async def _checkpoint(self, _request: Request, send: Send) -> None:
        head = self._log.publisher.head
        if head is None:
            raise Unavailable("not_witnessed_yet", "No checkpoint has been cosigned by the quorum yet.")
        await respond(send, 200, head.note.encode(), FRESH, content_type=TEXT)

    async def _latest(self, _request: Request, send: Send) -> None:
        await respond(send, 200, self._log.publisher.latest().encode(), FRESH, content_type=TEXT)

    async def _tile(self, request: Request, send: Send) -> None:
        store, name = self._log.store, TileName.parse(request.rest)
        if name.level is not None:
            data = await store.tile(name.level, name.index, name.width)
        elif (name.index * WIDTH + name.width) > store.size:
            raise NotFound("no_such_tile", f"The log has {store.size} entries: it has no such bundle yet.")
        else:
            first = name.index * WIDTH
            data = encode_bundle(await store.leaves(first, first + name.width))
        await respond(send, 200, data, FOREVER, content_type=BINARY)

    async def _leaves(self, request: Request, send: Send) -> None:
        store = self._log.store
        start = request.number("start", 0, 1 << 62)
        if start == store.size:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(request.number("wait", 0, MAX_WAIT_MS) / 1000):
                    await self._growth.wait()
        end = min(request.number("end", start + MAX_LEAVES, 1 << 62), store.size, start + MAX_LEAVES)
        if start > store.size or end < start:
            raise NotFound("no_such_entry", f"The log has {store.size} entries.")
        data = encode_bundle(await store.leaves(start, end))
        await respond(send, 200, data, FRESH, content_type=BINARY)

    async def _follow(self, request: Request, send: Send) -> None:
        log = self._log
        start = check_start(log.store, request.number("from", 0, 1 << 62))
        cursor = Cursor(
            start,
            tail=request.number("tail", 0, 1) - 1,
            leaves=not request.number("notes", 0, 1),
            every_s=request.number("every", 0, MAX_WAIT_MS) / 1000,
        )
        await self.followers.serve(log.source, cursor, request.source, request.receive, send)


async def prove(store: LogStore, index: int, head: Head) -> bytes:
    """A tlog-proof of leaf `index` under a cosigned checkpoint."""
    return Proof(index, await store.inclusion_proof(index, head.size), head.note).encode()


def _place(result: Placed | HallmarkError) -> dict[str, object]:
    if isinstance(result, Placed):
        place = {"index": result.index, "admitted": result.admitted}
        return {**place, "leaf_hash": result.leaf_hash.hex()}
    detail: dict[str, object] = getattr(result, "detail", {})
    return {"error": {"code": result.reason, "message": result.message, **detail}}
