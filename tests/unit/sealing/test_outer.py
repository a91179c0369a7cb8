"""Sealed responses as they leave: classes, gathering, order, and the final chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hallmark.http.asgi import Message, Send
from hallmark.privacy.binary_http import start_response
from hallmark.privacy.ohttp import ServerRequest
from hallmark.services.sealing import outer
from hallmark.services.sealing.outer import SealedSend, filled
from hallmark.testing.sealing import Holder, Sealed, get, ratchet

HOLDER = Holder(ratchet())
HEADERS = [(b"content-type", b"text/event-stream"), (b"Content-Length", b"77")]
START: Message = {"type": "http.response.start", "status": 200, "headers": HEADERS}


def piece(data: bytes, *, more: bool = True) -> Message:
    """One message of a body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


class Sink:
    """The outer `send`: pieces, and whether the response ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = False
        self.held: asyncio.Event | None = None

    async def __call__(self, message: Message) -> None:
        if self.held is not None:
            await self.held.wait()
        if message["type"] == "http.response.body":
            self.pieces.append(message["body"])
            self.ended = not message["more_body"]

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


def begun(send: Send, *, chunked: bool = True, padded: bool = True) -> tuple[Sealed, SealedSend]:
    """A request that opened, and what seals its response."""
    sealed = Sealed(HOLDER.configuration(), get("/"), chunked=chunked)
    request = ServerRequest(HOLDER.windows[0].keys, chunked=chunked)
    request.feed(sealed.capsule)
    request.end()
    return sealed, SealedSend(send, request.response(), chunked=chunked, padded=padded, bodiless=False)


def still(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the loop's clock for who asks it the time; the function that is returned moves it."""
    loop = asyncio.get_running_loop()
    now = loop.time()

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(loop, "time", lambda: now)
    return move


