"""Decoders of sealed requests and answers, for fuzzing: each reads its input whole and in pieces, and what
comes out must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from hallmark.core.errors import HallmarkError
from hallmark.privacy import binary_http, key_configurations, ohttp, padding

SECRET = bytes(range(32))
REQUEST = binary_http.Request(
    b"POST", b"https", b"node", b"/v1/x?a", ((b"a", b"1"), (b"a", b"2")), b"{}" * 40, ((b"after", b"x"),)
)
ANSWER = binary_http.Response(200, ((b"content-type", b"text/plain"),), b"an answer", ((b"after", b"x"),))
STREAM = (
    b"\3\x40\x64\0"
    + binary_http.start_response(200, ANSWER.headers)[1:]
    + binary_http.content_piece(b"an ")
    + binary_http.content_piece(b"answer" * 30)
    + binary_http.END
)


class Split(Exception):
    """What came out depended on how the bytes were split, which is a finding."""


class _Reader(Protocol):
    def feed(self, data: bytes) -> object:
        """More bytes."""
        ...

    def end(self) -> object:
        """No more of them."""
        ...


def sealed_targets() -> Iterator[tuple[str, tuple[bytes, ...], Callable[[bytes], object]]]:
    """Names, good inputs, calls."""
    schedule = key_configurations.Ratchet(SECRET, since=0, every=1, count=1)
    yield "key configurations", (schedule.blob(0),), ohttp.decode_list
    requests = (binary_http.encode_request(REQUEST), padding.pad_request(binary_http.encode_request(REQUEST)))
    yield "Binary HTTP request", requests, binary_http.decode_request
    answers = (binary_http.encode_response(ANSWER), STREAM, STREAM + bytes(20))
    yield "Binary HTTP response", answers, lambda data: _alike(binary_http.ResponseParser, data)
    frames = (padding.frame(b"a token") + padding.frame(b"") + padding.frame(b"x" * 300),)
    yield "padded frames", frames, lambda data: _alike(padding.FrameReader, data)
    keys = schedule.keys(0)
    offered = ohttp.decode_list(schedule.blob(0))
    clients = [ohttp.ClientRequest(each, ephemeral=SECRET) for each in offered]
    sealed = tuple(c.header + c.seal(b"one") + c.seal(b"two", final=True) for c in clients)
    yield "sealed request", sealed, lambda data: _alike(lambda: ohttp.ServerRequest(keys, most=4096), data)
    server = ohttp.ServerRequest(keys)
    server.feed(sealed[0])
    writer = server.response(bytes)
    pieces = [writer.header, *map(writer.seal, (b"one", b"two" * 90)), writer.seal(b"three", final=True)]
    client = clients[0]
    yield (
        "sealed response",
        (b"".join(pieces),),
        lambda data: _alike(lambda: client.response(most=4096), data),
    )


def _alike(make: Callable[[], _Reader], data: bytes) -> None:
    """Read it whole, and in pieces of three sizes. Raises as the reader does, or Split."""
    found, error = _read(make(), data, len(data) or 1)
    for size in (1, 7, 100):
        if len(data) < 4096:
            other, ending = _read(make(), data, size)
            if other != found or _reason(ending) != _reason(error):
                raise Split(f"in pieces of {size}")
    if error is not None:
        raise error


def _reason(error: HallmarkError | None) -> str:
    return "" if error is None else error.reason


def _read(reader: _Reader, data: bytes, size: int) -> tuple[list[bytes], HallmarkError | None]:
    """What comes out, and the error that ends it. Chunks stay apart; of content only the bytes count."""
    found: list[bytes] = []
    ending = None
    try:
        for at in range(0, len(data), size):
            _take(found, reader.feed(data[at : at + size]))
        _take(found, reader.end())
    except HallmarkError as error:
        ending = error
    chunks = isinstance(reader, (ohttp.ServerRequest, ohttp.ResponseReader))
    return found if chunks else [b"".join(found)], ending


def _take(found: list[bytes], out: object) -> None:
    if isinstance(out, list):
        found.extend(out)
    elif isinstance(out, bytes):
        found.append(out)
