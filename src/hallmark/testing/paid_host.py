"""A node's host as a process with a real enclave, paid on a real chain, that may be killed: and what its
journal says, which only the test can read, because it made the root that the journal's key comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import EnclaveConfiguration, Manifest
from hallmark.core.entries import Entry
from hallmark.core.hashing import sha256
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.core.statements import PriceOffer
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.asgi import Receive, Scope, Send, read_body
from hallmark.http.serve import Listen
from hallmark.hub.artifact import pack_artifact
from hallmark.payments.accounts import Event
from hallmark.payments.journal import read_journal
from hallmark.services.enclave import identity
from hallmark.services.enclave.account_journal import NAME_TAG
from hallmark.services.node import machine, measure
from hallmark.services.node.service import load_cargo
from hallmark.services.node.settings import ModelFile, Payments, Settings
from hallmark.testing import enclaves
from hallmark.testing.anvil import CHAIN_ID
from hallmark.testing.chaos import enclave_of
from hallmark.testing.ports import free_port

FORMATS = {"digits": ("onnx", "tensor"), "pydoc": ("onnxruntime-genai", "chat")}
READY_S = 90.0
NEVER = 2**60


class PaidHost:
    """See the module docstring. `payee` is paid by the vault and by x402, `gas` sends the transactions; the
    model `slow` is the server at `upstream`.
    """

    def __init__(
        self, folder: Path, log_url: str, rpc_url: str, *, payee: bytes, gas: Key, upstream: str
    ) -> None:
        self.folder, self.owner, self.payee = folder, Key.generate(), payee
        self.port, self.health_port = free_port(), free_port()
        self._root = enclaves.root()
        for name, text in (
            ("owner", self.owner.secret.hex().encode()),
            ("gas", gas.secret.hex().encode()),
            ("root.pem", self._root.to_pem()),
        ):
            (folder / name).write_bytes(text)
        path = enclaves.usual_image()
        self.settings = Settings(
            listen=Listen(self.port),
            health=Listen(self.health_port),
            endpoint=f"https://127.0.0.1:{self.port}",
            log_url=log_url,
            origin="hallmark.test/log",
            chain_id=CHAIN_ID,
            owner_key_file=str(folder / "owner"),
            database=f"sqlite:///{folder}/node.db",
            models=tuple(_model(folder, label) for label in FORMATS),
            upstreams={"slow": upstream},
            image=str(path),
            image_cache=str(enclaves.cache()),
            development_root=str(folder / "root.pem"),
            payment=hex0x(payee),
            beacon_ms=200,
            payments=Payments(
                str(folder / "offer"),
                rpc_url=rpc_url,
                key_file=str(folder / "gas"),
                settle_seconds=5,
                confirmations=1,
                poll_ms=50,
            ),
        )
        (folder / "node.json").write_bytes(msgspec.json.encode(self.settings))
        found = measure.inspect(path, machine.detect())
        self._secret = _sealed(self._root, [found.pcr0, found.pcr1, found.pcr2])
        cargo = load_cargo(self.settings, self.owner, machine.detect())
        self.configuration = EnclaveConfiguration.decode(cargo.configuration)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settlement(self) -> Key:
        """The key that every enclave of this node signs settlements with."""
        return Key(identity.sealed_key(identity.SETTLEMENT_TAG, self._secret, self.configuration))

    def offer(self, asset: bytes, vault: bytes, prices: tuple[Price, ...]) -> None:
        """The owner's offer, for the host to bring to its enclaves."""
        since = time.time_ns() // 1_000_000 - 1_000
        document = Offer(
            network=self.configuration.network,
            owner=hex0x(self.owner.address),
            payee=hex0x(self.payee),
            asset=Asset(
                CHAIN_ID, hex0x(asset), 6, "DEV", "Hallmark Development Money", "1", development=True
            ),
            vault=hex0x(vault),
            prices=prices,
            free=FreeUse(),
            since=since,
            until=NEVER,
        )
        statement = PriceOffer(
            unhex(self.configuration.network), self.owner.address, document.digest(), since
        )
        signature = sign_statement(statement, CHAIN_ID, self.owner)
        entry = Entry(statement, (signature,), (document.encode(),)).encode()
        (self.folder / "offer").write_bytes(entry)

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "hallmark.services.node", "--config", str(self.folder / "node.json")]
        with (self.folder / "stderr").open("ab") as errors:
            self._process = subprocess.Popen(command, stderr=errors)

    async def ready(self) -> dict[str, Any]:
        """Until an enclave serves, has the offer, and takes every way to pay; what /healthz says then."""
        async with asyncio.timeout(READY_S), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self._process is not None
                assert self._process.poll() is None, self.said()
                with contextlib.suppress(httpx.HTTPError):
                    state: dict[str, Any] = (
                        await client.get(f"http://127.0.0.1:{self.health_port}/healthz")
                    ).json()
                    x402 = (state.get("payments") or {}).get("x402") or {}
                    if state.get("state") == "ready" and x402.get("permit2") and x402.get("taken"):
                        return state
                await asyncio.sleep(0.05)

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "stderr").read_text()[-4_000:]

    def pids(self) -> tuple[int, int]:
        """Host and enclave; 0 for one that does not live."""
        if self._process is None or self._process.poll() is not None:
            return 0, 0
        return self._process.pid, enclave_of(self._process.pid)

    def kill(self, victims: tuple[str, ...]) -> tuple[str, ...]:
        """SIGKILL to `host`, `enclave` or both, in this order; those that lived."""
        living = dict(zip(("host", "enclave"), self.pids(), strict=True))
        struck = tuple(one for one in victims if living[one])
        for one in struck:
            with contextlib.suppress(ProcessLookupError):
                os.kill(living[one], signal.SIGKILL)
        return struck

    async def over(self) -> None:
        """Until the killed host is gone, and its enclave with it."""
        if self._process is not None and self._process.poll() is None:
            await asyncio.to_thread(self._process.wait, 30)

    async def stop(self) -> None:
        """End whatever is left."""
        self.kill(("host", "enclave"))
        await self.over()

    def journal(self) -> tuple[Event, ...]:
        """Every event of the journal that the host has, opened."""
        found = [path for path in self.folder.glob("node.db.journal-*") if not path.name.endswith(".new")]
        if not found:
            return ()
        (path,) = found
        key = identity.sealed_key(identity.JOURNAL_TAG, self._secret, self.configuration)
        return read_journal(path.read_bytes(), key, sha256(NAME_TAG, key)).events


