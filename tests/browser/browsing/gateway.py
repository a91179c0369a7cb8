"""A gateway that answers what a test tells it to, with receipts that are really signed and really proved.

Everything behind it is a little network in memory with development evidence: the browser verifies its bytes
like any other, and what it should find is what `hallmark.verification` finds in the same dossier.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.claims import Facts
from hallmark.attestation import verify
from hallmark.core.answer import DONE, hallmark_event
from hallmark.core.beacon import EMPTY_ROOT
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import Candidates, InputRecord, SealedPath, Sealing, UpstreamRecord
from hallmark.core.hashing import sha256
from hallmark.core.marks import Finding, Question
from hallmark.core.money import FreeUse, Payment
from hallmark.core.policy import waive
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.core.shown import shown
from hallmark.core.statements import Ticket
from hallmark.http.asgi import Scope
from hallmark.privacy.key_configurations import Ratchet
from hallmark.services.sealing.inner import came_sealed
from hallmark.testing.answers import PATH, Answer
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import Party
from hallmark.testing.payments import offer, payment, price_offer, spend_bytes
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier
from hallmark.verification.tree import root_of

MEMORY_AGE = 90 * 86_400_000
PROVIDER = UpstreamRecord("provider.example", "https://provider.example/v1", "large", "large-2025", "r1")


class Fresh(DevelopmentNetwork):
    """A network that was founded a moment ago by the clock that the browser has as well."""

    start = 0

    def __init__(self, sealing: Sealing) -> None:
        type(self).start = int(time.time() * 1000) - 60_000
        super().__init__(sealing=sealing)


class Given(msgspec.Struct, frozen=True):
    """What the next answer says and what its receipt names. `against`: what the network holds against it.
    `together`: it is not given before so many requests have come. `endless`: it stays open after its text
    until it is stopped. `charged`: a payer is charged for it; `refused`: it has a price, and no payment came.
    """

    text: str = "Seven."
    pieces: int = 3
    upstream: bool = False
    memory: bool = False
    charged: bool = False
    refused: bool = False
    node: int = 0
    against: tuple[Finding, ...] = ()
    together: int = 1
    endless: bool = False


class FakeGateway:
    """Routes under /v1. `proving` false: the log takes receipts, and no full node cosigns anything. `ratchet`
    has the keys that its nodes' bundles name; `asked_of` are the nodes that were asked sealed.
    """

    def __init__(self) -> None:
        self.ratchet = Ratchet(sha256(b"sealing"), since=self.now() - 3_600_000, every=3 * 3_600_000, count=4)
        self.net = Fresh(self.ratchet.sealing)
        self.asked_of: list[bytes] = []
        self.notary = Notary(self.net)
        self.trust = self.net.trust(self.notary)
        self.terms = offer(self.net, free=FreeUse(4_000, 512), until=self.net.now + 10 * 86_400_000)
        self.net.add(price_offer(self.net, self.terms))
        self.given, self.proving = Given(), True
        self.asked: list[dict[str, Any]] = []
        self._answers: dict[str, tuple[Answer, Given]] = {}
        self._logged: dict[str, int] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._barrier: asyncio.Barrier | None = None

    def routes(self) -> list[BaseRoute]:
        """What the chat asks a gateway for."""
        return [
            Route("/v1/models", self._models),
            Route("/v1/hallmark/trust.json", self._trust),
            Route("/v1/hallmark/offers", self._offers),
            Route(PATH, self._ask, methods=["POST"]),
            Route("/v1/hallmark/receipts/{id}", self._receipt),
            Route("/v1/hallmark/stop", self._stop, methods=["POST"]),
        ]

    def enclave_routes(self, node: bytes) -> list[BaseRoute]:
        """What a node's enclave answers under its seal."""

        async def ask(request: Request) -> Response:
            self.asked_of.append(node)
            return await self._ask(request)

        stop = Route("/v1/hallmark/stop", self._stop, methods=["POST"])
        return [Route(PATH, ask, methods=["POST"]), stop]

    def newest(self) -> str:
        """The id of the newest receipt."""
        return next(reversed(self._answers))

    def knows(self, receipt: str) -> bool:
        """Whether it made this receipt."""
        return receipt in self._answers

    def saved(self, receipt: str) -> Dossier:
        """What who asked has of an answer: the dossier with request and answer."""
        return self._dossier(receipt)

    def facts(self, receipt: str) -> Facts:
        """What stands about a receipt, by the Python verifier of the same bytes."""
        answer, given = self._answers[receipt]
        verified = verify_dossier(
            self._dossier(receipt),
            self.trust,
            self.now(),
            verify_evidence=verify,
            verify_proof=proof_verifier(self.trust),
            status=given.against,
        )
        item = verified.decide("witnessed").outcome.value
        return Facts.of(
            shown(waive(self.trust.clearing("witnessed"), verified.marks)),
            path=answer.route.path,
            preserved=given.memory,
            item=item,
            policy="witnessed",
            label=self.net.card.label if given.upstream else "",
        )

    async def _models(self, _: Request) -> Response:
        facts = {
            "artifact": self.net.manifest.artifact,
            "version": self.net.manifest.version,
            "task": "chat",
            "description": "Handwritten digits.",
            "modes": ["tee"],
            "nodes": 2,
            "capacity": 8,
            "provider": PROVIDER.provider if self.given.upstream else "",
        }
        model = {
            "id": self.net.card.label,
            "object": "model",
            "created": 1,
            "owned_by": "",
            "hallmark": facts,
        }
        return JSONResponse({"object": "list", "data": [model]})

    async def _offers(self, _: Request) -> Response:
        nodes = [{"models": [self.net.card.label]}]
        return JSONResponse({"offers": [{**msgspec.to_builtins(self.terms), "nodes": nodes}]}, headers=SHARED)

    async def _trust(self, _: Request) -> Response:
        return Response(msgspec.json.encode(self.trust), media_type="application/json", headers=SHARED)

    async def _ask(self, request: Request) -> Response:
        body, nonce = await request.body(), request.headers.get("hallmark-nonce", "00" * 32)
        self.asked.append(json.loads(body))
        if self.given.refused:
            return JSONResponse({"error": REFUSED}, 402)
        if self.given.together > 1:
            self._barrier = self._barrier or asyncio.Barrier(self.given.together)
            await self._barrier.wait()
        chunks = list(_chunks(self.given))
        way = _Way.of(request.scope, self.asked_of)
        if self.given.endless:
            return StreamingResponse(self._endless(body, chunks, nonce, way), media_type="text/event-stream")
        end = self._end(body, chunks, nonce, way)
        return StreamingResponse(iter([*chunks, end]), media_type="text/event-stream")

    async def _endless(
        self, body: bytes, chunks: list[bytes], nonce: str, way: _Way | None
    ) -> AsyncIterator[bytes]:
        """Every chunk, and when it is stopped the receipt over them."""
        self._stops[nonce] = asyncio.Event()
        for chunk in chunks:
            yield chunk
        await self._stops[nonce].wait()
        yield self._end(body, chunks, nonce, way)

    async def _stop(self, request: Request) -> Response:
        self._stops[request.headers["hallmark-nonce"]].set()
        return JSONResponse({"stopped": 1})

    def _end(self, body: bytes, chunks: list[bytes], nonce: str, way: _Way | None) -> bytes:
        """The receipt's event over these chunks, and the end."""
        answer = self._answer(body, b"".join(chunks), bytes.fromhex(nonce), way)
        receipt = hex0x(answer.receipt.digest())
        self._answers[receipt] = (answer, self.given)
        self._logged[receipt] = self.net.add(answer.entry)
        early = json.loads(self.notary.dossier(answer, None).encode())
        hallmark = {name: early[name] for name in EARLY if early.get(name) is not None}
        frame = json.dumps({**FRAME, "choices": []}, separators=(",", ":")).encode()
        return hallmark_event(frame, json.dumps(hallmark, separators=(",", ":")).encode()) + DONE

    def _answer(self, body: bytes, content: bytes, nonce: bytes, way: _Way | None) -> Answer:
        """A signed answer that covers the bytes that were asked and answered."""
        net, given = self.net, self.given
        net.now = self.now()
        node = net.nodes[given.node]
        if way is not None:
            node = next(one for one in net.nodes if one.address == way.node)
        net.answers.count += 1
        salts = (net.answers.salt("request"), net.answers.salt("response"))
        net.answers.count -= 1
        memory = InputRecord("memory", "0x" + "02" * 32, "notes", net.now - MEMORY_AGE)
        records = (memory,) if given.memory else ()
        with _ticketed(net.answers, way):
            answer = self._made(node, way, body, content, nonce=nonce, salts=salts, records=records)
        terms = self.terms if given.charged else None
        return msgspec.structs.replace(answer, request=body, response=content, offer=terms)

    def _made(
        self,
        node: Party,
        way: _Way | None,
        body: bytes,
        content: bytes,
        *,
        nonce: bytes,
        salts: Any,
        records: Any,
    ) -> Answer:
        given = self.given
        root = root_of(record.encode() for record in records) if records else EMPTY_ROOT
        return self.net.answers.make(
            node,
            sealed=None if way is None else way.sealed,
            paid=self._pay if given.charged else None,
            request=request_digest(salts[0], PATH, body),
            response=response_digest(salts[1], content),
            client_nonce=nonce,
            upstream_record=PROVIDER if given.upstream else None,
            inputs=records,
            inputs_root=root,
        )

    def _pay(self, receipt: Receipt) -> tuple[Payment, bytes]:
        """What an honest enclave attaches to a receipt that a payer is charged for."""
        nonce = self.net.answers.salt("spend")
        spent = spend_bytes(self.net, unhex(self.terms.payee), 1_000, nonce=nonce)
        return payment(receipt, self.terms, spent), spent

    async def _receipt(self, request: Request) -> Response:
        receipt = request.path_params["id"]
        if receipt not in self._answers:
            return JSONResponse(
                {"error": {"code": "unknown_receipt", "message": "No such receipt."}}, 404, SHARED
            )
        told = json.loads(self._dossier(receipt).encode())
        for owned in ("salts", "request", "response"):
            told.pop(owned, None)
        status = [{**msgspec.to_builtins(f), "evidence": ""} for f in self._answers[receipt][1].against]
        stage = "witnessed" if self.proving else "logged"
        return JSONResponse({**told, "stage": stage, "reason": "", "status": status}, headers=SHARED)

    def _dossier(self, receipt: str) -> Dossier:
        answer, _ = self._answers[receipt]
        return self.notary.dossier(answer, self._logged[receipt] if self.proving else None)

    @staticmethod
    def now() -> int:
        """Unix ms."""
        return int(time.time() * 1000)


