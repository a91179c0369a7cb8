"""For tests of enclaves: images with a test application inside, requests, a log that takes everything."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hallmark.attestation.emulator import DevelopmentRoot
from hallmark.core.documents import EnclaveConfiguration
from hallmark.core.entries import decode
from hallmark.core.receipt import Receipt
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger.checkpoint import Checkpoint, sign
from hallmark.ledger.note import ED25519, SigningKey
from hallmark.services.chain.toolchain import exclusive
from hallmark.services.enclave import control
from hallmark.services.node import image, machine, measure
from hallmark.services.node.confinement import Limits, confinement
from hallmark.services.node.enclave_start import EnclaveInputs, Running
from hallmark.services.node.launch import Launcher
from hallmark.testing.ports import free_port

APPLICATION = "app/lib/hallmark/services/enclave/app.py"
ZERO = "0x" + "00" * 32
OWNER = "0x" + "11" * 20


def cache() -> Path:
    """Where images under test are kept between runs; HALLMARK_TEST_CACHE overrides."""
    return Path(os.environ.get("HALLMARK_TEST_CACHE", "/tmp/hallmark-test-images"))  # noqa: S108


@contextmanager
def making() -> Iterator[Path]:
    """The same folder, while nobody else puts something there: what is dear is made once, not by each process
    that wants it at the same moment.
    """
    cache().mkdir(parents=True, exist_ok=True)
    with exclusive(cache() / "making.lock"):
        yield cache()


def image_with(application: Path) -> Path:
    """An image that is like any other, but for the application inside."""
    with making() as kept:
        return image.build(kept, overlay={APPLICATION: application})


def usual_image() -> Path:
    """The image of this installation."""
    with making() as kept:
        return image.build(kept)


def launcher(application: Path, limits: Limits | None = None, root: str = "") -> Launcher:
    """A launcher for a test image under the strongest confinement of this machine, or with the given limits
    and the given way to hold the root.
    """
    used = machine.detect(limits)
    if root:
        used = confinement(root, used.enforced_by, used.user, used.limits)
    return Launcher(measure.seal(image_with(application)), used, cache())


def configuration(**changes: Any) -> EnclaveConfiguration:
    """A configuration of a node without models."""
    values: dict[str, Any] = {
        "network": ZERO,
        "chain_id": 31337,
        "owner": OWNER,
        "endpoint": "https://127.0.0.1:1",
        "payment": OWNER,
        "mode": 1,
        "capacity": 4,
        "models": {},
        "upstreams": {},
        "limits": {},
        "insecure": machine.insecure_facts(machine.detect()),
    }
    return EnclaveConfiguration(**(values | changes))


def cargo(**changes: Any) -> EnclaveInputs:
    """Cargo without models."""
    return EnclaveInputs(configuration(**changes).encode(), (), {})


def root() -> DevelopmentRoot:
    """A fresh development root."""
    return DevelopmentRoot.create(time.time_ns() // 1_000_000)


async def ask(running: Running, path: str, body: bytes = b"") -> bytes:
    """One request over TLS to a running enclave, through a passed socket; the response's body."""
    ours, theirs = socket.socketpair()
    running.link.send(control.Connection(), owned=theirs)
    reader, writer = await asyncio.open_connection(sock=ours, ssl=blind_context(), server_hostname="enclave")
    return await exchange(reader, writer, path, body)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
) -> bytes:
    """Send a request, read to the end, give the body."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    async with asyncio.timeout(180):
        answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


def blind_context() -> ssl.SSLContext:
    """TLS without any check of the peer: the tests compare the key themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class FakeLog:
    """A log that admits each entry once and can be told to be away. Its checkpoints are its own word."""

    def __init__(self, origin: str = "hallmark.test/log") -> None:
        self.origin = origin
        self.entries: list[bytes] = []
        self.submissions = 0
        self.away = False
        self._grown = asyncio.Event()
        self._next: dict[bytes, int] = {}
        self._key = SigningKey(origin, ED25519, bytes(32))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await read_body(receive, 1 << 24)
        if self.away:
            await respond(send, 503, b"{}")
        elif scope["path"] == "/checkpoint":
            root = hashlib.sha256(b"".join(self.entries)).digest()
            note = sign(Checkpoint(self.origin, len(self.entries), root), self._key)
            await respond(send, 200, note.encode())
        else:
            await respond_json(send, {"results": list(self._take(body))})

    def _in_order(self, entry: bytes) -> bool:
        """As the real log: a receipt comes after its predecessor (this one does not wait for it)."""
        receipt = decode(entry).statement
        if not isinstance(receipt, Receipt):
            return True
        expected = self._next.get(receipt.node, 0)
        if receipt.sequence == expected:
            self._next[receipt.node] = expected + 1
        return receipt.sequence <= expected

    async def reached(self, size: int) -> None:
        """Until there are `size` entries."""
        while len(self.entries) < size:
            self._grown.clear()
            await self._grown.wait()

    def _take(self, body: bytes) -> Iterator[dict[str, object]]:
        at = 0
        while at < len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            entry = body[at + 4 : at + 4 + size]
            at += 4 + size
            self.submissions += 1
            if not self._in_order(entry):
                yield {"error": {"code": "receipt_out_of_order", "message": "Its predecessor is missing."}}
                continue
            if entry not in self.entries:
                self.entries.append(entry)
                self._grown.set()
            yield {"index": self.entries.index(entry), "admitted": 1, "leaf_hash": "00"}


@asynccontextmanager
async def fake_log(log: FakeLog, port: int = 0) -> AsyncIterator[str]:
    """Serve a FakeLog; its URL."""
    async with serving(Service(log), bind(Listen(port or free_port())), grace_s=1) as url:
        yield url
