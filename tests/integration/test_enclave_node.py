"""The host service as a process: registration, the pipe, kills, new enclaves, upstreams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import KeyBundle
from hallmark.core.entries import Entry, decode
from hallmark.core.money import FreeUse, Offer
from hallmark.core.receipt import Mode, Receipt
from hallmark.core.statements import PriceOffer, Registration
from hallmark.crypto.secp256k1 import Key, recover_statement, sign_statement
from hallmark.http.serve import Listen
from hallmark.services.node.settings import Payments, Settings
from hallmark.testing import enclaves
from hallmark.testing.ports import free_port

pytestmark = pytest.mark.integration
APP = Path(__file__).parent / "probes" / "echo_app.py"


class Host:
    """One node's host process and the means to ask it things."""

    def __init__(self, directory: Path, log_url: str, **changes: Any) -> None:
        self.owner = Key.generate()
        (directory / "owner").write_text(self.owner.secret.hex())
        (directory / "root.pem").write_bytes(enclaves.root().to_pem())
        self.port, self.health_port = free_port(), free_port()
        values: dict[str, Any] = {
            "listen": Listen(self.port),
            "health": Listen(self.health_port),
            "endpoint": f"https://127.0.0.1:{self.port}",
            "log_url": log_url,
            "origin": "hallmark.test/log",
            "chain_id": 31337,
            "owner_key_file": str(directory / "owner"),
            "database": f"sqlite:///{directory}/node.db",
            "image": str(enclaves.image_with(APP)),
            "image_cache": str(enclaves.cache()),
            "development_root": str(directory / "root.pem"),
            "beacon_ms": 200,
            "drain_ms": 3000,
        }
        self.settings = Settings(**(values | changes))
        self._config = directory / "node.json"
        self._config.write_bytes(msgspec.json.encode(self.settings))
        self._errors = directory / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", "hallmark.services.node", "--config", str(self._config)]
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(command, stderr=errors)

    def said(self) -> str:
        """Its log so far."""
        return self._errors.read_text()

    async def health(self) -> dict[str, Any]:
        """Its /healthz, empty while it does not listen."""
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.health_port}/healthz")
            except httpx.HTTPError:
                return {}
            return dict(answer.json())

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Its /healthz once that is so."""
        async with asyncio.timeout(240):
            while not holds(state := await self.health()):
                assert self.process is not None
                assert self.process.poll() is None, self.said()
                await asyncio.sleep(0.05)
            return state

    async def ready(self) -> dict[str, Any]:
        """Its /healthz once it is ready."""
        return await self.until(lambda state: state.get("state") == "ready")

    async def ask(self, path: str, body: bytes = b"") -> bytes:
        """One request over TCP and TLS."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=enclaves.blind_context(), server_hostname="enclave"
        )
        return await enclaves.exchange(reader, writer, path, body)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the process and wait; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


@asynccontextmanager
async def hosted(directory: Path, **changes: Any) -> AsyncIterator[tuple[Host, enclaves.FakeLog]]:
    """A started host beside a log that takes everything."""
    log = enclaves.FakeLog()
    async with enclaves.fake_log(log) as url:
        host = Host(directory, url, **changes)
        host.start()
        try:
            yield host, log
        finally:
            await asyncio.to_thread(host.stop, signal.SIGKILL)


async def test_a_node_registers_serves_and_stops(tmp_path: Path) -> None:
    """The node's registration is in the log, signed by key and owner; it answers; SIGTERM ends it with 0."""
    async with hosted(tmp_path) as (host, log):
        state = await host.ready()
        entry = decode(log.entries[0])
        statement = entry.statement
        assert isinstance(statement, Registration)
        assert hex0x(statement.key) == state["node"]
        assert recover_statement(statement, 31337, entry.signatures[0]) == statement.key
        assert recover_statement(statement, 31337, entry.signatures[1]) == host.owner.address
        bundle = KeyBundle.decode(entry.attachments[0])
        assert (bundle.endpoint, bundle.mode) == (host.settings.endpoint, Mode.TEE)
        assert hex0x(statement.document) == state["bundle"]
        assert json.loads(await host.ask("/echo", b"abc"))["size"] == 3
        assert await asyncio.to_thread(host.stop) == 0