class _Way(msgspec.Struct, frozen=True):
    """How a sealed request came: at which node, under which ticket, and what its door says of it."""

    node: bytes
    ticket: bytes
    candidates: Candidates
    sealed: SealedPath

    @classmethod
    def of(cls, scope: Scope, asked_of: list[bytes]) -> _Way | None:
        """Nothing for a plain one."""
        came = came_sealed(scope)
        if came is None:
            return None
        told = dict(scope["headers"])
        return cls(
            asked_of[-1],
            base64.b64decode(told[b"hallmark-ticket"]),
            Candidates.decode(base64.b64decode(told[b"hallmark-candidates"])),
            SealedPath(hex0x(came.configuration), came.window, came.suite, came.size, came.relay),
        )


@contextlib.contextmanager
def _ticketed(answers: Any, way: _Way | None) -> Iterator[None]:
    """Answers are made under the ticket that came with the request, where one did."""
    if way is not None:
        packed = way.ticket
        answers.candidates = lambda _: way.candidates
        answers.ticket = lambda _: (Ticket.unpack(packed[:-65]), packed)
    try:
        yield
    finally:
        for name in ("candidates", "ticket"):
            vars(answers).pop(name, None)


# Proofs are public: other sites may read them.
SHARED = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
REFUSED = {
    "code": "payment_required",
    "message": "This request has a price, and no payment came with it.",
    "hint": "Send Hallmark-Payment.",
}
EARLY = (
    "payment_authorization",
    "network",
    "chain_id",
    "receipt",
    "signature",
    "id",
    "documents",
    "salts",
    "ticket",
    "evidence",
    "insecure",
)
FRAME = {"id": "a1", "object": "chat.completion.chunk", "created": 1, "model": "digits"}


def _chunks(given: Given) -> Iterable[bytes]:
    """The answer's text in events, cut into `pieces`."""
    size = max(1, -(-len(given.text) // given.pieces))
    for start in range(0, len(given.text), size):
        delta = {"index": 0, "delta": {"content": given.text[start : start + size]}, "finish_reason": None}
        yield b"data: " + json.dumps({**FRAME, "choices": [delta]}).encode() + b"\n\n"


def against(question: Question, state: Any, reason: str) -> Finding:
    """What the network holds against an answer."""
    return Finding(
        question,
        state,
        "2 of 4 full nodes",
        int(time.time() * 1000),
        b"",
        reason,
        {"what": "it does not hold"},
    )
