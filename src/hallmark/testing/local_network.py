"""A little network over real sockets: a log, two nodes behind TLS, a gateway; all in one process.

The nodes run the enclave's own code for receipts and streams; only the engine is made up: it answers with
`ANSWER`. The log admits everything and its quorum cosigns at once, unless `log.witnessing` is False.

    async with LocalNetwork(database_url) as local:
        local.url              # the gateway
        local.nodes[0].behaviour = "busy"
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import random
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import parse_qs

import msgspec
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from uvicorn.server import ServerState

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters
from hallmark.core.entries import decode, entry_id, split_leaf
from hallmark.core.errors import Conflict, NotFound, Unavailable
from hallmark.core.receipt import RECEIPT_VERSION, Receipt
from hallmark.engines.refusals import UpstreamFailed, UpstreamLimited
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.limits import limited_protocol
from hallmark.http.serve import Listen, Service, bind
from hallmark.http.sse import event_of
from hallmark.http.tls import spki_digest
from hallmark.ledger.tiles import TileName, encode_bundle
from hallmark.services.enclave.calls import Call, Ending, answer_stream, answer_whole
from hallmark.services.enclave.routes import client_nonce
from hallmark.services.enclave.runtime import Beacon, Model, ReceiptDraft, SignedReceipt
from hallmark.services.enclave.sealing import Outcome, open_request
from hallmark.services.enclave.stopping import Stops
from hallmark.services.enclave.streaming import Emitter
from hallmark.services.gateway.app import Gateway, World
from hallmark.services.gateway.settings import Settings
from hallmark.services.log.followers import Cursor, Followers, Source
from hallmark.services.log.publisher import Head
from hallmark.store import Database
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence

ANSWER = ("It ", "is ", "a seven.")


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
            cursor = Cursor(int(query["from"][0]), tail=int(query.get("tail", ["0"])[0]) - 1)
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


class LocalRuntime:
    """The enclave's `Runtime` for a party of a little network."""

    def __init__(self, net: LittleNetwork, party: Party) -> None:
        self.net, self.party = net, party
        assert party.bundle is not None
        assert party.configuration is not None
        assert party.evidence is not None
        self.configuration = party.configuration
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
        receipt = Receipt(
            version=RECEIPT_VERSION,
            network=self.net.genesis.network,
            node=party.address,
            bundle=party.bundle.digest(),
            sequence=party.sequence,
            previous=party.previous,
            mode=party.bundle.mode,
            beacon_size=beacon.size,
            beacon_root=beacon.root,
            **fields,
        )
        entry = self.net.entry(receipt, (party.key,), *attachments)
        party.sequence, party.previous = receipt.sequence + 1, receipt.digest()
        signed = SignedReceipt(receipt, entry.signatures[0], entry.encode())
        self.signed.append(signed)
        self.submit(signed.entry)
        return signed

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
    (the answer is changed on the way); unsigned (no receipt); slow_midway (never ends after two events).
    `skew` is
    its clock less the network's, ms.
    """

    def __init__(self, net: LittleNetwork, party: Party) -> None:
        super().__init__(self._answer)
        self.party, self.runtime = party, LocalRuntime(net, party)
        self.behaviour = "ok"
        self.stops = Stops()
        self.skew = 0
        self.allows = {"request_ms": 400, "keep_alive_ms": 15_000}
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []
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
        opening = open_request(self.runtime, scope, body)
        if msgspec.json.decode(body).get("stream"):
            await answer_stream(call, opening, lambda out: self._stream(out, transport), self._ending())
        else:
            await answer_whole(call, opening, self._whole())

    async def _whole(self) -> tuple[bytes, Ending]:
        text = "".join(ANSWER)
        content = {"id": "a", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        return msgspec.json.encode(content), self._ending()

    async def _stream(self, out: Emitter, transport: asyncio.Transport) -> None:
        for number, piece in enumerate(ANSWER):
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


def self_signed(folder: Path, name: str) -> tuple[ssl.SSLContext, bytes]:
    """A server context with a fresh P-256 key, and the SHA-256 of its public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    end = start + datetime.timedelta(days=20_000)
    certificate = x509.CertificateBuilder(subject, subject, key.public_key(), 7, start, end)
    signed = certificate.sign(key, hashes.SHA256())
    pem = folder / f"{name}.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(signed.public_bytes(Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, spki_digest(signed.public_bytes(Encoding.DER))


