"""HTTP/1.0 clients, and what an error says about asking again."""

from __future__ import annotations

import asyncio

import pytest

from hallmark.core.errors import HallmarkError, Held, InvalidInput, NotFound, Unavailable
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.http.errors import headers_of, not_allowed
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.testing.ports import free_port


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    """`/stream` sends two parts of unknown length; everything else a short answer."""
    if scope["path"] != "/stream":
        await respond(send, 200, b"whole")
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in (b"first ", b"second"):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.parametrize(("path", "body"), [("/stream", b"first second"), ("/", b"whole")])
async def test_http_1_0_gets_no_chunks(path: str, body: bytes) -> None:
    """A body of unknown length ends with the connection, one of known length says it; there is one Date."""
    async with serving(Service(app), bind(Listen(free_port())), grace_s=1) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        async with asyncio.timeout(60):
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert head.lower().count(b"\r\ndate:") == 1
    assert rest == body


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("a", ""), {b"retry-after": b"1"}),
        (InvalidInput("a", ""), {b"x-should-retry": b"false"}),
        (NotFound("a", ""), {b"x-should-retry": b"false"}),
        (Held("a", ""), {b"x-should-retry": b"false"}),
        (HallmarkError("a", ""), {b"x-should-retry": b"false"}),
        (not_allowed("GET", "HEAD"), {b"x-should-retry": b"false", b"allow": b"GET, HEAD"}),
    ],
)
def test_every_error_says_whether_to_ask_again(error: HallmarkError, expected: dict[bytes, bytes]) -> None:
    """Either when, or that it cannot help: clients ask again after 409, 429 and 5xx by themselves."""
    assert dict(headers_of(error)) == expected


def test_an_error_may_know_better() -> None:
    """An error can say when, and that its 503 will not pass."""
    error = Unavailable("a", "")
    error.retry_after = "7"
    assert headers_of(error) == [(b"retry-after", b"7")]
    error.retry = False
    assert headers_of(error) == [(b"x-should-retry", b"false")]
