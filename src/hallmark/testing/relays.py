"""Relays for tests: an honest one in memory, and one around any relay that misbehaves in a named way.

    relay = MisbehavingRelay(LittleRelay({address: node_app}, gateway_app, keys))
    relay.mischief = Mischief.REORDER
    async with listening(Service(relay), bind(Listen(free_port()))) as url: ...

`LittleRelay` hands a capsule to an ASGI application as POST /v1/hallmark/sealed; `over(pool, url, pin)` is
such an application for what listens elsewhere. `MisbehavingRelay` wraps the service's own application as
well. Answers that it changes are read to their end first; `delay_s` and `gate` hold one up.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.hashing import ZERO32
from hallmark.http.asgi import ASGIApp, Disconnected, Message, Receive, Scope, Send, read_body, respond_json
from hallmark.http.client import Pool
from hallmark.services.relay.info import (
    CHUNKED_REQUEST,
    CHUNKED_RESPONSE,
    INFO,
    REQUESTS,
    RESPONSE,
    SEALED,
    TO_GATEWAY,
    TO_NODE,
    RelayInfo,
    RelayKept,
    RelayLimits,
    RelayNode,
    keys_shown,
)

MOST = 64 * 1024 * 1024
NONCE = 16
"""Bytes of a response's nonce with AES-128-GCM."""


class Mischief(enum.StrEnum):
    """What a relay may do to a capsule or its answer."""

    NONE = "none"
    DELAY = "delay"
    DROP = "drop"  # a head, then the connection is closed
    SWAP_NODE = "swap_node"  # handed to another node than the one named
    TAMPER_REQUEST = "tamper_request"
    TAMPER_ANSWER = "tamper_answer"  # one bit of the middle chunk
    DUPLICATE = "duplicate"  # a chunk comes twice
    REORDER = "reorder"  # two chunks change places
    TRUNCATE = "truncate"  # the final chunk is missing, the answer ends well
    CUT = "cut"  # half an answer, then the connection is dropped
    FINAL_EARLY = "final_early"  # a chunk that is not the last is said to be the final one
    REPLAY = "replay"  # the capsule is sent twice; the second answer is handed on
    ANOTHERS_ANSWER = "anothers_answer"  # the answer to the capsule before this one
    PLAIN_ANSWER = "plain_answer"  # 200 with a made-up answer in clear
    WRONG_TYPE = "wrong_type"  # the right bytes under another media type
    SAY_STALE = "say_stale"  # refuses in the node's name: the key configuration is stale
    OTHER_KEYS = "other_keys"  # GET /v1/relay shows this client keys of its own


def over(pool: Pool, url: str, pin: bytes | None = None) -> ASGIApp:
    """An application that passes a capsule on to POST {url}/v1/hallmark/sealed, over TLS pinned to `pin`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, MOST)
        headers = [(key, value) for key, value in scope["headers"] if key != b"content-length"]
        async with pool.request("POST", url + SEALED, headers, body, pin=pin) as response:
            kept = [(k, v) for k, v in response.headers if k == b"content-type"]
            await send({"type": "http.response.start", "status": response.status, "headers": kept})
            async for chunk in response:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    return app


class LittleRelay:
    """An honest relay in memory. `seen` is all that it could know: path, media type, size of each capsule."""

    def __init__(
        self, nodes: Mapping[bytes, ASGIApp], gateway: ASGIApp, keys: bytes = b"", network: bytes = ZERO32
    ) -> None:
        self.nodes, self.gateway, self.keys, self.network = dict(nodes), gateway, keys, network
        self.seen: list[tuple[str, str, int]] = []

    def info(self) -> RelayInfo:
        """GET /v1/relay."""
        return RelayInfo(
            "little relay",
            hex0x(self.network),
            *keys_shown(self.keys),
            tuple(RelayNode(hex0x(node)) for node in self.nodes),
            RelayLimits(MOST, MOST, 100, 100),
            RelayKept(0, 0),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"]
        if path == INFO:
            await respond_json(send, self.info())
            return
        app = self.gateway if path == TO_GATEWAY else self._node(path)
        kind = next((bytes(v) for k, v in scope["headers"] if k == b"content-type"), b"")
        if kind not in REQUESTS:
            raise InvalidInput("relay_media_type", "A relay takes capsules of Oblivious HTTP alone.")
        body = await read_body(receive, MOST)
        self.seen.append((path, kind.decode(), len(body)))
        await app(_onward(scope, kind, body), _said(body, receive), send)

    def _node(self, path: str) -> ASGIApp:
        try:
            return self.nodes[unhex(path.removeprefix(TO_NODE))]
        except (KeyError, ValueError, InvalidInput):
            raise NotFound("relay_unknown_node", "No node of this name takes sealed requests.") from None


class Answer(msgspec.Struct):
    """An answer as it came back."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""

    @property
    def kind(self) -> bytes:
        """Its media type."""
        return next((v for k, v in self.headers if k == b"content-type"), b"")


