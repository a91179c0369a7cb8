"""Nodes of a little network: the enclave's own code, a made-up engine, behaviour that tests choose."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import msgspec

from hallmark.core.documents import Parameters
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.prices import Use
from hallmark.core.receipt import RECEIPT_VERSION, Receipt
from hallmark.engines.refusals import UpstreamFailed, UpstreamLimited
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.serve import Service
from hallmark.http.sse import event_of
from hallmark.services.enclave.answers import Call, Ending, answer_stream, answer_whole, metered
from hallmark.services.enclave.billing import Asked, Billing
from hallmark.services.enclave.metering import Meter
from hallmark.services.enclave.receipt_maker import Outcome, open_request
from hallmark.services.enclave.routes import client_nonce
from hallmark.services.enclave.runtime import Beacon, Model, ReceiptDraft, SignedReceipt
from hallmark.services.enclave.stop_requests import Stops
from hallmark.services.enclave.streaming import Emitter
from hallmark.services.gateway.paths import EDITS
from hallmark.services.sealing.keys import ScheduledKeys, shown
from hallmark.testing.network import LittleNetwork, Party

ANSWER = ("It ", "is ", "a seven.")
CONTEXT = 4_096
"""Tokens that an answer can have when nobody bounds it."""


class LocalRuntime:
    """The enclave's `Runtime` for a party of a little network."""

    def __init__(self, net: LittleNetwork, party: Party) -> None:
        self.net, self.party = net, party
        assert party.bundle is not None
        assert party.configuration is not None
        assert party.evidence is not None
        self.configuration = party.configuration
        self.configuration_document = party.configuration.encode()
        self.address = party.address
        self.bundle = party.bundle.encode()
        self.evidence = party.evidence.encode()
        manifest = net.manifest
        model = Model(manifest.label, manifest, manifest.encode(), manifest.digest(), memoryview(b""))
        self.models = {manifest.label: model}
        self.signed: list[SignedReceipt] = []
        self.submit: Callable[[bytes], object] = lambda _entry: None
        """What the node's host does with a receipt; nothing, so that tests see what the gateway does."""
        self.log_lines: list[str] = []
        self.billing: Billing | None = None
        self.sealing: ScheduledKeys | None = None

    def beacon(self) -> Beacon:
        """The log's end."""
        return Beacon(*self.net.beacon())

    def now(self) -> int:
        """The network's time."""
        return self.net.now

    def random(self, size: int) -> bytes:
        """Random bytes."""
        return os.urandom(size)

    async def sign_receipt(self, draft: ReceiptDraft) -> SignedReceipt:
        """Sign the next receipt of the party's key."""
        party, fields = self.party, msgspec.structs.asdict(draft)
        beacon, attachments = fields.pop("beacon"), fields.pop("attachments")
        assert party.bundle is not None
        asked = fields.pop("mode")
        receipt = Receipt(
            version=RECEIPT_VERSION,
            network=self.net.genesis.network,
            node=party.address,
            bundle=party.bundle.digest(),
            sequence=party.sequence,
            previous=party.previous,
            mode=party.bundle.mode if asked is None else asked,
            beacon_size=beacon.size,
            beacon_root=beacon.root,
            **fields,
        )
        entry = self.net.entry(receipt, (party.key,), *attachments)
        party.sequence, party.previous = receipt.sequence + 1, receipt.digest()
        signed = SignedReceipt(receipt, party.previous, entry.signatures[0], entry.encode())
        self.signed.append(signed)
        self.submit(signed.entry)
        return signed

    def require_room(self) -> None:
        """There is always room."""

    async def open_meter(self, asked: Asked) -> Meter:
        """By the billing that the test gave; without one nothing is offered."""
        return await self.billing.open(asked) if self.billing is not None else Meter()

    async def dial(self, name: str) -> Any:
        """There are no upstreams."""
        raise NotFound("unknown_upstream", name)

    def upstream_authorization(self, _name: str) -> bytes:
        """No upstream has a key here."""
        return b""

    def log(self, event: str, **ids: int | str) -> None:
        """Keep the line."""
        self.log_lines.append(f"{event} {ids}")


