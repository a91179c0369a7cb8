"""The gateway's HTTP interface, as bare ASGI. docs/gateway.md describes every path."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import parse_qs, unquote

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.errors import InvalidInput, NotFound, VerificationFailed
from hallmark.core.hashing import ZERO32
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import recover_statement
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, query_int, read_body, respond, respond_json
from hallmark.http.encoding import Compressing, accepts_gzip
from hallmark.http.errors import not_allowed
from hallmark.privacy.ohttp import KEYS_TYPE
from hallmark.services.gateway.model_history import ModelHistory
from hallmark.services.gateway.nodes import NodeDirectory
from hallmark.services.gateway.offers import Offers
from hallmark.services.gateway.outbox import Outbox
from hallmark.services.gateway.overview import Overview
from hallmark.services.gateway.page_proxy import is_page
from hallmark.services.gateway.paths import ANSWERS, normal
from hallmark.services.gateway.proxy import Proxy
from hallmark.services.gateway.receipt_status import MAX_WAIT_MS, ReceiptStatus
from hallmark.services.gateway.receipt_store import Kept
from hallmark.services.gateway.route_planner import RoutePlanner, wanted
from hallmark.services.gateway.sealed import GatewayKeys, counted, sealed_app
from hallmark.services.gateway.stop_requests import STOP_PATH
from hallmark.services.gateway.traffic import HOURS
from hallmark.services.log.settings import Quota
from hallmark.verification.trust import Trust

RECEIPT: Final = re.compile(r"/v1/hallmark/receipts/([A-Za-z0-9._:-]{1,200})")
OFFERS: Final = "/v1/hallmark/offers"
OFFERS_OF: Final = re.compile(r"/v1/hallmark/offers/(0x[0-9a-f]{40})")
HISTORY: Final = "/v1/hallmark/history"
NODES: Final = "/v1/hallmark/nodes"
NODES_OF: Final = re.compile(r"/v1/hallmark/nodes/(0x[0-9a-f]{40})")
SEALED: Final = "/v1/hallmark/sealed"
KEYS: Final = ("/v1/hallmark/keys", "/v1/hallmark/ohttp-keys")
RECEIPT_ID: Final = re.compile(r"0x[0-9a-f]{64}")
SMALL: Final = 256 * 1024
MOST_POSITION: Final = (1 << 63) - 1
NO_STORE: Final = ((b"cache-control", b"no-store"),)
# Proofs and the trust file are public: pages of other sites may read them, without any credentials.
PUBLIC: Final = ((b"access-control-allow-origin", b"*"),)

T = TypeVar("T")
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class RouteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/hallmark/route: what a client that goes to a node itself needs a ticket for."""

    model: str
    mode: str = ""
    assurance: str = ""