def _sealed(root: DevelopmentRoot, registers: list[str]) -> bytes:
    return root.sealing_secret([bytes.fromhex(one) for one in registers])


def _model(folder: Path, label: str) -> ModelFile:
    """A model of this repository as a file with its manifest."""
    form, task = FORMATS[label]
    models = Path(__file__).parents[3] / "models"
    data = pack_artifact(models / label / "artifact")
    manifest = Manifest(
        label=label,
        version="1",
        artifact=hex0x(sha256(label.encode())),
        sha256=hex0x(sha256(data)),
        size=len(data),
        format=form,
        task=task,
        card=enclaves.ZERO,
    )
    (folder / f"{label}.artifact").write_bytes(data)
    (folder / f"{label}.manifest").write_bytes(manifest.encode())
    return ModelFile(label, str(folder / f"{label}.manifest"), str(folder / f"{label}.artifact"))


class SlowServer:
    """An OpenAI-compatible server that streams `pieces` pieces of text, one each `pause_s`, and counts so
    many tokens; `tokens_in` are what it says that every prompt has.
    """

    def __init__(self, *, pieces: int, pause_s: float, tokens_in: int) -> None:
        self._pieces, self._pause_s = pieces, pause_s
        self._usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": pieces,
            "total_tokens": tokens_in + pieces,
        }

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await read_body(receive, 1 << 20)
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        for number in range(self._pieces):
            ends = "stop" if number == self._pieces - 1 else None
            delta = {"index": 0, "delta": {"content": f"{number} "}, "finish_reason": ends}
            await send(_event({"choices": [delta]}))
            await asyncio.sleep(self._pause_s)
        await send(_event({"choices": [], "usage": self._usage}))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def _event(members: dict[str, Any]) -> dict[str, Any]:
    common = {"id": "slow-1", "object": "chat.completion.chunk", "created": 1, "model": "slow"}
    body = b"data: " + msgspec.json.encode(common | members) + b"\n\n"
    return {"type": "http.response.body", "body": body, "more_body": True}


class Cut(msgspec.Struct):
    """What one client got until its connection was over: the status (0: no head came), and the body's parts
    as the enclave wrote them, each in one piece; `whole` when the body is complete.
    """

    status: int = 0
    headers: Mapping[str, str] = {}
    parts: tuple[bytes, ...] = ()
    whole: bool = False

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)


class _Wire(asyncio.Protocol):
    """Keeps every byte that came, also where the connection then breaks."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self.data, self._heard = bytearray(), heard
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
        self._heard()

    def connection_lost(self, _error: Exception | None) -> None:
        """It is over."""
        if not self.over.done():
            self.over.set_result(None)


async def ask(
    port: int, path: str, body: bytes, headers: Mapping[str, str], heard: Callable[[], None] = lambda: None
) -> Cut:
    """One request straight to an enclave, once; what came of it, however it ended. `heard` is called whenever
    something comes.
    """
    loop, lines = (
        asyncio.get_running_loop(),
        "".join(f"{name}: {value}\r\n" for name, value in headers.items()),
    )
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
    )
    try:
        transport, wire = await loop.create_connection(
            lambda: _Wire(heard), "127.0.0.1", port, ssl=enclaves.blind_context(), server_hostname="enclave"
        )
    except OSError:
        return Cut()
    transport.write(head.encode() + body)
    try:
        await wire.over
    finally:
        transport.abort()
    return _read(bytes(wire.data))


def _read(data: bytes) -> Cut:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return Cut()
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    status = int(first.split(" ")[1])
    if headers.get("transfer-encoding") != "chunked":
        return Cut(status, headers, (body,), len(body) == int(headers.get("content-length", "-1")))
    parts, whole = _parts(body)
    return Cut(status, headers, parts, whole)


def _parts(body: bytes) -> tuple[tuple[bytes, ...], bool]:
    """The chunks of a body, the last one as far as it came; whether the closing one did."""
    parts = list[bytes]()
    while body:
        size, found, rest = body.partition(b"\r\n")
        if not found:
            break
        length = int(size, 16)
        if not length:
            return tuple(parts), True
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return tuple(parts), False