class LocalNode(Service):
    """An inference node whose behaviour tests choose.

    ok; busy (503); limited (429, an upstream's); unreachable (503, an upstream's); fail_midway (an upstream
    fails after two events); refuse (400); die (connection lost before an answer); die_midway; hang; forge
    (the answer is changed on the way); unsigned (no receipt); slow_midway (never ends after two events); says
    (what `says` holds: status, content type, body; `told` are headers beside). `skew` is its clock less the
    network's, ms.
    """

    def __init__(self, net: LittleNetwork, party: Party) -> None:
        super().__init__(self._answer)
        self.party, self.runtime = party, LocalRuntime(net, party)
        self.behaviour = "ok"
        self.stops = Stops()
        self.skew = 0
        self.says = (200, b"application/json", b"{}")
        self.told: tuple[tuple[bytes, bytes], ...] = ()
        self.allows = {"request_ms": 400, "keep_alive_ms": 15_000}
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.keys: ScheduledKeys | None = None
        """What requests are sealed to, where the node takes such."""
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, remembering the transport so that it can be cut."""
        scope["test.transport"] = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's cycle
        await super().__call__(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/hallmark/clock" and self.behaviour != "die":
            await respond_json(send, {"now": self.runtime.now() + self.skew, "limits": self.allows})
            return
        if scope["path"] == "/v1/hallmark/identity" and self.behaviour != "die":
            await respond_json(send, {"configuration": self.runtime.configuration_document.decode()})
            return
        if scope["path"] == "/v1/hallmark/keys" and self.behaviour != "die":
            await respond_json(send, shown(self.keys) if self.keys else {}, 200 if self.keys else 404)
            return
        if scope["path"] == "/v1/hallmark/stop":
            await respond_json(send, {"stopped": self.stops.stop(client_nonce(scope))})
            return
        body = await read_body(receive, 1 << 24)
        self.bodies.append(body)
        self.headers.append(dict(scope["headers"]))
        transport = scope["test.transport"]
        match self.behaviour:
            case _ if abs(self.skew) > 180_000:
                raise Unavailable("ticket_expired" if self.skew > 0 else "ticket_early", "Clocks differ.")
            case "busy":
                raise Unavailable("node_busy", "Busy.")
            case "refuse":
                await respond(send, 400, b'{"error":{"code":"unsupported_parameter","message":"No."}}')
                return
            case "limited":
                limited = UpstreamLimited("upstream_rate_limited", "Slowly.")
                limited.retry_after = "7"
                raise limited
            case "unreachable":
                raise Unavailable("upstream_unreachable", "Away.")
            case "says":
                status, kind, said = self.says
                await respond(send, status, said, self.told, content_type=kind)
                return
            case "die":
                transport.abort()
                return
            case "hang":
                await self.release.wait()
                return
            case "unsigned":
                await respond_json(send, {"choices": []})
                return
            case "forge":
                send = _forging(send)
        call = Call(self.runtime, scope, receive, send, body, self.stops)
        asked = {} if scope["path"] == EDITS else msgspec.json.decode(body)
        most = Use(len(body), asked.get("max_tokens") or CONTEXT)
        opening = await metered(call, open_request(self.runtime, scope, body), "digits", most)
        if asked.get("stream"):
            await answer_stream(
                call, opening, lambda out: self._stream(out, transport, opening.meter), self._ending()
            )
        else:
            await answer_whole(call, opening, self._whole())

    async def _whole(self) -> tuple[bytes, Ending]:
        text = "".join(ANSWER)
        content = {"id": "a", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        return msgspec.json.encode(content), self._ending()

    async def _stream(self, out: Emitter, transport: asyncio.Transport, meter: Meter) -> None:
        for number, piece in enumerate(ANSWER):
            meter.used = Use(3, number + 1)
            chunk = {"id": "a", "choices": [{"index": 0, "delta": {"content": piece}}]}
            await out.emit(event_of(msgspec.json.encode(chunk)))
            if number == 1 and self.behaviour == "fail_midway":
                raise UpstreamFailed("upstream_failed", "The upstream of 'digits' (x) failed.")
            if number == 1 and self.behaviour == "die_midway":
                # What was written leaves before the connection is cut.
                await asyncio.sleep(0.02)
                transport.abort()
            if number == 1 and self.behaviour == "slow_midway":
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise

    def _ending(self) -> Ending:
        model = self.runtime.models["digits"]
        parameters = Parameters("chat", max_tokens=16, engine="fake 1")
        return Ending(
            lambda digest: Outcome(
                response=digest, parameters=parameters, tokens_in=3, tokens_out=3, model=model
            ),
            lambda: msgspec.json.encode({"id": "a", "choices": []}),
        )


def _forging(send: Send) -> Send:
    async def forged(message: Any) -> None:
        body = message.get("body", b"")
        await send(dict(message) | ({"body": body.replace(b"seven", b"eight")} if body else {}))

    return forged
