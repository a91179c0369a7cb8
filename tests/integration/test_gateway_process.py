"""The gateway as a process of its own: started by its settings, killed, started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hallmark.core.answer import DONE, split_hallmark_stream
from hallmark.core.entries import split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, bind
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.ports import free_port

pytestmark = pytest.mark.integration
CHAT = "/v1/chat/completions"
CANARY = "canary sings at dawn"
BODY = json.dumps({"model": "digits", "stream": True, "messages": [CANARY]}).encode()


class Today(DevelopmentNetwork):
    """Real evidence, made now; founded when its nodes' addresses are known."""

    ready = False

    def found(self) -> None:
        """Wait until `ready`."""
        if self.ready:
            super().found()


@asynccontextmanager
async def network() -> AsyncIterator[LocalNetwork]:
    """A log and two nodes of today, without a gateway."""
    net = Today()
    net.ready, net.now = True, time.time_ns() // 1_000_000
    async with LocalNetwork(net=net, with_gateway=False) as local:
        yield local


class Process:
    """`python -m hallmark.services.gateway` in a folder."""

    def __init__(self, local: LocalNetwork, folder: Path) -> None:
        with bind(Listen(free_port())) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        (folder / "trust.toml").write_text(local.trust.to_toml())
        (folder / "key").write_text(local.net.gateway.key.secret.hex())
        settings = {
            "listen": {"port": port},
            "log_url": local.log_url,
            "trust_file": str(folder / "trust.toml"),
            "key_file": str(folder / "key"),
            "database": f"sqlite:///{folder / 'gateway.db'}",
            "submit_ms": 200,
        }
        (folder / "settings.json").write_text(json.dumps(settings))

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        command = (sys.executable, "-m", "hallmark.services.gateway", "--config", "settings.json")
        self.errors = (self._folder / "log").open("ab")
        self.process = await asyncio.create_subprocess_exec(*command, cwd=self._folder, stderr=self.errors)
        pool = Pool()
        async with asyncio.timeout(180):
            while True:
                try:
                    async with pool.request("GET", f"{self.url}/healthz") as response:
                        if response.status == 200:
                            return
                except HallmarkError:
                    pass
                await asyncio.sleep(0.05)

    async def stop(self, number: int) -> int:
        """End it by a signal; gives the exit code."""
        self.process.send_signal(number)
        code = await self.process.wait()
        self.errors.close()
        return code


async def ask(url: str) -> str | None:
    """The receipt id of a complete streamed answer; None when it was cut off."""
    try:
        async with Pool().request("POST", url + CHAT, body=BODY) as response:
            body = await response.read()
    except HallmarkError:
        return None
    if not body.endswith(DONE):
        return None
    return str(json.loads(split_hallmark_stream(body)[1])["id"])


def on_disk(path: Path) -> set[bytes]:
    """Every entry in a gateway's database."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {row[0] for row in database.execute("SELECT entry FROM gateway_receipts")}


def pending(path: Path) -> int:
    """How many receipts a gateway has not brought in."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        query = "SELECT count(*) FROM gateway_receipts WHERE position IS NULL"
        return int(database.execute(query).fetchone()[0])


async def test_no_receipt_of_a_complete_answer_is_lost_by_kills(tmp_path: Path) -> None:
    """Killed at random moments while it answers and the log is away, the gateway has every receipt of an
    answer that a client got on disk, and brings each in once.
    """
    chance = random.Random(7)
    async with network() as local:
        process = Process(local, tmp_path)
        got: list[str] = []
        for number in range(4):
            local.log.down = False
            await process.start()
            local.log.down = True
            asked = [asyncio.ensure_future(ask(process.url)) for _ in range(12)]
            if number % 2:
                # However busy the machine is: some answers are complete, and most are not.
                await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(chance.uniform(0.0, 0.1) if number % 2 else chance.uniform(0.05, 0.3))
            await process.stop(signal.SIGKILL)
            got += [receipt for receipt in await asyncio.gather(*asked) if receipt]
        assert got
        entries = {
            "0x" + signed.receipt.digest().hex(): signed.entry
            for node in local.nodes
            for signed in node.runtime.signed
        }
        kept = on_disk(tmp_path / "gateway.db") | {split_leaf(leaf)[1] for leaf in local.net.leaves}
        assert {entries[receipt] for receipt in got} <= kept
        # The hosts come back with what no gateway ever saw, so that no chain has a hole.
        local.log.down = False
        for node in local.nodes:
            for signed in node.runtime.signed:
                local.log.add(signed.entry)
        await process.start()
        async with asyncio.timeout(180):
            while pending(tmp_path / "gateway.db"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await process.stop(signal.SIGTERM) == 0
        logged = [split_leaf(leaf)[1] for leaf in local.net.leaves]
        assert len(set(logged)) == len(logged)
        assert set(entries.values()) <= set(logged)


async def test_real_evidence_clears_and_nothing_of_the_content_stays(tmp_path: Path) -> None:
    """With the shipped verifier a policy clears; neither disk nor log lines hold any content."""
    async with network() as local:
        process = Process(local, tmp_path)
        await process.start()
        headers = [(b"hallmark-policy", b"witnessed")]
        async with Pool().request("POST", process.url + CHAT, headers, BODY) as response:
            body = await response.read()
            assert response.status == 200, body
        marks = json.loads(split_hallmark_stream(body)[1])["marks"]
        assert {marks[name]["state"] for name in ("ran", "model", "route", "proved")} == {"witnessed"}
        assert await process.stop(signal.SIGTERM) == 0
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert CANARY.encode() not in held
    assert b"seven" not in held
    assert b'"event":' in held or (tmp_path / "log").stat().st_size == 0