async def test_receipts_reach_the_log_in_order(tmp_path: Path) -> None:
    """Receipts of many answers at once arrive in the log in the order of their sequence."""
    async with hosted(tmp_path) as (host, log):
        await host.ready()
        await asyncio.gather(*(host.ask("/receipt", b"%d" % n) for n in range(25)))
        await host.until(lambda state: state["outbox_waiting"] == 0)
        receipts = [decode(entry).statement for entry in log.entries[1:]]
        assert [r.sequence for r in receipts if isinstance(r, Receipt)] == list(range(25))


async def test_no_receipt_is_lost_when_the_host_is_killed(tmp_path: Path) -> None:
    """Answers given while the log is away are in it after SIGKILL and a new start."""
    async with hosted(tmp_path) as (host, log):
        await host.ready()
        log.away = True
        given = [json.loads(await host.ask("/receipt", b"%d" % n))["entry"] for n in range(5)]
        assert (await host.health())["outbox_waiting"] == 5
        await asyncio.to_thread(host.stop, signal.SIGKILL)
        log.away = False
        host.start()
        state = await host.ready()
        await host.until(lambda state: state["outbox_waiting"] == 0)
        assert [entry.hex() for entry in log.entries[1:6]] == given
        assert len(log.entries) == 7
        assert hex0x(decode(log.entries[6]).statement.key) == state["node"]  # type: ignore[attr-defined]


async def test_a_dead_enclave_is_replaced_with_new_keys(tmp_path: Path) -> None:
    """When the enclave dies, another one with another key registers and answers."""
    async with hosted(tmp_path) as (host, log):
        before = await host.ready()
        assert host.process is not None
        children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
        assert len(children) == 1
        os.kill(int(children[0]), signal.SIGKILL)
        after = await host.until(lambda s: s.get("state") == "ready" and s["node"] != before["node"])
        assert after["restarts"] == 1
        assert [decode(e).statement.key for e in log.entries] == [unhex(before["node"]), unhex(after["node"])]  # type: ignore[attr-defined]
        assert json.loads(await host.ask("/receipt"))["sequence"] == 0


async def test_an_enclave_is_replaced_before_its_sealing_keys_run_out(tmp_path: Path) -> None:
    """The host ends it in time, says why meanwhile, and its successor registers keys of its own."""
    limits = {"sealing_every_ms": 4_000, "sealing_windows": 2, "sealing_grace_ms": 0}
    async with hosted(tmp_path, limits=limits, drain_ms=200) as (host, log):
        before = await host.ready()
        after = await host.until(lambda s: s.get("state") == "ready" and s["node"] != before["node"])
        assert after["restarts"] == 1
        assert "enclave_renewed" in host.said()
        bundles = [KeyBundle.decode(decode(entry).attachments[0]) for entry in log.entries[:2]]
        assert [bundle.signing_key for bundle in bundles] == [before["node"], after["node"]]
        assert bundles[0].sealing != bundles[1].sealing
        assert not isinstance(bundles[1].sealing, msgspec.UnsetType)


async def test_evidence_is_refreshed(tmp_path: Path) -> None:
    """At each interval the same key registers again, with evidence for a newer beacon."""
    async with hosted(tmp_path, refresh_ms=300) as (host, log):
        state = await host.ready()
        async with asyncio.timeout(180):
            await log.reached(3)
        statements = [decode(entry).statement for entry in log.entries[:3]]
        assert {hex0x(s.key) for s in statements if isinstance(s, Registration)} == {state["node"]}
        assert len({s.evidence for s in statements if isinstance(s, Registration)}) == 3


