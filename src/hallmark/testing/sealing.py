"""For tests of sealed requests: a client that seals and opens, key holders, an ASGI server of one request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hallmark.core.hashing import sha256
from hallmark.crypto.hpke import AEAD_AES128, KEM_X25519, PrivateKey
from hallmark.http.asgi import ASGIApp, Message
from hallmark.privacy.binary_http import Fields, Request, ResponseParser, encode_request
from hallmark.privacy.key_configurations import Ratchet, configurations
from hallmark.privacy.ohttp import ClientRequest, KeyConfiguration, decode_list, encode_list
from hallmark.privacy.padding import CODING, FrameReader, pad_request
from hallmark.services.sealing.keys import Window

SINCE = 1_700_000_000_000
EVERY = 3_600_000
PADDED = (b"accept-encoding", CODING.encode())


def ratchet(count: int = 4, *, since: int = SINCE, every: int = EVERY) -> Ratchet:
    """A schedule whose seed everybody knows."""
    return Ratchet(sha256(b"a seed"), since=since, every=every, count=count)


class Holder:
    """Holds the keys of some windows, for good."""

    def __init__(self, schedule: Ratchet, windows: Iterable[int] = (0,)) -> None:
        self.windows = tuple(Window(at, sha256(schedule.blob(at)), schedule.keys(at)) for at in windows)

    def in_force(self) -> tuple[Window, ...]:
        """See `KeyHolder`."""
        return self.windows

    def configuration(self, kem: int = KEM_X25519, window: int = 0) -> KeyConfiguration:
        """What a client seals to."""
        held = next(each for each in self.windows if each.number == window)
        return of_kem(configurations(held.number, tuple(held.keys.values())), kem)


def of_kem(offered: Iterable[KeyConfiguration], kem: int) -> KeyConfiguration:
    """The configuration of a KEM."""
    return next(each for each in offered if each.kem == kem)


def from_blob(blob: bytes, kem: int = KEM_X25519) -> KeyConfiguration:
    """The configuration of a KEM in `application/ohttp-keys`."""
    return of_kem(decode_list(blob), kem)


def foreign(configuration: KeyConfiguration, keys: Mapping[int, PrivateKey]) -> KeyConfiguration:
    """The same key id and KEM with the public key of somebody else."""
    other = next(key for key in keys.values() if key.kem.id == configuration.kem)
    return msgspec.structs.replace(configuration, public_key=other.public)


def keys_text(offered: Sequence[KeyConfiguration]) -> bytes:
    """`application/ohttp-keys`."""
    return encode_list(tuple(offered))


def post(path: str, content: bytes, headers: Fields = (), authority: bytes = b"hallmark.invalid") -> Request:
    """A request as our own clients make them, padded both ways."""
    fields = ((b"content-type", b"application/json"), PADDED, *headers)
    return Request(b"POST", b"https", authority, path.encode(), fields, content)


def get(path: str, headers: Fields = (PADDED,)) -> Request:
    """A request without content."""
    return Request(b"GET", b"https", b"hallmark.invalid", path.encode(), headers)


class Opened(msgspec.Struct, frozen=True):
    """An opened response; `chunks` are the plaintexts of its chunks, as they came."""

    status: int
    headers: Fields
    content: bytes
    chunks: tuple[bytes, ...]

    def header(self, name: bytes) -> bytes | None:
        """The first header of this name."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The content, as JSON."""
        return msgspec.json.decode(self.content)


class Sealed:
    """One sealed request, and what opens its response."""

    def __init__(
        self,
        configuration: KeyConfiguration,
        request: Request | bytes,
        *,
        aead: int = AEAD_AES128,
        chunked: bool = True,
        pieces: int = 1,
        padded: bool = True,
    ) -> None:
        message = request if isinstance(request, bytes) else encode_request(request)
        message = pad_request(message) if padded else message
        self.size = len(message)
        self.chunked = chunked
        self.client = ClientRequest(configuration, aead, chunked=chunked)
        size = -(-len(message) // pieces)
        parts = [message[at : at + size] for at in range(0, len(message), size)]
        sealed = [self.client.seal(part, final=number == len(parts) - 1) for number, part in enumerate(parts)]
        self.capsule = self.client.header + b"".join(sealed)

    @property
    def media_type(self) -> bytes:
        """Of the request."""
        return b"message/ohttp-chunked-req" if self.chunked else b"message/ohttp-req"

    def open(self, response: bytes) -> Opened:
        """The whole response. Raises as `ResponseReader` and `ResponseParser` do."""
        reader = self.client.response()
        chunks = [*reader.feed(response), *reader.end()]
        parser, frames = ResponseParser(), FrameReader()
        content = b"".join(parser.feed(chunk) for chunk in chunks)
        parser.end()
        if dict(parser.headers).get(b"content-encoding") == CODING.encode():
            content = frames.feed(content)
            frames.end()
        return Opened(parser.status, parser.headers, content, tuple(chunks))


class Outcome(msgspec.Struct):
    """What an application sent: the status of its head, its headers, each piece, whether it ended."""

    status: int = 0
    headers: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    ended: bool = False

    @property
    def body(self) -> bytes:
        """All pieces."""
        return b"".join(self.pieces)

    @property
    def reason(self) -> str:
        """Of an error."""
        return str(msgspec.json.decode(self.body)["error"]["code"])


async def ask(
    app: ASGIApp,
    sealed: Sealed | bytes,
    *,
    path: str = "/v1/hallmark/sealed",
    media_type: bytes = b"",
    pieces: int = 1,
    gone: asyncio.Event | None = None,
    headers: Fields = (),
) -> Outcome:
    """One POST to an ASGI application, in so many pieces; the client goes when `gone` is set."""
    capsule = sealed if isinstance(sealed, bytes) else sealed.capsule
    if not media_type:
        media_type = b"message/ohttp-chunked-req" if isinstance(sealed, bytes) else sealed.media_type
    size = max(1, -(-len(capsule) // pieces))
    parts = [capsule[at : at + size] for at in range(0, len(capsule), size)] or [b""]
    waiting: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]
    gone = gone or asyncio.Event()
    outcome = Outcome()

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            outcome.status, outcome.headers = message["status"], dict(message["headers"])
        else:
            outcome.pieces.append(message.get("body", b""))
            outcome.ended = not message.get("more_body", False)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": [(b"content-type", media_type), *headers],
        "client": ("198.51.100.7", 1),
        "server": ("127.0.0.1", 2),
        "query_string": b"",
    }
    await app(scope, receive, send)
    return outcome
