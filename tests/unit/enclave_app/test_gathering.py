"""Events that come faster than anybody reads leave together, and what has not left is not signed for."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from hallmark.services.enclave import streaming
from hallmark.services.enclave.streaming import Emitter
from hallmark.services.sealing import outer


class Sent:
    """What was sent, in pieces; `fails` makes sending raise."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.arrived = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, message: Any) -> None:
        """Keep a piece."""
        if self.fails is not None:
            raise self.fails
        if message["type"] == "http.response.body":
            self.pieces.append(message["body"])
            self.arrived.set()


@pytest.fixture
def sent() -> Sent:
    """The client's end."""
    return Sent()


async def test_the_first_event_leaves_at_once_and_the_rest_together(sent: Sent) -> None:
    """A hundred events in a moment are two pieces, whose bytes are all covered, in order."""
    emitter = Emitter(sent, b"start")
    events = [b"data: %d\n\n" % number for number in range(100)]
    for event in events:
        await emitter.emit(event)
    assert sent.pieces == events[:1]
    assert emitter.digest == hashlib.sha256(b"start" + events[0]).digest(), "what is gathered is not covered"
    await emitter.still()
    assert sent.pieces == [events[0], b"".join(events[1:])]
    assert emitter.digest == hashlib.sha256(b"start" + b"".join(events)).digest()


async def test_what_is_gathered_leaves_by_itself(sent: Sent) -> None:
    """When the gap is over, without another event."""
    emitter = Emitter(sent, b"")
    await emitter.emit(b"one")
    sent.arrived.clear()
    await emitter.emit(b"two")
    async with asyncio.timeout(60):
        await sent.arrived.wait()
    assert sent.pieces == [b"one", b"two"]
    await emitter.still()


async def test_a_long_event_waits_for_nothing(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes along what was gathered, however long the gap."""
    monkeypatch.setattr(streaming, "GAP_S", 60.0)
    emitter = Emitter(sent, b"")
    for event in (b"one", b"two", b"x" * streaming.MOST_GATHERED, b"four"):
        await emitter.emit(event)
    assert sent.pieces == [b"one", b"two" + b"x" * streaming.MOST_GATHERED]
    emitter.drop()
    await emitter.still()
    assert len(sent.pieces) == 2, "what was dropped never leaves"


async def test_a_plain_stream_has_the_rhythm_of_a_sealed_one() -> None:
    """So that whether one is sealed makes no difference to how often it is written to."""
    assert streaming.GAP_S == outer.GAP_S


async def test_slow_events_leave_one_by_one(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that comes after the gap is not kept back."""
    monkeypatch.setattr(streaming, "GAP_S", 0.0)
    emitter = Emitter(sent, b"")
    for event in (b"one", b"two", b"three"):
        await emitter.emit(event)
    assert sent.pieces == [b"one", b"two", b"three"]


async def test_a_piece_that_cannot_be_sent_ends_the_stream(sent: Sent) -> None:
    """Whoever emits next is told, or whoever ends it."""
    emitter = Emitter(sent, b"")
    await emitter.emit(b"one")
    await emitter.emit(b"two")
    sent.fails = ConnectionError()
    async with asyncio.timeout(60):
        while emitter._beat is None or not emitter._beat.done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    with pytest.raises(ConnectionError):
        await emitter.emit(b"three")
    with pytest.raises(ConnectionError):
        await emitter.still()
