"""The doubles that clients are tested against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from hallmark.core.errors import Unavailable
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind
from hallmark.services.relay.info import CHUNKED_REQUEST, CHUNKED_RESPONSE, RelayInfo
from hallmark.testing.listening import listening
from hallmark.testing.ports import free_port
from hallmark.testing.relays import LittleRelay, MisbehavingRelay, Mischief, sealed_chunks

ONE, TWO = b"\x01" * 20, b"\x02" * 20
CHUNKS = [b"\x04AAAA", b"\x03BBB", b"\x00CCCC"]
NONCE = b"n" * 16


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with three chunks, then what it got."""
    body = await read_body(receive, 1 << 20)
    assert {key for key, _ in scope["headers"]} == {b"content-type", b"content-length"}
    await respond(send, 200, NONCE + b"".join(CHUNKS) + body, content_type=CHUNKED_RESPONSE)


async def other(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Another node."""
    await respond(send, 200, b"other", content_type=CHUNKED_RESPONSE)


@asynccontextmanager
async def misbehaving() -> AsyncIterator[tuple[MisbehavingRelay, str]]:
    """A relay to two nodes that may misbehave, and its address."""
    relay = MisbehavingRelay(LittleRelay({ONE: echo, TWO: other}, other, b"keys"))
    relay.other, relay.other_keys = f"/v1/relay/0x{TWO.hex()}", b"yours"
    async with listening(Service(relay), bind(Listen(free_port()))) as url:
        yield relay, url


async def post(url: str, body: bytes = b"capsule") -> bytes:
    """The answer of node ONE through a relay."""
    headers = ((b"content-type", CHUNKED_REQUEST), (b"cookie", b"me"))
    async with Pool().request("POST", f"{url}/v1/relay/0x{ONE.hex()}", headers, body) as response:
        return await response.read()


@pytest.mark.parametrize(
    ("mischief", "answer"),
    [
        (Mischief.NONE, [*CHUNKS, b"q"]),
        (Mischief.DELAY, [*CHUNKS, b"q"]),
        (Mischief.DUPLICATE, [CHUNKS[0], *CHUNKS, b"q"]),
        (Mischief.REORDER, [CHUNKS[1], CHUNKS[0], CHUNKS[2], b"q"]),
        (Mischief.TRUNCATE, CHUNKS[:2]),
        (Mischief.FINAL_EARLY, [b"\x00AAAA"]),
        (Mischief.TAMPER_REQUEST, [*CHUNKS, b"p"]),
    ],
)
async def test_what_is_done_to_an_answer(mischief: Mischief, answer: list[bytes]) -> None:
    """Each mischief does what its name says to the chunks, and nothing else."""
    async with misbehaving() as (relay, url):
        relay.mischief = mischief
        assert await post(url, b"q") == NONCE + b"".join(answer)


async def test_swapped_anothers_and_plain() -> None:
    """Another node's answer, the answer before, an answer in clear, none at all, half of one."""
    async with misbehaving() as (relay, url):
        first = await post(url, b"first")
        relay.mischief = Mischief.ANOTHERS_ANSWER
        assert await post(url, b"second") == first
        relay.mischief = Mischief.SWAP_NODE
        assert await post(url) == b"other"
        relay.mischief = Mischief.PLAIN_ANSWER
        assert b"chat.completion" in await post(url)
        for mischief in (Mischief.DROP, Mischief.CUT):
            relay.mischief = mischief
            with pytest.raises(Unavailable):
                await post(url)


async def test_keys_of_ones_own() -> None:
    """The info may be made to show one client other keys."""
    async with misbehaving() as (relay, url):
        for mischief, keys in ((Mischief.NONE, b"keys"), (Mischief.OTHER_KEYS, b"yours")):
            relay.mischief = mischief
            async with Pool().request("GET", f"{url}/v1/relay") as response:
                assert msgspec.json.decode(await response.read(), type=RelayInfo).keys == keys


def test_chunks_are_taken_apart_by_their_lengths() -> None:
    """Lengths of one and of two bytes; the final chunk runs to the end."""
    long = b"\x40\x64" + b"x" * 100
    assert sealed_chunks(NONCE + long + CHUNKS[0] + b"\0end") == (NONCE, [long, CHUNKS[0], b"\0end"])