@pytest.mark.parametrize("many", [1, 2, 9, 40])
async def test_what_comes_within_the_gap_leaves_in_one_frame(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece leaves at once; however many follow within 20 ms, they are one frame."""
    sink = Sink()
    sealed, send = begun(sink)
    still(monkeypatch)
    await send(START)
    await send(piece(b"first"))
    assert len(sink.pieces) == 1
    for number in range(many):
        await send(piece(b"%d," % number))
    assert len(sink.pieces) == 1
    await send(piece(b"", more=False))
    answer = sealed.open(sink.data)
    assert answer.content == b"first" + b"".join(b"%d," % number for number in range(many))
    assert [len(chunk) for chunk in answer.chunks[1:]] == [258, 258, 2]


async def test_what_waits_leaves_when_the_gap_is_over() -> None:
    """Nothing needs to follow: it leaves by itself."""
    sink = Sink()
    sealed, send = begun(sink)
    await send(START)
    await send(piece(b"a"))
    await send(piece(b"b"))
    await send(piece(b"c"))
    async with asyncio.timeout(60):
        while len(sink.pieces) < 2:  # noqa: ASYNC110 - the sink has no event, and the gap is 20 ms
            await asyncio.sleep(0.001)
    await send(piece(b"", more=False))
    assert sealed.open(sink.data).content == b"abc"
    assert len(sink.pieces) == 3


async def test_frames_are_further_apart_than_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that comes after the gap leaves at once."""
    sink = Sink()
    sealed, send = begun(sink)
    move = still(monkeypatch)
    await send(START)
    for number in range(5):
        await send(piece(b"%d" % number))
        assert len(sink.pieces) == number + 1
        move(outer.GAP_S + 0.001)
    await send(piece(b"end", more=False))
    assert sealed.open(sink.data).content == b"01234end"


async def test_much_leaves_without_waiting() -> None:
    """Where much has gathered, its size says nothing of tokens, and memory is bounded."""
    sink = Sink()
    sealed, send = begun(sink)
    await send(START)
    await send(piece(b"a"))
    await send(piece(b"b" * (outer.MOST_GATHERED + 1)))
    assert len(sink.pieces) == 2
    await send(piece(b"", more=False))
    assert len(sealed.open(sink.data).content) == outer.MOST_GATHERED + 2


async def test_a_large_answer_is_several_frames() -> None:
    """Each a chunk of its own, of at most a MiB."""
    sink = Sink()
    sealed, send = begun(sink)
    content = bytes(range(256)) * (10 << 10)
    await send(START)
    await send(piece(content, more=False))
    answer = sealed.open(sink.data)
    assert answer.content == content
    assert max(map(len, answer.chunks)) <= (1 << 20) + 4


@pytest.mark.parametrize("size", [0, 1, 200, 252])
async def test_sizes_are_the_same_for_all_of_a_class(size: int) -> None:
    """A short answer's head and frame are as long as another's."""
    sizes = []
    for status, headers in ((200, []), (404, [(b"hallmark-charged", b"12345")])):
        sink = Sink()
        sealed, send = begun(sink)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(piece(b"x" * max(size, 1), more=False))
        assert sealed.open(sink.data).status == status
        sizes.append(len(sink.data))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("length", [0, 1, 60, 255, 256, 300, 400, 500, 1_000, 5_000, 16_000, 40_000])
def test_a_head_fills_its_class(length: int) -> None:
    """Whatever its headers are."""
    head = start_response(200, filled(200, ((b"x", b"v" * length),)))
    if length < 16_000:
        assert len(head) & (len(head) - 1) == 0
    assert len(head) >= outer.SMALLEST_HEAD


@pytest.mark.parametrize("padded", [True, False])
async def test_what_frames_the_body_says_how_it_is_coded(padded: bool) -> None:
    """A padded body has no length but its frames'; another keeps the application's."""
    sink = Sink()
    sealed, send = begun(sink, padded=padded)
    await send(START)
    await send(piece(b"x" * 77, more=False))
    answer = sealed.open(sink.data)
    assert answer.header(b"content-length") == (None if padded else b"77")
    assert answer.header(b"content-encoding") == (b"hallmark-padded" if padded else None)
    assert answer.content == b"x" * 77


async def test_without_padding_pieces_leave_as_they_are_made() -> None:
    """Other people's clients ask for no gathering."""
    sink = Sink()
    sealed, send = begun(sink, padded=False)
    await send(START)
    for number in range(4):
        await send(piece(b"%d" % number))
    assert len(sink.pieces) == 4
    await send(piece(b"", more=False))
    assert sealed.open(sink.data).content == b"0123"


async def test_without_chunks_all_leaves_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what cannot be held is not held."""
    sink = Sink()
    sealed, send = begun(sink, chunked=False)
    await send(START)
    await send(piece(b"a"))
    await send(piece(b"b"))
    assert not sink.pieces
    await send(piece(b"c", more=False))
    assert sealed.open(sink.data).content == b"abc"
    monkeypatch.setattr(outer, "MOST_WHOLE", 10)
    _, send = begun(sink, chunked=False)
    await send(START)
    with pytest.raises(Exception, match="without chunks"):
        await send(piece(b"x" * 11))


async def _slow(work: Awaitable[None], sink: Sink) -> None:
    """Do the work while the reader is held for a moment."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    assert sink.held is not None
    sink.held.set()
    await task


async def test_a_slow_reader_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gathers while a frame is being taken follows it, and the end comes last."""
    sink = Sink()
    sealed, send = begun(sink)
    await send(START)
    await send(piece(b"0"))
    sink.held = asyncio.Event()
    monkeypatch.setattr(outer, "GAP_S", 0.0)
    send._due()  # the gap is over while nothing waits
    for number in range(1, 5):
        await send(piece(b"%d" % number))
    send._due()
    await asyncio.sleep(0)
    await _slow(send(piece(b"end", more=False)), sink)
    assert sealed.open(sink.data).content == b"01234end"
    assert sink.ended


async def test_closing_an_answer_that_did_not_end_leaves_it_open() -> None:
    """No final chunk, no end of the outer response, no timer behind."""
    sink = Sink()
    sealed, send = begun(sink)
    await send(START)
    await send(piece(b"a"))
    await send(piece(b"b"))
    await send.close()
    assert not sink.ended
    assert b"".join(sealed.client.response().feed(sink.data)).count(b"a")
    assert len(sink.pieces) == 1


async def test_nothing_follows_an_answer_that_ended() -> None:
    """An application that goes on after its last message is not heard."""
    sink = Sink()
    sealed, send = begun(sink)
    await send(START)
    await send(piece(b"a", more=False))
    await send(piece(b"b", more=False))
    assert sealed.open(sink.data).content == b"a"
