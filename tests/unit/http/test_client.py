"""The pooled client against servers on loopback."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts
from hallmark.http.serve import Listen, bind
from hallmark.http.tls import check_pin, spki_digest
from hallmark.testing.ports import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@asynccontextmanager
async def raw_server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server that runs `handler` per connection; gives its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, sock=bind(Listen(free_port())), ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request head and its content-length body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            head += await reader.readexactly(int(line.split(b":")[1]))
    return head


def certificate(path: Path) -> tuple[ssl.SSLContext, bytes]:
    """A self-signed P-256 server context and the pin of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    cert = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 7, start, start + datetime.timedelta(days=20000)
        )
    ).sign(key, hashes.SHA256())
    pem = path / "server.pem"
    pem.write_bytes(
        cert.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, spki_digest(cert.public_bytes(Encoding.DER))


async def reason_of(awaitable: Awaitable[object]) -> str:
    """The reason code that an awaitable raises."""
    with pytest.raises(HallmarkError) as caught:
        await awaitable
    return caught.value.reason


async def get(pool: Pool, url: str, **options: object) -> bytes:
    """The body of a GET."""
    async with pool.request("GET", url, **options) as response:  # type: ignore[arg-type]
        return await response.read()


async def test_a_second_request_reuses_the_connection() -> None:
    """Two requests after each other travel over one connection, byte for byte."""
    seen: list[bytes] = []
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            seen.append(await read_request(reader))
            writer.write(OK)

    pool = Pool()
    async with raw_server(handler) as port:
        for _ in range(2):
            async with pool.request(
                "POST", f"http://127.0.0.1:{port}/a?b=1", [(b"x", b"y")], b"\xff\0z"
            ) as r:
                assert (r.status, await r.read()) == (200, b"hi")
        await pool.aclose()
    assert connections == 1
    head = f"POST /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx: y\r\ncontent-length: 3\r\n\r\n".encode()
    assert seen == [head + b"\xff\0z"] * 2


async def test_a_stale_connection_is_replaced_once() -> None:
    """A kept connection that the server closes on the next request, before any byte, is retried afresh."""
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(OK)
        await reader.read(1)
        writer.transport.abort()

    pool = Pool()
    async with raw_server(handler) as port:
        assert await get(pool, f"http://127.0.0.1:{port}/") == b"hi"
        assert await get(pool, f"http://127.0.0.1:{port}/") == b"hi"
    assert connections == 2


async def test_a_post_is_not_sent_twice_once_a_byte_was_written() -> None:
    """The server may have acted on it before it closed: a provider would be asked, and paid, twice."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)
        seen.append(await read_request(reader))
        writer.transport.abort()

    pool = Pool()
    async with raw_server(handler) as port:
        url = f"http://127.0.0.1:{port}/"
        assert await get(pool, url) == b"hi"

        async def post() -> bytes:
            async with pool.request("POST", url, body=b"x") as response:
                return await response.read()

        assert await reason_of(post()) == "connection_lost"
    assert len(seen) == 2


async def test_nothing_is_retried_after_a_response_byte() -> None:
    """Once a single byte of the answer has come, a lost connection is an error and not a second request."""
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(OK)
        await read_request(reader)
        requests += 1
        writer.write(b"H")
        await writer.drain()

    pool = Pool()
    async with raw_server(handler) as port:
        await get(pool, f"http://127.0.0.1:{port}/")
        assert await reason_of(get(pool, f"http://127.0.0.1:{port}/")) == "connection_lost"
    assert requests == 2


async def test_a_fresh_connection_is_never_retried() -> None:
    """A server that closes a first connection without an answer has been asked once."""
    requests = 0

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1

    async with raw_server(handler) as port:
        assert await reason_of(get(Pool(), f"http://127.0.0.1:{port}/")) == "connection_lost"
    assert requests == 1


async def test_chunked_bodies_and_informational_heads() -> None:
    """A 100 is skipped, chunks come without framing, and a body without length ends with the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    pool = Pool()
    async with raw_server(handler) as port:
        assert await get(pool, f"http://127.0.0.1:{port}/") == b"abcde"
        assert await get(pool, f"http://127.0.0.1:{port}/") == b"until the end"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ],
)
async def test_a_truncated_body_is_an_error(answer: bytes) -> None:
    """A body that is shorter than announced never looks complete."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    async with raw_server(handler) as port:
        assert await reason_of(get(Pool(), f"http://127.0.0.1:{port}/")) == "connection_lost"


@pytest.mark.parametrize("answer", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000])
async def test_what_is_not_http_is_refused(answer: bytes) -> None:
    """Garbage and endless heads end with `bad_http`."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await reader.read()

    async with raw_server(handler) as port:
        assert await reason_of(get(Pool(), f"http://127.0.0.1:{port}/")) == "bad_http"


