"""An upstream that speaks faster than is written on is not listened to meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from hallmark.engines import upstream
from hallmark.http.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire:
    """A transport that notes whether it is read."""

    def __init__(self) -> None:
        self.reading, self.aborted = True, False
        self.read_again = asyncio.Event()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        self.read_again.set()

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        del data

    def abort(self) -> None:
        self.aborted = True


async def begun() -> tuple[Connection, Any]:
    """A connection on which an answer has begun, and all of it that came has been taken."""
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)  # type: ignore[arg-type]  # what a connection uses of one
    await connection.send(b"POST / HTTP/1.1\r\n\r\n", b"")
    connection.data_received(HEAD + b"1\r\na\r\n")
    await connection.head()
    assert await connection.next_chunk() == b"a"
    return connection, wire


async def test_a_connection_at_rest_is_read_again_when_the_time_is_over() -> None:
    """What comes after the rest is given out as ever."""
    connection, wire = await begun()
    connection.rest(0.0)
    assert not wire.reading
    waiting = asyncio.ensure_future(connection.next_chunk(60))
    await wire.read_again.wait()
    assert connection.rested <= asyncio.get_running_loop().time()
    connection.data_received(b"1\r\nb\r\n")
    assert await waiting == b"b"


async def test_the_end_of_an_exchange_ends_a_rest() -> None:
    """A kept connection must notice what comes unasked, and a dropped one has no timer left."""
    connection, wire = await begun()
    connection.rest(60)
    connection.data_received(b"0\r\n\r\n")  # had been read already
    assert connection.finish()
    assert wire.reading
    connection, wire = await begun()
    connection.rest(60)
    connection.abort()
    assert connection._rest is None


async def test_a_complete_answer_needs_no_rest() -> None:
    """Nothing more will come, and the connection is to be used again."""
    connection, wire = await begun()
    connection.data_received(b"0\r\n\r\n")
    connection.rest(60)
    assert wire.reading


class Told:
    """A response whose events come one by one; notes for how long it was let be."""

    def __init__(self, *events: bytes) -> None:
        self._events = events
        self.rested, self.rests = 0.0, list[float]()

    def header(self, _name: bytes) -> bytes:
        return b"text/event-stream"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield b"data: " + event + b"\n\n"

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


@pytest.mark.parametrize(("busy_s", "rest_s"), [(0.004, 0.004), (0.02, upstream.REST_S), (0.0, None)])
async def test_a_fast_server_is_let_be_for_a_while_and_not_once_it_has_finished(
    busy_s: float, rest_s: float | None
) -> None:
    """For as long as nothing would be written, but not for the whole gap between two pieces: the end of its
    answer may be what waits.
    """
    more = b'{"choices":[{"delta":{"content":"a"}}]}'
    last = b'{"choices":[{"delta":{},"finish_reason":"stop"}]}'
    told = Told(more, more, last, b"[DONE]")
    reply = upstream.Reply(cast(Any, told), cast(Any, None), "")
    got = [chunk.data async for chunks in reply.events(lambda: busy_s) for chunk in chunks]
    assert got == [more, more, last]
    assert told.rests == ([] if rest_s is None else [rest_s, rest_s])
