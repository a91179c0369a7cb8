"""The anchoring service and the development chain as processes, killed at bad moments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import Unavailable, VerificationFailed
from hallmark.core.hashing import sha256
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond, respond_json
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger import checkpoint as checkpoints
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import COSIGNATURE, ED25519, SigningKey
from hallmark.services.anchor import settings as anchor_settings
from hallmark.services.chain import settings as chain_settings
from hallmark.services.chain.check import check_anchor
from hallmark.services.chain.contract import AnchorContract, Parameters, anchor_address, read_contract
from hallmark.services.chain.rpc import RPC
from hallmark.testing.anvil import CHAIN_ID, toolchain
from hallmark.testing.ports import free_port

pytestmark = pytest.mark.integration

ORIGIN = "test.example/anchored"
KEYS = [Key(bytes([n]) * 32) for n in range(1, 5)]
WITNESSES = [SigningKey(f"witness-{n}", COSIGNATURE, bytes([n]) * 32) for n in range(1, 5)]
LOG_KEY = SigningKey(ORIGIN, ED25519, b"\x09" * 32)
SUBMITTER = Key(b"\x0a" * 32)
POLICY = "\n".join(
    [
        f"log {LOG_KEY.vkey}",
        *(f"witness w{n} {witness.vkey}" for n, witness in enumerate(WITNESSES)),
        "group quorum 3 w0 w1 w2 w3",
        "quorum quorum",
        "",
    ]
)


class Network:
    """A log and four full nodes that agree, behind one listener; `signing` of them sign for the chain."""

    def __init__(self) -> None:
        self.size = 0
        self.signing = 4
        self.url = ""

    def root(self, size: int) -> bytes:
        return sha256(b"root", size.to_bytes(8, "big"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/checkpoint":
            note = checkpoints.sign(Checkpoint(ORIGIN, self.size, self.root(self.size)), LOG_KEY)
            lines = [witness.cosign(note.text, 1_700_000_000_000) for witness in WITNESSES[:3]]
            await respond(send, 200, note.encode() + b"".join(line.line() for line in lines))
            return
        if scope["path"] == "/follow":
            # A log that does not tell: it is asked once a second.
            await respond_json(send, {"error": {"code": "no_such_path", "message": "No."}}, 404)
            return
        number = int(scope["path"].split("/")[1])
        asked = msgspec.json.decode(await read_body(receive, 4096))
        size, root = asked["size"], unhex(asked["root"])
        if number >= self.signing or asked["origin"] != ORIGIN or root != self.root(size) or size > self.size:
            await respond_json(send, {}, 409)
            return
        statement = AnchoredCheckpoint(network_id(ORIGIN), sha256(ORIGIN.encode()), size, root)
        signature = sign_statement(statement, CHAIN_ID, KEYS[number])
        body = {"signature": hex0x(signature), "address": hex0x(KEYS[number].address)}
        await respond_json(send, body)


class Site:
    """One machine: the two services' settings, processes and state."""

    def __init__(self, folder: Path, network: Network) -> None:
        self.folder = folder
        self.network = network
        tools = toolchain()
        self.ports = [free_port() for _ in range(3)]
        artifact_file = tools.contracts / "Anchor.json"
        addresses = tuple(key.address for key in KEYS)
        parameters = Parameters(network_id(ORIGIN), ORIGIN, addresses, 3)
        self.contract = anchor_address(read_contract(artifact_file), parameters)
        self.rpc = RPC(f"http://127.0.0.1:{self.ports[0]}")
        self.url = f"http://127.0.0.1:{self.ports[2]}"
        self.state = folder / "state.json"
        (folder / "key").write_text(SUBMITTER.secret.hex())
        self._write(
            "chain",
            chain_settings.Settings(
                listen=Listen(self.ports[1]),
                rpc_port=self.ports[0],
                anvil=str(tools.anvil),
                state=str(self.state),
                funded=(hex0x(SUBMITTER.address),),
            ),
        )
        self._write(
            "anchor",
            anchor_settings.Settings(
                listen=Listen(self.ports[2]),
                database=f"sqlite:///{folder / 'anchor.db'}",
                origin=ORIGIN,
                tlog_policy=POLICY,
                log_url=network.url,
                full_nodes=tuple(f"{network.url}/{n}" for n in range(4)),
                signers=tuple(hex0x(address) for address in addresses),
                threshold=3,
                rpc_url=self.rpc.url,
                chain_id=CHAIN_ID,
                contract=hex0x(self.contract),
                contract_file=str(artifact_file),
                key_file=str(folder / "key"),
                seconds=1,
                poll_ms=100,
            ),
        )
        self.processes: dict[str, Process] = {}

    def _write(self, name: str, settings: msgspec.Struct) -> None:
        (self.folder / f"{name}.json").write_bytes(msgspec.json.encode(settings))

    async def start(self, name: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        argv = (
            sys.executable,
            "-m",
            f"hallmark.services.{name}",
            "--config",
            str(self.folder / f"{name}.json"),
        )
        self.processes[name] = await asyncio.create_subprocess_exec(*argv, stderr=log)
        log.close()

    async def end(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await process.wait()

    async def close(self) -> None:
        for name in list(self.processes):
            await self.end(name)
        await self.rpc.aclose()

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(self.url + path)

    async def anchor(self, size: int, *, confirmations: int = 2) -> AnchorRecord | None:
        """The service's record, checked against the contract itself; None while there is none."""
        try:
            response = await self.get(f"/anchor?size={size}&confirmations={confirmations}")
        except httpx.TransportError:
            return None
        if response.status_code != 200:
            assert response.status_code in (404, 503), response.text
            return None
        record = AnchorRecord.decode(response.content)
        assert record.size >= size
        found = await check_anchor(
            self.rpc, self.contract, record, chain_id=CHAIN_ID, confirmations=confirmations
        )
        assert found.root == self.network.root(found.size)
        return record

    def anvil(self) -> int:
        """Process id of the chain service's child."""
        pid = self.processes["chain"].pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


async def until(condition: Callable[[], Awaitable[Any]], *, seconds: float = 120) -> Any:
    """What the condition gives as soon as it gives something; fails after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(VerificationFailed):
            if (value := await condition()) is not None:
                return value
        await asyncio.sleep(0.1)
    pytest.fail("it did not happen")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Both services running, beside a network of full nodes."""
    network = Network()
    async with serving(Service(network), bind(Listen(free_port()))) as url:
        network.url = url
        site = Site(tmp_path, network)
        await site.start("chain")
        await site.start("anchor")
        yield site
        await site.close()


async def test_checkpoints_are_anchored_as_the_log_grows(site: Site) -> None:
    """Nothing is anchored for an empty log; then a record appears whose confirmations are real and grow."""

    async def ready() -> bool | None:
        try:
            return (await site.get("/healthz")).status_code == 200 or None
        except httpx.TransportError:
            return None

    await until(ready)
    early = await site.get("/anchor?size=1")
    assert (early.status_code, early.json()["error"]["code"]) == (404, "not_anchored_yet")
    site.network.size = 5
    first = await until(lambda: site.anchor(5, confirmations=1))
    assert (first.size, first.chain_id, first.contract) == (5, CHAIN_ID, hex0x(site.contract))
    receipt = await site.rpc.call("eth_getTransactionReceipt", first.transaction)
    assert int(receipt["blockNumber"], 16) == first.block
    deeper = await until(lambda: site.anchor(1, confirmations=first.confirmations + 2))
    assert (deeper.size, deeper.block) == (5, first.block)
    site.network.size = 9
    second = await until(lambda: site.anchor(6))
    assert second.size == 9
    assert (await site.anchor(5)).size == 5  # type: ignore[union-attr]  # it was there above
    status = (await site.get("/status")).json()
    assert (status["anchored_size"], status["deployments"], status["reason"]) == (9, 1, "")
    assert b"hallmark_anchor_size 9.0" in (await site.get("/metrics")).content
    assert (await site.get("/anchor?size=x")).status_code == 400
    assert (await site.get("/else")).status_code == 404
    assert await site.end("anchor") == 0
    assert await site.end("chain") == 0


async def test_below_quorum_nothing_is_anchored(site: Site) -> None:
    """With two of four signing, the service says why it waits; with a third it goes on."""
    site.network.signing = 2
    site.network.size = 3

    async def waiting() -> bool | None:
        with contextlib.suppress(httpx.TransportError):
            health = (await site.get("/healthz")).json()
            return health["reason"] == "anchor_quorum_missing" or None
        return None

    await until(waiting)
    assert await site.anchor(1, confirmations=1) is None
    site.network.signing = 3
    await until(lambda: site.anchor(3))


async def test_killed_chain_comes_back(site: Site) -> None:
    """Anvil killed at random moments loses what it had not written; the newest is anchored again."""
    rng = random.Random(4)
    for size in (4, 8, 12):
        site.network.size = size
        await until(lambda size=size: site.anchor(size, confirmations=1))
        await asyncio.sleep(rng.random())

        os.kill(site.anvil(), signal.SIGKILL)
    record = await until(lambda: site.anchor(12))
    assert record.size == 12
    assert site.processes["chain"].returncode is None


async def test_chain_that_went_back_is_caught_up(site: Site) -> None:
    """A chain restored from an older state gets the newest checkpoint again, in the same contract."""
    site.network.size = 4
    await until(lambda: site.anchor(4))
    await site.end("chain")
    older = site.state.read_bytes()
    await site.start("chain")
    site.network.size = 8
    await until(lambda: site.anchor(8))
    await site.end("chain", signal.SIGKILL)
    site.state.write_bytes(older)
    await site.start("chain")
    record = await until(lambda: site.anchor(8))
    assert record.size == 8
    assert (await site.get("/status")).json()["deployments"] == 1


async def test_chain_that_lost_everything_is_rebuilt(site: Site) -> None:
    """Without any state the contract is deployed again at the address of the trust file, and reported."""
    site.network.size = 4
    before = await until(lambda: site.anchor(4))
    await site.end("chain", signal.SIGKILL)
    for path in site.folder.glob("state.*"):
        path.unlink()
    await site.start("chain")

    async def redeployed() -> bool | None:
        with contextlib.suppress(httpx.TransportError):
            return (await site.get("/status")).json()["deployments"] == 2 or None
        return None

    await until(redeployed)
    after = await until(lambda: site.anchor(4))
    assert after.contract == before.contract
    assert "anchor_deployed" in (site.folder / "anchor.log").read_text()


async def test_compaction_keeps_anchors(site: Site) -> None:
    """Anvil is started anew after many blocks, without its oldest ones; what is anchored stays anchored."""
    site.network.size = 4
    before = await until(lambda: site.anchor(4))
    old = site.anvil()
    # The service may begin to compact before anvil has answered: what counts is that the blocks were mined.
    with contextlib.suppress(Unavailable):
        await site.rpc.call("anvil_mine", hex(2000))

    async def compacted() -> bool | None:
        with contextlib.suppress(IndexError, OSError):
            return site.anvil() != old or None
        return None

    await until(compacted)
    after = await until(lambda: site.anchor(4, confirmations=2000))
    assert (after.size, after.root, after.block) == (4, before.root, before.block)
    state = msgspec.json.decode(site.state.with_suffix(".good").read_bytes())
    assert len(state["blocks"]) == 300
    assert state["transactions"] == []
    site.network.size = 6
    assert (await until(lambda: site.anchor(6))).size == 6


@pytest.mark.parametrize("seed", range(3))
async def test_killed_anchor_catches_up(site: Site, seed: int) -> None:
    """The anchoring service, killed five times at random moments while the log grows, loses nothing."""
    rng = random.Random(seed)
    for _ in range(5):
        site.network.size += rng.randrange(1, 5)
        await asyncio.sleep(rng.uniform(0.5, 2.5))
        await site.end("anchor", signal.SIGKILL)
        await site.start("anchor")
    newest = site.network.size
    record = await until(lambda: site.anchor(newest))
    assert record.size == newest
    # What is on the chain is a growing chain of this log's own checkpoints.
    contract = AnchorContract(site.rpc, site.contract)
    stored = await contract.latest()
    while stored.size:
        assert stored.root == site.network.root(stored.size)
        assert stored.previous < stored.size
        previous = await contract.stored(stored.previous)
        if previous is None:
            break
        stored = previous