async def test_a_pinned_key_is_required_before_any_byte(tmp_path: Path) -> None:
    """With the right pin an unknown certificate will do; with another the server sees no request."""
    context, pin = certificate(tmp_path)
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4))
        if seen[-1]:
            writer.write(OK)

    async with raw_server(handler, context) as port:
        url = f"https://127.0.0.1:{port}/"
        assert await get(Pool(), url, pin=pin) == b"hi"
        with pytest.raises(VerificationFailed) as caught:
            await get(Pool(), url, pin=bytes(32))
        assert caught.value.reason == "pin_mismatch"
        assert await reason_of(get(Pool(), url)) == "connect_failed"
    assert [part for part in seen if part] == [b"GET "]


class _Peer:
    """A TLS peer that shows this certificate."""

    def __init__(self, shown: bytes) -> None:
        self._shown = shown

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return self._shown


@pytest.mark.parametrize("shown", [None, b"", b"\x30\x03\x02\x01\x00"])
def test_a_certificate_that_cannot_be_read(shown: bytes | None) -> None:
    """A peer without a certificate, or with one that is none, is not the pinned one."""
    with pytest.raises(VerificationFailed) as caught:
        check_pin(None if shown is None else _Peer(shown), bytes(32))  # type: ignore[arg-type]
    assert caught.value.reason == "pin_mismatch"


@pytest.mark.parametrize(
    "error", [RuntimeError("state"), ConnectionResetError(), ssl.SSLError(), TimeoutError()]
)
async def test_a_connection_that_breaks_while_it_is_made(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the loop raises for a peer that goes away in a handshake, nobody was reached."""

    async def broken(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", broken, raising=False)
    assert await reason_of(get(Pool(), "https://127.0.0.1:1/", pin=bytes(32))) == "connect_failed"


@pytest.fixture
def _shallow() -> Iterator[None]:
    """Recursion as deep as in a service: oracles of other tests raise the limit for the whole process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("_shallow")
async def test_json_that_is_nested_too_deeply() -> None:
    """It is no answer, and nobody's bug."""
    deep = b"[" * 100_000

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(deep) + deep)

    pool = Pool()
    async with raw_server(handler) as port, pool.request("GET", f"http://127.0.0.1:{port}/") as response:
        assert await reason_of(response.json(object)) == "bad_json"
    await pool.aclose()


async def test_pins_do_not_share_connections(tmp_path: Path) -> None:
    """A connection that was opened for one pin is never used for another."""
    context, pin = certificate(tmp_path)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    pool = Pool()
    async with raw_server(handler, context) as port:
        assert await get(pool, f"https://127.0.0.1:{port}/", pin=pin) == b"hi"
        assert await reason_of(get(pool, f"https://127.0.0.1:{port}/", pin=bytes(32))) == "pin_mismatch"


async def test_leaving_early_drops_the_connection() -> None:
    """Leaving the block before the body has ended is seen by the server as a disconnect."""
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfirst")
        try:
            await reader.read()
        finally:
            gone.set()

    async with raw_server(handler) as port:
        async with Pool().request("GET", f"http://127.0.0.1:{port}/") as response:
            assert await anext(response) == b"first"
        async with asyncio.timeout(60):
            await gone.wait()


async def test_reading_slowly_holds_the_sender_back() -> None:
    """While nobody reads the body, a bounded part of it is buffered here."""
    written = 0
    piece = b"x" * 65536

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(piece) * 1000))
        for _ in range(1000):
            writer.write(piece)
            await writer.drain()
            written += 1

    async with raw_server(handler) as port:
        async with Pool().request("GET", f"http://127.0.0.1:{port}/") as response:
            before = -1
            while before != written:
                before = written
                for _ in range(200):
                    await asyncio.sleep(0)
            assert written < 1000
            assert sum([len(chunk) async for chunk in response]) == len(piece) * 1000