class API:
    """Dispatches by path; answers go through the relay."""

    def __init__(
        self,
        relay: Proxy,
        desk: ReceiptStatus,
        outbox: Outbox,
        *,
        overview: Overview,
        offers: Offers,
        history: ModelHistory,
        nodes: NodeDirectory,
        keys: GatewayKeys,
        random: Callable[[int], bytes],
        sealed_quota: Quota,
        planner: RoutePlanner,
        pages: ASGIApp,
        trust: Trust,
        clock: Callable[[], int],
        prefix: str = "",
    ) -> None:
        """`prefix`: the path below which a proxy shows the gateway; paths come with or without it."""
        self._prefix = prefix.rstrip("/")
        self._relay, self._desk, self._outbox = relay, desk, outbox
        self._overview, self._planner, self._pages, self._offers = overview, planner, pages, offers
        self._genesis, self._clock = trust.genesis(), clock
        self._nodes, self._keys, self._model_history = nodes, keys, history
        self._trust = {
            "/v1/hallmark/trust": (TRUST_NOTE + trust.to_toml().encode(), b"application/toml"),
            "/v1/hallmark/trust.json": (msgspec.json.encode(trust), b"application/json"),
        }
        self._gets: dict[str, Handler] = {
            "/v1/models": self._models,
            "/v1/hallmark/network": self._network,
            OFFERS: self._offers_now,
            NODES: self._node_list,
            HISTORY: self._history,
            **dict.fromkeys(KEYS, self._own_keys),
            **dict.fromkeys(self._trust, self._trust_file),
        }
        self._posts: dict[str, Handler] = dict.fromkeys(ANSWERS, relay.serve)
        self._posts |= {"/v1/hallmark/route": self._route, "/v1/hallmark/receipts": self._hand_in}
        self._posts[STOP_PATH] = relay.stopping.serve
        self._posts[SEALED] = counted(sealed_app(self, keys, random), sealed_quota)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        scope = normal(scope, self._prefix)
        path, method = scope["path"], scope["method"]
        if is_page(path):
            await self._pages(scope, receive, send)
            return
        allowed: tuple[str, ...] = ("GET", "HEAD")
        if path in self._posts:
            handler, allowed = self._posts[path], ("POST",)
        elif path in self._gets:
            handler = self._gets[path]
        elif path.startswith("/v1/models/"):
            handler = self._model
        elif RECEIPT.fullmatch(path):
            handler = self._receipt
        elif OFFERS_OF.fullmatch(path):
            handler = self._offers_now
        elif NODES_OF.fullmatch(path):
            handler = self._node
        else:
            raise NotFound("unknown_path", "There is nothing at this path.", "See docs/gateway.md.")
        if method not in allowed:
            raise not_allowed(*allowed)
        await handler(scope, receive, Compressing(send).send if accepts_gzip(scope) else send)

    async def _models(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond_json(send, self._overview.models())

    async def _model(self, scope: Scope, _receive: Receive, send: Send) -> None:
        label = unquote(scope["path"].removeprefix("/v1/models/"))
        await respond_json(send, self._overview.model(label))

    async def _network(self, scope: Scope, _receive: Receive, send: Send) -> None:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("hours", [None])[0]
        hours = query_int(asked, HOURS[0], low=HOURS[0], high=HOURS[-1])
        if hours not in HOURS:
            raise InvalidInput("bad_query", f"A range is one of {', '.join(map(str, HOURS))} hours.")
        await respond_json(send, self._overview.network(hours), headers=NO_STORE)

    async def _offers_now(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Every offer in force, or that of the node that the path names."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        proofs = query.get("proofs", [""])[0] == "true"
        node = OFFERS_OF.fullmatch(scope["path"])
        value = (
            await self._offers.of_node(unhex(node[1]), proofs=proofs)
            if node
            else await self._offers.listed(proofs=proofs)
        )
        await respond_json(send, value, headers=NO_STORE)

    async def _history(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        before = query_int(query.get("before", [None])[0], MOST_POSITION, low=0, high=MOST_POSITION)
        proofs = query.get("proofs", [""])[0] == "true"
        value = await self._model_history.of(query.get("model", [""])[0], proofs=proofs, before=before)
        await respond_json(send, value, headers=(*NO_STORE, *PUBLIC))

    async def _node_list(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond_json(send, self._nodes.listed(), headers=_kept(self._nodes.fresh_s()))

    async def _node(self, scope: Scope, _receive: Receive, send: Send) -> None:
        node = unhex(scope["path"].rsplit("/", 1)[1])
        shown = await self._nodes.shown(node)
        await respond_json(send, shown, headers=_kept(self._nodes.fresh_s(node)))

    async def _own_keys(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await respond(send, 200, self._keys.published, _kept(60), content_type=KEYS_TYPE.encode())

    async def _trust_file(self, scope: Scope, _receive: Receive, send: Send) -> None:
        data, content_type = self._trust[scope["path"]]
        await respond(send, 200, data, PUBLIC, content_type=content_type)

    async def _receipt(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        stage = self._desk.stage_of(query.get("wait", [""])[0])
        timeout = query_int(query.get("timeout", [None])[0], 10_000, low=0, high=MAX_WAIT_MS)
        name = scope["path"].rsplit("/", 1)[1]
        if RECEIPT_ID.fullmatch(name):
            receipt = unhex(name)
        else:
            began = self._clock()
            receipt = await self._desk.find(name, timeout if stage else 0)
            timeout = max(0, timeout - (self._clock() - began))
        view = await self._desk.view(receipt, stage, timeout)
        await respond_json(send, view.to_json(), headers=(*NO_STORE, *PUBLIC))

    async def _route(self, _scope: Scope, receive: Receive, send: Send) -> None:
        asked = _decode(await read_body(receive, SMALL), RouteRequest)
        plan = self._planner.plan(wanted(asked.model, asked.mode, asked.assurance))
        value = {
            "ticket": hex0x(plan.signed.packed),
            "candidates": plan.signed.candidates.decode(),
            "nodes": [
                {
                    "node": hex0x(node.node),
                    "endpoint": node.bundle.endpoint,
                    "bundle": node.bundle.encode().decode(),
                }
                for node in plan.order
            ],
        }
        await respond_json(send, value, headers=NO_STORE)

    async def _hand_in(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Take a receipt's log entry from its owner, whose node or gateway may have lost it."""
        data = await read_body(receive, SMALL)
        entry = decode(data)
        receipt = entry.statement
        if not isinstance(receipt, Receipt) or receipt.network != self._genesis.network:
            raise InvalidInput("bad_entry", "The entry is not a receipt of this network.")
        if recover_statement(receipt, self._genesis.chain_id, (*entry.signatures, b"")[0]) != receipt.node:
            raise VerificationFailed("bad_signature", "The receipt is not signed by the node that it names.")
        kept = Kept(receipt.digest(), data, ZERO32, b"", self._clock())
        self._outbox.add(kept)
        await respond_json(send, {"id": hex0x(kept.id)}, 202)


TRUST_NOTE: Final = (
    b"# For convenience only: whoever can change this answer can change what you trust.\n"
    b"# Get the network's trust file from somebody you have reason to believe, and compare.\n"
)


def _kept(seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of what is the same for everybody, for so long."""
    return (b"cache-control", f"public, max-age={seconds}".encode()), *PUBLIC


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "bad_json", f"The request body is not a {kind.__name__}.", "See docs/gateway.md."
        ) from error
