"""The blind pipe: bytes, ends of stream, back-pressure, bounds."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hallmark.core.errors import Unavailable
from hallmark.services.node.pipe import BUFFER, Pipes


@asynccontextmanager
async def piped(limit: int = 8) -> AsyncIterator[tuple[Pipes, int, asyncio.Queue[socket.socket]]]:
    """Listening pipes: the pipes, their port, the sockets that the enclave would get."""
    handed: asyncio.Queue[socket.socket] = asyncio.Queue()
    pipes = Pipes(handed.put_nowait, limit)
    listening = socket.create_server(("127.0.0.1", 0))
    server = await pipes.listen(listening)
    try:
        yield pipes, listening.getsockname()[1], handed
    finally:
        server.close()


async def connect(
    port: int, handed: asyncio.Queue[socket.socket]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter]:
    """A client and the enclave's end of its pipe."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    inside = await handed.get()
    inside.setblocking(False)
    far_reader, far_writer = await asyncio.open_unix_connection(sock=inside)
    return reader, writer, far_reader, far_writer


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; the caller's timeout bounds it."""
    while not holds():  # noqa: ASYNC110 - nobody announces it
        await asyncio.sleep(0)


async def test_bytes_pass_both_ways_unchanged() -> None:
    """Megabytes in both directions at once arrive as they were sent."""
    async with piped() as (pipes, port, handed):
        reader, writer, far_reader, far_writer = await connect(port, handed)
        up, down = os.urandom(3 << 20), os.urandom(2 << 20)

        async def send(out: asyncio.StreamWriter, data: bytes) -> None:
            out.write(data)
            await out.drain()
            out.write_eof()

        async with asyncio.timeout(60):
            _, _, got_up, got_down = await asyncio.gather(
                send(writer, up), send(far_writer, down), far_reader.read(), reader.read()
            )
        assert (got_up, got_down) == (up, down)
        assert pipes.meter.bytes == len(up) + len(down)


async def test_half_closed_connections_work() -> None:
    """A client that has sent everything and closed that direction still gets its answer."""
    async with piped() as (_, port, handed):
        reader, writer, far_reader, far_writer = await connect(port, handed)
        writer.write(b"question")
        writer.write_eof()
        async with asyncio.timeout(60):
            assert await far_reader.read() == b"question"
            far_writer.write(b"answer")
            far_writer.close()
            assert await reader.read() == b"answer"


async def test_a_client_that_goes_is_noticed_inside() -> None:
    """A lost client ends the enclave's socket, so that work for nobody can stop."""
    async with piped() as (pipes, port, handed):
        _, writer, far_reader, far_writer = await connect(port, handed)
        writer.transport.abort()
        async with asyncio.timeout(60):
            assert await far_reader.read() == b""
            far_writer.close()
            await until(lambda: pipes.open == 0)


async def test_a_client_that_does_not_read_costs_a_bounded_buffer() -> None:
    """When nobody reads, the pipe stops reading too: what it holds stays bounded."""
    async with piped() as (pipes, port, handed):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        inside = await handed.get()
        inside.setblocking(False)
        sent, idle = 0, 0
        while idle < 200:
            try:
                sent += inside.send(bytes(65_536))
                idle = 0
            except BlockingIOError:
                idle += 1
            await asyncio.sleep(0)
        kernel = 8 << 20  # both sockets' own buffers
        assert pipes.meter.bytes <= sent
        assert sent < kernel + 4 * BUFFER
        client.close()
        inside.close()


async def test_no_more_clients_than_places() -> None:
    """A client beyond the limit is disconnected; a freed place is used again."""
    async with piped(limit=2) as (pipes, port, handed):
        first = await connect(port, handed)
        await connect(port, handed)
        async with asyncio.timeout(60):
            reader, _ = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            assert handed.empty()
            first[1].close()
            first[3].close()
            await until(lambda: pipes.open < 2)
            await connect(port, handed)


async def test_without_an_enclave_clients_are_disconnected() -> None:
    """When there is nobody to hand a connection to, it is closed at once and counts no longer."""

    def nobody(connection: socket.socket) -> None:
        connection.close()
        raise Unavailable("enclave_gone", "There is none.")

    pipes = Pipes(nobody, 4)
    listening = socket.create_server(("127.0.0.1", 0))
    server = await pipes.listen(listening)
    async with asyncio.timeout(60):
        reader, _ = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        assert await reader.read() == b""
        await until(lambda: pipes.open == 0)
    server.close()
