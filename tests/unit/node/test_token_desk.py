"""What a host says to an issuer of tokens: a release that is there before its hold is said again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.tokens import TokenSpend
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond_json
from hallmark.http.serve import Service
from hallmark.payments.issuing import HOLD_MS, HoldRequest, SettleRequest
from hallmark.services.enclave import control
from hallmark.services.node import token_desk
from hallmark.services.node.token_desk import TokenDesk
from hallmark.services.node.token_store import TokenStore
from hallmark.store.raw import RawDatabase
from hallmark.store.urls import sqlite_url
from hallmark.testing.billing import SETTLEMENT
from hallmark.testing.listening import listening
from hallmark.testing.token_desk import MemoryIssuer
from hallmark.testing.tokens import tokens_of

REQUEST, PAYEE = b"\x07" * 32, b"\x08" * 20


class SlowIssuer:
    """An issuer's desk on a socket. A hold takes effect when `let` is set; `refused` is when a
    settlement was.
    """

    def __init__(self, memory: MemoryIssuer) -> None:
        self.memory = memory
        self.let, self.refused = asyncio.Event(), asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await read_body(receive, 1 << 16)
        if scope["path"].endswith("/keys"):
            raise Unavailable("issuer_starting", "It sells nothing here.")
        if scope["path"].endswith("/hold"):
            task = asyncio.create_task(self._hold(body))  # goes on when nobody waits for it any more
            self.tasks.add(task)
            await respond_json(send, await task)
            return
        try:
            told = await self.memory.desk.settle(
                msgspec.json.decode(body, type=SettleRequest), self.memory.now
            )
        except HallmarkError:
            self.refused.set()
            raise
        await respond_json(send, told)

    async def _hold(self, body: bytes) -> Any:
        await self.let.wait()
        return await self.memory.desk.hold(msgspec.json.decode(body, type=HoldRequest), self.memory.now)


class Asked:
    """One request's hold and its release, as an enclave sends them."""

    def __init__(self, memory: MemoryIssuer) -> None:
        keys = memory.document.digest()
        spend = TokenSpend.of(keys, tokens_of(memory.document, 4))
        hold = HoldRequest.made(
            spend.encode(),
            keys,
            REQUEST,
            payee=PAYEE,
            key=SETTLEMENT.address,
            to=memory.sealing.public,
        )
        release = SettleRequest(hex0x(REQUEST), "0", ()).signed(SETTLEMENT)
        self.hold = control.HoldWanted(1, msgspec.json.encode(hold))
        self.release = control.TokensDue(2, REQUEST, msgspec.json.encode(release))


@pytest.fixture
def database(tmp_path: Path) -> RawDatabase:
    """The host's, on disk."""
    return RawDatabase(sqlite_url(tmp_path / "node.db"))


@pytest.fixture
async def issuer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SlowIssuer, str]]:
    """The issuer, and where it is. Nobody waits long."""
    monkeypatch.setattr(token_desk, "LATE_S", 0.01)
    made = SlowIssuer(MemoryIssuer(hex0x(os.urandom(32)), time.time_ns() // 1_000_000))
    sock = socket.create_server(("127.0.0.1", 0))
    async with listening(Service(made), sock) as url:
        yield made, url
    for task in made.tasks:
        task.cancel()


@contextlib.asynccontextmanager
async def desk_at(url: str, database: RawDatabase) -> AsyncIterator[TokenDesk]:
    """A host's desk inside the block."""
    desk = TokenDesk(url, TokenStore(database))
    desk.start()
    try:
        yield desk
    finally:
        await desk.close(0)


async def until(desk: TokenDesk, **status: int) -> None:
    """Until the desk's status says that."""
    async with asyncio.timeout(20):
        while status.items() - desk.status().items():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def state_of(database: RawDatabase) -> int:
    """How much is due on disk."""
    return len(await TokenStore(database).waiting(time.time_ns() // 1_000_000))


async def test_a_release_before_its_hold_frees_the_tokens_all_the_same(
    issuer: tuple[SlowIssuer, str], database: RawDatabase
) -> None:
    """The enclave gave up waiting for the hold, which the issuer has not seen yet when the release comes."""
    double, url = issuer
    asked = Asked(double.memory)
    async with desk_at(url, database) as desk, asyncio.timeout(20):
        desk.take(asked.hold)
        desk.take(asked.release)
        await double.refused.wait()
        double.let.set()
        await until(desk, settled=1, late=0)
    held = await double.memory.store.find_hold(REQUEST)
    assert held is not None
    assert held.state == "released"
    assert await state_of(database) == 0


async def test_a_host_that_ends_in_between_goes_on_with_it(
    issuer: tuple[SlowIssuer, str], database: RawDatabase
) -> None:
    """A late release stays on disk."""
    double, url = issuer
    asked = Asked(double.memory)
    async with desk_at(url, database) as desk:
        desk.take(asked.release)
        await until(desk, late=1)
        assert desk.waiting == 0
    assert await state_of(database) == 1
    hold = msgspec.json.decode(asked.hold.body, type=HoldRequest)
    await double.memory.desk.hold(hold, double.memory.now)
    async with desk_at(url, database) as desk, asyncio.timeout(20):
        await until(desk, settled=1, late=0)
    assert await state_of(database) == 0


async def test_what_no_hold_can_follow_is_over(
    issuer: tuple[SlowIssuer, str], database: RawDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a hold would have run out by itself, nobody says its release again."""
    double, url = issuer
    async with desk_at(url, database) as desk:
        desk.take(Asked(double.memory).release)
        await until(desk, late=1)
        then = time.time_ns() // 1_000_000 + HOLD_MS
        monkeypatch.setattr(token_desk, "_now", lambda: then)
        await until(desk, late=0)
    assert await state_of(database) == 0
    assert await double.memory.store.find_hold(REQUEST) is None