@contextlib.asynccontextmanager
async def listening(
    app: Service, sock: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve `app` inside the block, and stop at once: open connections are cut. Gives the base URL."""
    config = uvicorn.Config(
        app, http=limited_protocol(app.limits), lifespan="off", access_log=False, log_config=None
    )
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()

    def protocol() -> asyncio.Protocol:
        return config.http_protocol_class(config=config, server_state=state, app_state={}, _loop=loop)  # type: ignore[call-arg]  # our own class

    server = await loop.create_server(protocol, sock=sock, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        for connection in tuple(state.connections):
            if connection.transport is not None:
                connection.transport.abort()


class LocalNetwork:
    """See the module docstring; an async context manager."""

    def __init__(
        self,
        database: str = "sqlite://",
        *,
        seed: int = 1,
        hold_ms: int = 2000,
        queue_s: float = 0.05,
        net: LittleNetwork | None = None,
        with_gateway: bool = True,
    ) -> None:
        self.net = net or LittleNetwork(found=False)
        self.notary = Notary(self.net)
        self.trust = self.notary.trust()
        self._chance = random.Random(seed)  # noqa: S311 - tests want the same draws each time
        self._database = Database(database)
        self._hold_ms = hold_ms
        self._queue_s = queue_s
        self._with_gateway = with_gateway
        self._tasks: list[asyncio.Future[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self.nodes: list[LocalNode] = []
        self.url = ""

    async def __aenter__(self) -> LocalNetwork:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        sockets = [self._prepare(party, folder) for party in self.net.nodes]
        self.net.found()
        for party, (sock, context) in zip(self.net.nodes, sockets, strict=True):
            node = LocalNode(self.net, party)
            self.nodes.append(node)
            await self._stack.enter_async_context(listening(node, sock, context))
        self.log = LocalLog(self.net, self.notary)
        log = Service(self.log)
        self.log_url = await self._stack.enter_async_context(listening(log, bind(Listen(port=0))))
        if self._with_gateway:
            await self._start_gateway(self.log_url)
        return self

    async def _start_gateway(self, log_url: str) -> None:
        settings = Settings(
            Listen(port=0),
            log_url,
            trust_file="",
            key_file="",
            database="",
            hold_ms=self._hold_ms,
            answer_s=0.5,
            body=100_000,
            queue_s=self._queue_s,
            names={hex0x(node.owner.address): f"node-{n}" for n, node in enumerate(self.net.nodes, 1)},
        )
        world = World(lambda: self.net.now, os.urandom, self._chance.randrange, verify_stub_evidence)
        self.gateway = Gateway(settings, self.trust, self.net.gateway.key, self._database, world)
        self._stack.push_async_callback(self.gateway.aclose)
        self._tasks = [asyncio.ensure_future(task) for task in self.gateway.tasks]
        await self.gateway.follower.reached(len(self.net.leaves), 10)
        await self.gateway.looking.look()
        self.url = await self._stack.enter_async_context(
            listening(self.gateway.service, bind(Listen(port=0)))
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.release.set()
        self.log.followers.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        self._database.close()

    def _prepare(self, party: Party, folder: Path) -> tuple[Any, ssl.SSLContext]:
        sock = bind(Listen(port=0))
        context, pin = self_signed(folder, party.name.replace(" ", "-"))
        endpoint = f"https://127.0.0.1:{sock.getsockname()[1]}"
        bundle = self.net.bundle(party)
        assert party.configuration is not None
        party.configuration = msgspec.structs.replace(party.configuration, endpoint=endpoint)
        party.bundle = msgspec.structs.replace(
            bundle,
            endpoint=endpoint,
            tls_spki=hex0x(pin),
            configuration=hex0x(party.configuration.digest()),
        )
        return sock, context
