"""The pages behind the gateway: passed on whole, never in the way of the answer API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hallmark.http.asgi import Receive, Scope, Send, read_body, respond_json
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.services.gateway.page_proxy import PageProxy, is_page


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """A web process that tells what it was asked."""
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": {key.decode(): value.decode() for key, value in scope["headers"]},
        "body": (await read_body(receive, 1 << 20)).decode(),
    }
    await respond_json(send, told, 203, [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A client."""
    made = Pool()
    yield made
    await made.aclose()


async def ask(
    pool: Pool, pages: PageProxy, path: str, **more: Any
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """One request through a gateway that has nothing but pages."""
    async with serving(Service(pages), bind(Listen(0))) as url:
        headers = more.pop("headers", [])
        async with pool.request(more.pop("method", "GET"), url + path, headers, **more) as response:
            return response.status, list(response.headers), await response.read()


async def test_request_and_answer_pass_whole(pool: Pool) -> None:
    """Method, path, query, body, cookies and status arrive as they were; the client's address is told."""
    async with serving(Service(mirror), bind(Listen(0))) as web:
        status, headers, body = await ask(
            pool,
            PageProxy(pool, web),
            "/review/a%2Fb?x=1&y=%C3%A9",
            method="POST",
            headers=[(b"cookie", b"s=1"), (b"x-forwarded-host", b"evil.test"), (b"origin", b"http://o")],
            body=b"reason=x",
        )
    told = json.loads(body)
    assert status == 203
    assert [value for key, value in headers if key == b"set-cookie"] == [b"a=1", b"b=2"]
    assert (told["method"], told["query"], told["body"]) == ("POST", "x=1&y=%C3%A9", "reason=x")
    assert told["path"] == "/review/a/b"
    assert told["headers"]["cookie"] == "s=1"
    assert told["headers"]["origin"] == "http://o"
    assert told["headers"]["x-forwarded-host"].startswith("127.0.0.1:")


async def test_pages_that_are_down_say_so(pool: Pool) -> None:
    """While the web process is away a page answers 503 with a reason, and nothing else."""
    status, _, body = await ask(pool, PageProxy(pool, "http://127.0.0.1:9"), "/review")
    assert status == 503
    assert b"pages_unavailable" in body


async def test_no_pages_is_an_unknown_path(pool: Pool) -> None:
    """A gateway without pages knows no such path."""
    status, _, body = await ask(pool, PageProxy(pool, ""), "/review")
    assert status == 404
    assert b"unknown_path" in body


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", True),
        ("/review/0x00", True),
        ("/v1/hallmark/review/items", True),
        ("/v1/hallmark/policies", True),
        ("/v1/models", False),
        ("/v1/chat/completions", False),
        ("/v1/hallmark/receipts/0x00", False),
        ("/v1", True),
    ],
)
def test_the_answer_api_stays_here(path: str, page: bool) -> None:
    """What answers questions and shows proofs never goes through the web process."""
    assert is_page(path) is page
