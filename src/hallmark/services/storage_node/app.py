"""HTTP of a storage node."""

from __future__ import annotations

import asyncio
import struct
from typing import Final
from urllib.parse import unquote

from hallmark.core.blob_ids import parse_blob_text
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.crypto import bls
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.errors import not_allowed
from hallmark.hub.blob_metadata import Kind
from hallmark.hub.certificate import (
    MOST_CERTIFICATE,
    confirmation_message,
    read_certificate,
    verify_certificate,
)
from hallmark.hub.challenge import answer_challenge, draw_challenge
from hallmark.hub.committee import Committee
from hallmark.hub.slivers import line_of, prove_symbols
from hallmark.services.hub.query import number, query_of
from hallmark.services.hub.staging import Staging
from hallmark.services.storage_node.client import Listing, confirmation_of
from hallmark.services.storage_node.intake import Intake
from hallmark.services.storage_node.shelf import MOST_LISTED, Shelf, not_stored

BYTES: Final = b"application/octet-stream"
AT_ONCE: Final = 2
"""Proofs that are made at a time: anybody may ask for them, and each takes milliseconds of a processor."""


class NodeApp:
    """Serves one node: `me` is its index in the committee, `secret` its BLS key."""

    def __init__(
        self, committee: Committee, me: int, secret: bytes, *, shelf: Shelf, intake: Intake, staging: Staging
    ) -> None:
        self._committee, self._me, self._secret = committee, me, secret
        self._shelf, self._intake, self._staging = shelf, intake, staging
        self.challenged = 0
        self._proving = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        parts = [unquote(part, errors="replace") for part in raw.split("/")[1:]]
        if parts == ["v1", "blobs"]:
            _require(scope, "GET")
            await self._names(scope, send)
            return
        if parts[:2] != ["v1", "blobs"] or len(parts) < 4:
            raise _no_page()
        blob_id = parse_blob_text(parts[2])
        await self._blob(scope, receive, send, blob_id, parts[2:])

    async def _blob(
        self, scope: Scope, receive: Receive, send: Send, blob_id: bytes, parts: list[str]
    ) -> None:
        if scope["method"] == "PUT":
            self._intake.writers.writer(scope)
            match parts:
                case [name, "slivers"]:
                    await self._put(send, receive, name, blob_id)
                case [name, "certificate"]:
                    await self._put_certificate(send, receive, name)
                case _:
                    raise not_allowed("GET") if len(parts) > 1 else _no_page()
            return
        _require(scope, "GET")
        match parts:
            case [name, "metadata"]:
                await respond(send, 200, (await self._shelf.held(name)).metadata.encode(), content_type=BYTES)
            case [name, "slivers", pair, kind]:
                await self._slivers(scope, send, name, self._pair(pair), _kind(kind))
            case [name, "symbols", pair, kind]:
                await self._symbols(scope, send, name, self._pair(pair), _kind(kind))
            case [name, "confirmation", "permanent"]:
                await self._confirm(send, name, blob_id)
            case [name, "challenge", seed]:
                await self._challenge(send, name, blob_id, seed)
            case [name, "certificate"]:
                await respond(send, 200, await self._shelf.certificate(name))
            case [_, "slivers"]:
                raise not_allowed("PUT")
            case _:
                raise _no_page()

    async def _names(self, scope: Scope, send: Send) -> None:
        values = query_of(scope, "after", "limit")
        after, limit = values.get("after", ""), number(values, "limit", MOST_LISTED)
        if after:
            parse_blob_text(after)
        names = await self._shelf.names(after, max(1, min(limit, MOST_LISTED)))
        await respond_json(send, Listing(tuple(names)))

    async def _put(self, send: Send, receive: Receive, name: str, blob_id: bytes) -> None:
        pairs = self._committee.pairs(blob_id, self._me)
        await self._intake.put(name, blob_id, pairs, receive)
        await self._confirm(send, name, blob_id)

    async def _confirm(self, send: Send, name: str, blob_id: bytes) -> None:
        """Sign for what is here; for less than all of this node's pairs there is nothing to sign."""
        held = await self._shelf.held(name)
        if not set(self._committee.pairs(blob_id, self._me)) <= set(held.pairs):
            raise not_stored()
        epoch = self._committee.epoch
        signature = bls.sign(self._secret, confirmation_message(epoch, blob_id))
        await respond_json(send, confirmation_of(name, epoch, signature))

    async def _put_certificate(self, send: Send, receive: Receive, name: str) -> None:
        data = await read_body(receive, MOST_CERTIFICATE)
        certificate = read_certificate(data)
        await asyncio.to_thread(verify_certificate, certificate, self._committee, name)
        await self._shelf.keep_certificate(name, certificate.encode(), self._staging)
        await respond_json(send, {"stored": name})

    async def _slivers(self, scope: Scope, send: Send, name: str, first: int, kind: Kind) -> None:
        shards = self._committee.shards
        count = number(query_of(scope, "count"), "count", 1)
        if not 1 <= count <= shards:
            raise InvalidInput("bad_sliver", f"A request is for 1 to {shards} slivers.", "See docs/blobs.md.")
        held = await self._shelf.held(name)
        pairs = [(first + step) % shards for step in range(count)]
        size = sum(held.place(pair, kind)[1] for pair in pairs)
        headers = [(b"content-type", BYTES), (b"content-length", str(size).encode())]
        first_sliver = await self._shelf.read(name, held, pairs[0], kind)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": first_sliver, "more_body": True})
        for pair in pairs[1:]:
            data = await self._shelf.read(name, held, pair, kind)
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _symbols(self, scope: Scope, send: Send, name: str, pair: int, kind: Kind) -> None:
        most = number(query_of(scope, "most"), "most", self._committee.shards)
        held = await self._shelf.held(name)
        shape, found = held.metadata.shape, []
        index = line_of(shape, pair, kind)
        for other in [one for one in held.pairs if one != pair][:most]:
            sliver = await self._shelf.read(name, held, other, kind.other)
            if len(sliver) != held.place(other, kind.other)[1]:
                continue  # cut short on the disk: the next look mends it
            async with self._proving:
                (symbol,) = await asyncio.to_thread(prove_symbols, shape, kind.other, sliver, (index,))
            found.append(struct.pack("<H", other) + symbol.data + symbol.path)
        await respond(send, 200, b"".join(found), content_type=BYTES)

    async def _challenge(self, send: Send, name: str, blob_id: bytes, seed: str) -> None:
        try:
            drawn = draw_challenge(self._committee, self._me, blob_id, bytes.fromhex(seed))
        except ValueError:
            raise InvalidInput(
                "bad_challenge", "The seed of a challenge is no hex.", "Send 64 hex digits."
            ) from None
        held = await self._shelf.held(name)
        sliver = await self._shelf.read(name, held, drawn.pair, drawn.kind)
        if len(sliver) != held.place(drawn.pair, drawn.kind)[1]:
            raise not_stored()
        async with self._proving:
            answer = await asyncio.to_thread(answer_challenge, held.metadata, drawn, sliver)
        self.challenged += 1
        await respond(send, 200, answer, content_type=BYTES)

    def _pair(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text[:9]) >= self._committee.shards:
            raise InvalidInput(
                "bad_sliver",
                f"A sliver pair is a number below {self._committee.shards}.",
                "See docs/blobs.md.",
            )
        return int(text)


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise InvalidInput("bad_sliver", "A sliver is primary or secondary.", "See docs/blobs.md.") from None


def _require(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise not_allowed(*allowed)


def _no_page() -> HallmarkError:
    return NotFound("no_such_page", "There is no such page here.", "docs/blobs.md lists what is.")
