"""HTTP of a full node.

POST /add-checkpoint            C2SP tlog-witness
POST /anchor-signature          {origin, size, root} -> {signature, address}
POST /hallmark/add-checkpoint   the same with the leaves that the checkpoint adds (`ledger.pushed`)
GET  /tile/..., /checkpoint     read-only mirror, C2SP tlog-tiles
GET  /leaves?start=N&end=M      an entry bundle
GET  /status
"""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from hallmark.core.document import Hex32, hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, query_int, read_body, respond, respond_json
from hallmark.ledger.pushed import MAX_PUSHED, PATH, Pushed
from hallmark.ledger.tiles import WIDTH, TileName, encode_bundle
from hallmark.ledger.witness import MAX_BODY, TEXT_TYPE, http_reply
from hallmark.services.fullnode.node import FullNode

BINARY = b"application/octet-stream"
FULL_TILE = ((b"cache-control", b"public, max-age=604800, immutable"),)
MAX_LEAVES = 4_096


class AnchorRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the anchoring service asks to be signed: the log's origin, a size, its root."""

    origin: str
    size: int
    root: Hex32


def create_app(node: FullNode) -> ASGIApp:
    """The app of one full node."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if (method, path) == ("POST", "/add-checkpoint"):
            body = await read_body(receive, MAX_BODY)
            await _add_checkpoint(node, Pushed(body, b""), send)
        elif (method, path) == ("POST", PATH):
            body = await read_body(receive, MAX_PUSHED)
            await _add_checkpoint(node, Pushed.parse(body), send)
        elif (method, path) == ("POST", "/anchor-signature"):
            await _anchor_signature(node, receive, send)
        elif (method, path) == ("GET", "/leaves"):
            await _served_leaves(node, scope, send)
        elif (method, path) == ("GET", "/status"):
            await respond_json(send, msgspec.to_builtins(await node.status()))
        elif (method, path) == ("GET", "/checkpoint"):
            await respond(send, 200, node.checkpoint(), content_type=TEXT_TYPE.encode())
        elif method == "GET" and path.startswith("/tile/"):
            await _tile(node, path[1:], send)
        else:
            raise NotFound("no_such_page", "There is no such page here.", "Ask for /status.")

    return app


async def _add_checkpoint(node: FullNode, pushed: Pushed, send: Send) -> None:
    try:
        line = await node.add_checkpoint(pushed.request, pushed.bundle)
    except HallmarkError as error:
        status, kind, text = http_reply(error)
        await respond(send, status, text, content_type=kind.encode())
        return
    await respond(send, 200, line, content_type=TEXT_TYPE.encode())


async def _anchor_signature(node: FullNode, receive: Receive, send: Send) -> None:
    try:
        wanted = msgspec.json.decode(await read_body(receive, 4096), type=AnchorRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_json", "The body is not {origin, size, root}.") from error
    signature = await node.anchor_signature(wanted.origin, wanted.size, unhex(wanted.root))
    await respond_json(send, {"signature": hex0x(signature), "address": hex0x(node.address)})


async def _served_leaves(node: FullNode, scope: Scope, send: Send) -> None:
    start = _number(scope, "start", 0)
    end = min(_number(scope, "end", start + MAX_LEAVES), node.store.size, start + MAX_LEAVES)
    if end < start:
        raise NotFound("no_such_entry", f"This copy has {node.store.size} entries.")
    data = encode_bundle(await node.store.leaves(start, end))
    await respond(send, 200, data, content_type=BINARY)


def _number(scope: Scope, name: str, default: int) -> int:
    values = parse_qs(scope["query_string"].decode("latin-1")).get(name)
    return query_int(values[0] if values else None, default, low=0, high=1 << 53)


async def _tile(node: FullNode, path: str, send: Send) -> None:
    name = TileName.parse(path)
    headers = FULL_TILE if name.width == WIDTH else ()
    if name.level is not None:
        data = await node.store.tile(name.level, name.index, name.width)
        await respond(send, 200, data, headers, content_type=BINARY)
        return
    start = name.index * WIDTH
    if start + name.width > node.store.size:
        raise NotFound("no_such_tile", f"This copy has {node.store.size} entries.")
    leaves = await node.store.leaves(start, start + name.width)
    await respond(send, 200, encode_bundle(leaves), headers, content_type=BINARY)