@pytest.mark.parametrize("more", [b"", b"hi"])
async def test_the_answer_to_head_ends_with_its_head(more: bytes) -> None:
    """Its content-length is of what GET would give: nothing is waited for, what comes anyway is dropped."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK.removesuffix(b"hi") + more)
        await reader.read()

    async with raw_server(handler) as port:
        timeouts = Timeouts(idle=0.05)
        async with Pool().request("HEAD", f"http://127.0.0.1:{port}/", timeouts=timeouts) as response:
            assert (response.status, response.header(b"content-length")) == (200, b"2")
            assert await response.read() == b""


async def test_limits_and_timeouts() -> None:
    """A body over the limit, a silent peer, a full pool and a dead port each have a reason code."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/big" in await read_request(reader):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n" + b"x" * 50)
        await reader.read()

    quick = Timeouts(head=0.02, pool=0.01)
    pool = Pool(per_origin=1, timeouts=quick)
    async with raw_server(handler) as port:
        url = f"http://127.0.0.1:{port}"
        async with pool.request("GET", f"{url}/big") as response:
            assert await reason_of(get(pool, f"{url}/big")) == "pool_exhausted"
            with pytest.raises(TooLarge):
                await response.read(limit=10)
        assert await reason_of(get(pool, f"{url}/silent")) == "timed_out"
    with pytest.raises(Unavailable) as caught:
        await get(pool, f"{url}/big")
    assert caught.value.reason == "connect_failed"


async def test_waiters_are_served_in_turn_and_cancelled_ones_skipped() -> None:
    """A place that becomes free goes to the next in line that still wants it, and none is lost."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK)

    pool = Pool(per_origin=1)
    async with raw_server(handler) as port:
        url = f"http://127.0.0.1:{port}/"
        async with pool.request("GET", url) as response:
            first, second = asyncio.ensure_future(get(pool, url)), asyncio.ensure_future(get(pool, url))
            await asyncio.sleep(0)
            first.cancel()
            await response.read()
        assert await second == b"hi"
        assert await get(pool, url) == b"hi"


async def test_a_streamed_body_of_known_length_is_sent_as_it_is() -> None:
    """With a content-length among the headers there are no chunks; the connection goes on."""
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            writer.write(OK)

    async def parts() -> AsyncIterator[bytes]:
        yield b"hel"
        yield b"lo"

    async with raw_server(handler) as port:
        pool = Pool()
        for _ in range(2):
            sized = [(b"content-length", b"5")]
            async with pool.request("PUT", f"http://127.0.0.1:{port}/", sized, parts()) as response:
                assert await response.read() == b"hi"
        await pool.aclose()
    assert all(one.endswith(b"\r\n\r\nhello") and b"chunked" not in one for one in seen)


async def test_an_early_answer_ends_the_sending() -> None:
    """Who answers before the body is complete gets no more of it, and its answer arrives; the connection is
    not used again.
    """
    sent, answered = 0, asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        answered.set()
        await reader.read()

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b"x"
            await answered.wait()
            await asyncio.sleep(0)

    async with raw_server(handler) as port:
        pool = Pool()
        for count in (1, 2):
            sized = [(b"content-length", b"1000")]
            async with pool.request("PUT", f"http://127.0.0.1:{port}/", sized, parts()) as response:
                assert (response.status, await response.read()) == (413, b"no")
            assert sent < 1_000 * count
        await pool.aclose()


async def test_a_streamed_request_body_is_chunked() -> None:
    """An async iterable is sent with chunked framing."""
    seen = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await read_request(reader)
        seen = await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"three"

    async with raw_server(handler) as port:
        async with Pool().request("PUT", f"http://127.0.0.1:{port}/", body=parts()) as response:
            assert response.status == 200
    assert seen == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http:///x", "http://a:99999/", "http://a/\r\nx", "http://a/\xe9"]
)
def test_bad_addresses(url: str) -> None:
    """What is not an http address is refused before anything is opened."""
    with pytest.raises(InvalidInput):
        Pool().request("GET", url)


def test_a_header_cannot_smuggle_a_line() -> None:
    """A line break in a header value is refused."""
    with pytest.raises(InvalidInput):
        Pool().request("GET", "http://a/", [(b"x", b"a\r\nb: c")])


async def test_a_long_response_takes_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many parts it comes in; a part that is late by the newest part's time ends it all the same."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(50):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)
        await reader.read()

    timers: list[float] = []
    loop = asyncio.get_running_loop()
    real = loop.call_at

    def counted(when: float, callback: Callable[..., object], *args: object, **named: object) -> object:
        if getattr(callback, "__name__", "") == "_look":
            timers.append(when)
        return real(when, callback, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    async with raw_server(handler) as port:
        pool, parts = Pool(timeouts=Timeouts(idle=0.3)), []

        async def read() -> None:
            async with pool.request("GET", f"http://127.0.0.1:{port}/") as response:
                async for part in response:
                    parts.append(part)

        assert await reason_of(read()) == "timed_out"
        assert b"".join(parts) == b"x" * 50
        assert len(timers) <= 3
        await pool.aclose()