async def test_upstreams_are_dialled_by_name_only(tmp_path: Path) -> None:
    """The enclave reaches a configured upstream through the host, and nothing that has no name there."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", free_port())
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    closed = f"http://127.0.0.1:{free_port()}"
    async with server, hosted(tmp_path, upstreams={"up": url, "gone": closed}) as (host, _):
        await host.ready()
        assert json.loads(await host.ask("/dial/up", b"hello"))["answer"] == "HELLO"
        assert json.loads(await host.ask("/dial/gone"))["error"]["code"] == "upstream_unreachable"
        assert json.loads(await host.ask("/dial/other"))["error"]["code"] == "unknown_upstream"


async def test_vanilla_is_named_and_has_no_evidence(tmp_path: Path) -> None:
    """A vanilla node says so in bundle and configuration, and registers without evidence."""
    async with hosted(tmp_path, mode="vanilla", image="", development_root="") as (host, log):
        # The application of this installation itself runs: no image, no test application.
        await host.ready()
        entry = decode(log.entries[0])
        assert entry.attachments[1] == b""
        assert KeyBundle.decode(entry.attachments[0]).mode == Mode.VANILLA
        assert (await host.health())["mode"] == "vanilla"


async def test_without_bwrap_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the sandbox gets a plain reason, never an enclave outside it."""
    from hallmark.core.errors import Unavailable
    from hallmark.services.node import launch, machine

    real = machine.shutil.which
    monkeypatch.setattr(
        machine.shutil, "which", lambda name, path=None: None if name == "bwrap" else real(name)
    )
    with pytest.raises(Unavailable) as refused:
        launch.Launcher(enclaves.measure.seal(enclaves.image_with(APP)), machine.detect(), tmp_path)
    assert refused.value.reason == "sandbox_tool_missing"
    assert "bubblewrap" in refused.value.hint


def offer_of(host: Host, since: int) -> bytes:
    """The log entry of an offer of this node's owner that serves everything for nothing."""
    network, owner = hex0x(network_id(host.settings.origin)), hex0x(host.owner.address)
    document = Offer(network, owner, owner, None, None, (), FreeUse(everything=True), since, 2**60)
    statement = PriceOffer(unhex(network), host.owner.address, document.digest(), since)
    signature = sign_statement(statement, host.settings.chain_id, host.owner)
    return Entry(statement, (signature,), (document.encode(),)).encode()


async def test_journal_and_offer_outlive_kills(tmp_path: Path) -> None:
    """The enclave's journal is kept and goes on with its successors; each gets the offer, and a newer one
    when the file is replaced; one that is not the owner's has a reason.
    """
    path = tmp_path / "offer"
    async with hosted(tmp_path, payments=Payments(str(path))) as (host, _):
        state = await host.ready()
        paid = state["payments"]
        assert paid["offer"] == {"digest": "", "problem": "offer_missing"}
        assert paid["journal"]["position"] == paid["journal"]["kept"] > 0
        assert len(paid["settlement_key"]) == 42
        for since in (1, 2):
            path.with_name("newer").write_bytes(offer_of(host, since))
            os.replace(path.with_name("newer"), path)
            digest = hex0x(decode(offer_of(host, since)).statement.document)  # type: ignore[attr-defined]
            state = await host.until(lambda now, d=digest: now["payments"]["offer"]["digest"] == d)  # type: ignore[misc]
        await asyncio.to_thread(host.stop, signal.SIGKILL)
        (journal,) = tmp_path.glob("node.db.journal-*")
        kept = journal.read_bytes()
        host.start()
        state = await host.ready()
        assert state["payments"]["settlement_key"] == paid["settlement_key"]
        assert state["payments"]["journal"]["kept"] > 0
        assert journal.read_bytes() != kept
        await host.until(lambda now: now["payments"]["offer"]["digest"] == digest)
        other, host.owner = host.owner, Key.generate()
        path.write_bytes(offer_of(host, 3))
        await host.until(lambda now: now["payments"]["offer"]["problem"] != "")
        host.owner = other
        assert await asyncio.to_thread(host.stop) == 0
        assert list(tmp_path.glob("node.db.journal*")) == [journal]
