"""The log killed at random moments: nothing acknowledged is lost, nothing is half there, nothing forks.

One history lives through all runs. HALLMARK_CRASH_RUNS sets how many times the log is killed (25 unless set).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.entries import decode, entry_id, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.merkle import CompactRange, leaf_hash
from hallmark.core.receipt import Receipt
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import ED25519, Note, SigningKey
from hallmark.ledger.sql_store import SQLWitnessState
from hallmark.ledger.tiles import decode_bundle
from hallmark.ledger.witness import Witness
from hallmark.store.raw import RawDatabase
from hallmark.testing.log_entries import AUTHORITY, plain_entry, receipt_chain, vouched
from hallmark.testing.lying_log import witness_key
from hallmark.testing.ports import free_port
from hallmark.testing.witness_service import witness_app

ORIGIN = "log.test/crash"
NETWORK = network_id(ORIGIN)
CHAIN = 31337
SEED = bytes(range(32))
RUNS = int(os.environ.get("HALLMARK_CRASH_RUNS", "25"))
pytestmark = pytest.mark.integration


NODE = Key(bytes([5]) * 32)


class Observer:
    """Keeps every root that the log ever signed, by size."""

    def __init__(self) -> None:
        self.roots: dict[int, set[bytes]] = {}

    def watching(self, app: ASGIApp) -> ASGIApp:
        """The witness `app`, watched."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            message = await receive()
            note = Note.parse(message["body"].partition(b"\n\n")[2])
            checkpoint = Checkpoint.parse(note.text)
            self.roots.setdefault(checkpoint.size, set()).add(checkpoint.root)

            async def replay() -> dict[str, object]:
                return dict(message)

            await app(scope, replay, send)

        return watched


class Harness:
    """A log process that is killed and started again, its witnesses, and what it acknowledged."""

    def __init__(self, folder: Path, policy: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        self.acknowledged: dict[bytes, tuple[int, int]] = {}
        self.pool = Pool()
        self.numbers = iter(range(10**9))
        config = {
            "listen": {"port": port},
            "origin": ORIGIN,
            "chain_id": CHAIN,
            "key_file": str(folder / "log.key"),
            "database": f"sqlite:///{folder}/log.db",
            "policy": policy,
            "authority": [hex0x(AUTHORITY.address)],
            "threshold": 1,
            "owners": [hex0x(AUTHORITY.address)],
        }
        (folder / "log.key").write_text(SEED.hex())
        (folder / "log.json").write_text(json.dumps(config))

    @contextlib.contextmanager
    def process(self) -> object:
        """The log, killed when the block is left."""
        with (self.folder / "log.out").open("ab") as output:
            command = [sys.executable, "-m", "hallmark.services.log", "--config", self.folder / "log.json"]
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body; status 0 when the log died."""
        try:
            async with self.pool.request(method, self.url + path, (), body) as response:
                return response.status, await response.read()
        except HallmarkError:
            return 0, b""

    async def ready(self) -> None:
        """Wait until the log takes entries."""
        for _ in range(1_500):
            status, body = await self.call("GET", "/healthz")
            if status == 200 and json.loads(body)["state"] == "ready":
                return
            await asyncio.sleep(0.02)
        raise AssertionError((self.folder / "log.out").read_text()[-2_000:])

    async def submit(self, entries: Iterable[bytes]) -> None:
        """Submit entries one after another until the log dies; remember what it acknowledged."""
        for entry in entries:
            status, body = await self.call("POST", "/add", entry)
            if status == 0:
                return
            assert status == 200, body
            place = json.loads(body)
            known = self.acknowledged.setdefault(entry_id(entry), (place["index"], place["admitted"]))
            assert known == (place["index"], place["admitted"])

    async def history(self) -> list[bytes]:
        """Every leaf of the log."""
        size = json.loads((await self.call("GET", "/head"))[1])["size"]
        leaves: list[bytes] = []
        while len(leaves) < size:
            status, body = await self.call("GET", f"/leaves?start={len(leaves)}&end={size}")
            assert status == 200
            leaves += decode_bundle(body)
        return leaves


@pytest.fixture
async def observed(tmp_path: Path) -> AsyncIterator[tuple[Harness, Observer]]:
    """A harness with three watched witnesses, two of which are the quorum."""
    log, observer, lines = SigningKey(ORIGIN, ED25519, SEED), Observer(), []
    names = ("w0", "w1", "w2")
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            state = SQLWitnessState(RawDatabase(f"sqlite:///{tmp_path}/{name}.db"))
            app = observer.watching(witness_app(Witness(witness_key(name), [log.verifier], state)))
            sock = bind(Listen(free_port()))
            url = await stack.enter_async_context(serving(Service(app), sock, grace_s=1))
            lines.append(f"witness {name} {witness_key(name).vkey} {url}")
        policy = "\n".join((f"log {log.vkey}", *lines, f"group g 2 {' '.join(names)}", "quorum g", ""))
        harness = Harness(tmp_path, policy, free_port())
        yield harness, observer
        await harness.pool.aclose()


async def test_killed_at_random_moments(observed: tuple[Harness, Observer]) -> None:
    """Over many kills: acknowledged entries stay where they were, whole, dense, and under one root a size."""
    harness, observer = observed
    chain = receipt_chain(NETWORK, CHAIN, NODE, RUNS * 40)
    sent = 0
    for run in range(RUNS):
        rng = random.Random(run)
        with harness.process():
            if run % 6 == 5:
                # Now and then it dies while it starts.
                await asyncio.sleep(rng.uniform(0.3, 1.0))
                continue
            await harness.ready()
            workers = [
                asyncio.create_task(
                    harness.submit(plain_entry(NETWORK, next(harness.numbers)) for _ in range(500))
                )
                for _ in range(4)
            ]
            # The node sends again what it was not told about, as an outbox does.
            again = [vouched(NETWORK, NODE), *chain[max(0, sent - 5) :]]
            workers.append(asyncio.create_task(harness.submit(again)))
            await asyncio.sleep(rng.uniform(0.02, 0.5))
        await asyncio.gather(*workers)
        sent = sum(entry_id(entry) in harness.acknowledged for entry in chain)
    with harness.process():
        await harness.ready()
        await harness.call("GET", "/wait?size=1&timeout=60000")
        leaves = await harness.history()
        check_history(leaves, harness, observer)
        assert sent > RUNS


def check_history(leaves: list[bytes], harness: Harness, observer: Observer) -> None:
    """What must hold whenever and however often the log died."""
    ids: list[bytes] = []
    times: list[int] = []
    sequences: list[int] = []
    tree = CompactRange()
    roots = [tree.root()]
    for data in leaves:
        admitted, entry = split_leaf(data)
        statement = decode(entry).statement
        if isinstance(statement, Receipt):
            sequences.append(statement.sequence)
        ids.append(entry_id(entry))
        times.append(admitted)
        tree.append(leaf_hash(data))
        roots.append(tree.root())
    assert len(set(ids)) == len(ids)
    assert times == sorted(times)
    assert sequences == list(range(len(sequences)))
    for key, (index, admitted) in harness.acknowledged.items():
        assert (ids[index], times[index]) == (key, admitted)
    assert len(observer.roots) > RUNS
    for size, seen in observer.roots.items():
        assert seen == {roots[size]}