class MisbehavingRelay:
    """Does `mischief` to every capsule for `only` (a path; empty: every path but GET /v1/relay). `delay_s` is
    for DELAY, which also waits for `gate`; `other` is where SWAP_NODE goes, `other_keys` what OTHER_KEYS
    shows. `kept` are the answers that came so far, `done` counts how often it misbehaved.
    """

    def __init__(self, app: ASGIApp, mischief: Mischief = Mischief.NONE, *, only: str = "") -> None:
        self._app, self.mischief, self.only = app, mischief, only
        self.delay_s, self.gate = 0.0, asyncio.Event()
        self.gate.set()
        self.other, self.other_keys, self.nonce = "", b"", NONCE
        self.kept: list[Answer] = []
        self.done = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, after its fashion."""
        path, mischief = scope["path"], self.mischief
        if path == INFO:
            await self._info(scope, receive, send)
            return
        if scope["method"] != "POST" or (self.only and path != self.only):
            mischief = Mischief.NONE
        body = await read_body(receive, MOST)
        if mischief is not Mischief.NONE:
            self.done += 1
        if mischief is Mischief.DROP:
            # A head, so that the server has nothing of its own to say.
            head = [(b"content-type", CHUNKED_RESPONSE), (b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            raise Disconnected
        if mischief is Mischief.DELAY:
            await asyncio.sleep(self.delay_s)
            await self.gate.wait()
        if mischief is Mischief.TAMPER_REQUEST:
            body = flipped(body, len(body) // 2)
        if mischief is Mischief.SWAP_NODE:
            scope = {**scope, "path": self.other, "raw_path": self.other.encode()}
        if mischief in (Mischief.NONE, Mischief.DELAY, Mischief.SWAP_NODE, Mischief.TAMPER_REQUEST):
            await self._app(scope, _said(body, receive), self._keeping(send))
            return
        if mischief is Mischief.PLAIN_ANSWER:
            await respond_json(send, {"object": "chat.completion", "choices": []})
            return
        if mischief is Mischief.SAY_STALE:
            error = {"message": "The key configuration is stale.", "code": "key_configuration_stale"}
            await respond_json(send, {"error": error}, 400)
            return
        await self._changed(mischief, scope, body, receive, send=send)

    async def _changed(
        self, mischief: Mischief, scope: Scope, body: bytes, receive: Receive, *, send: Send
    ) -> None:
        before = self.kept[-1] if self.kept else None
        for _ in range(2 if mischief is Mischief.REPLAY else 1):
            answer = Answer()
            await self._app(scope, _said(body, receive), _into(answer))
            self.kept.append(answer)
        if mischief is Mischief.ANOTHERS_ANSWER and before is not None:
            answer = before
        if mischief is Mischief.WRONG_TYPE:
            answer = Answer(answer.status, [(b"content-type", b"application/json")], answer.body)
        data = changed(answer.body, mischief, answer.kind, self.nonce)
        kept = [(key, value) for key, value in answer.headers if key != b"content-length"]
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        if mischief is Mischief.CUT:
            await send({"type": "http.response.body", "body": data[: len(data) // 2], "more_body": True})
            raise Disconnected
        await send({"type": "http.response.body", "body": data})

    async def _info(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.mischief is not Mischief.OTHER_KEYS:
            await self._app(scope, receive, send)
            return
        answer = Answer()
        await self._app(scope, receive, _into(answer))
        info = msgspec.json.decode(answer.body, type=RelayInfo)
        shown, digest = keys_shown(self.other_keys)
        self.done += 1
        await respond_json(send, msgspec.structs.replace(info, configurations=shown, digest=digest))

    def _keeping(self, send: Send) -> Send:
        answer = Answer()
        self.kept.append(answer)
        into = _into(answer)

        async def both(message: Message) -> None:
            await into(message)
            await send(message)

        return both


def changed(data: bytes, mischief: Mischief, kind: bytes = CHUNKED_RESPONSE, nonce: int = NONCE) -> bytes:
    """An answer after such a mischief; one with too few chunks for it is cut short, or a bit is flipped."""
    if mischief is Mischief.TAMPER_ANSWER:
        return flipped(data, len(data) // 2)
    if kind == RESPONSE:
        short = mischief in (Mischief.TRUNCATE, Mischief.REORDER, Mischief.DUPLICATE, Mischief.FINAL_EARLY)
        return data[:-1] if short else data
    head, chunks = sealed_chunks(data, nonce)
    if mischief is Mischief.TRUNCATE:
        return head + b"".join(chunk for chunk in chunks[:-1])
    if mischief is Mischief.DUPLICATE:
        return head + b"".join((chunks[0], *chunks))
    if mischief is Mischief.REORDER:
        if len(chunks) < 3:
            return flipped(data, len(data) // 2)
        return head + b"".join((chunks[1], chunks[0], *chunks[2:]))
    if mischief is Mischief.FINAL_EARLY:
        first = chunks[0]
        return head + b"\0" + first[varint(first)[1] :]
    return data


def sealed_chunks(data: bytes, nonce: int = NONCE) -> tuple[bytes, list[bytes]]:
    """Nonce and framed chunks of a chunked response (draft-ietf-ohai-chunked-ohttp-08 section 3.2); the final
    chunk, which begins with a zero, runs to the end.
    """
    chunks, at = [], nonce
    while at < len(data):
        length, size = varint(data[at:])
        end = len(data) if length == 0 else at + size + length
        chunks.append(data[at:end])
        at = end
    return data[:nonce], chunks


def varint(data: bytes) -> tuple[int, int]:
    """Value and size of a variable-length integer (RFC 9000 section 16)."""
    size = 1 << (data[0] >> 6)
    return int.from_bytes(data[:size], "big") & ((1 << (8 * size - 2)) - 1), size


def flipped(data: bytes, at: int) -> bytes:
    """`data` with one bit of one byte flipped."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _onward(scope: Scope, kind: bytes, body: bytes) -> Scope:
    headers = [(b"content-type", kind or CHUNKED_REQUEST), (b"content-length", str(len(body)).encode())]
    return {**scope, "path": SEALED, "raw_path": SEALED.encode(), "query_string": b"", "headers": headers}


def _said(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read before, then what else the client says."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _into(answer: Answer) -> Send:
    async def take(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(bytes(k), bytes(v)) for k, v in message.get("headers", ())]
        else:
            answer.body += message.get("body", b"")

    return take
