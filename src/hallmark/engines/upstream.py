"""An OpenAI-compatible server as the engine: vLLM, llama.cpp, Ollama, SGLang, or a provider.

What such a server says about itself is only recorded, never believed: no artifact of ours ran. Bodies pass
through both ways. Towards the server two members may be set, `model` (when its name there is another) and
`stream_options` (tokens are counted even when the client does not ask); the rest keeps its exact bytes.
From the server every event and every object keeps its exact bytes, so tools, reasoning and log probabilities
need no code here.

A request goes out once: on a connection of its own or on one that a complete answer left (`idle.py`), and
never again once a byte of it was written.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import urldefrag, urlsplit

import msgspec

from hallmark.core.answer import MEMBER
from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.upstreams import origin_of
from hallmark.engines.idle_connections import IdleConnections
from hallmark.engines.protocol import Description
from hallmark.engines.refusals import AGAIN, UpstreamFailed, refusal
from hallmark.http.connection import Connection, Response
from hallmark.http.sse import Splitter, data_of
from hallmark.http.tls import spki_digest

Dial = Callable[[str], Awaitable[socket.socket]]

MAX_ANSWER: Final = 32 * 1024 * 1024
JSON: Final = b"application/json"
CONNECT_S: Final = 10.0
SILENCE_S: Final = 540.0
MAX_COMMENT: Final = 200
AT_ONCE_S: Final = 0.002
REST_S: Final = 0.01
"""A fast server is not listened to for so long at most: the end of its answer may be what waits."""


class Target(msgspec.Struct, frozen=True):
    """Where an upstream is: base URL up to and with `/v1`, and the model's name there (empty: the same)."""

    label: str
    url: str
    model: str = ""

    @classmethod
    def parse(cls, label: str, text: str) -> Target:
        """From `https://host/v1#name-there`. Raises InvalidInput `bad_url`."""
        origin_of(text)
        url, model = urldefrag(text)
        return cls(label, url.rstrip("/"), model)

    @property
    def name(self) -> str:
        """How errors name it."""
        return f"The upstream of '{self.label}' ({urlsplit(self.url).hostname})"

    def failed(self, what: str) -> UpstreamFailed:
        """The error for an answer that is none."""
        return UpstreamFailed("upstream_failed", f"{self.name} {what}.", AGAIN)


class Asserted(msgspec.Struct):
    """What the server says about its answer, gathered while it passes."""

    model: str = ""
    response_id: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    finished: bool = False

    def take(self, value: Mapping[str, object]) -> None:
        """Read one object of the answer; what is malformed is left out."""
        model, response_id, usage = value.get("model"), value.get("id"), value.get("usage")
        self.model = model[:200] if isinstance(model, str) and model else self.model
        self.response_id = (
            response_id[:200] if isinstance(response_id, str) and response_id else self.response_id
        )
        if isinstance(usage, dict):
            self.tokens_in = _count(usage.get("prompt_tokens"), self.tokens_in)
            self.tokens_out = _count(usage.get("completion_tokens"), self.tokens_out)
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("finish_reason"):
                self.finished = True


class Upstream:
    """One upstream server, reached through `dial(label)`, which gives a connected stream socket."""

    def __init__(
        self,
        target: Target,
        dial: Dial,
        context: ssl.SSLContext | None = None,
        *,
        silence_s: float = SILENCE_S,
    ) -> None:
        """`silence_s` is how long the server may say nothing, before its answer and within it."""
        self.target = target
        self._silence_s = silence_s
        self._dial = dial
        self._context = context
        # Encoded here, not at the first request: an enclave could not load the codec any more.
        parts = urlsplit(target.url)
        self._host, self._path, self._secure = parts.hostname or "", parts.path, parts.scheme == "https"
        self._authority = parts.netloc.rpartition("@")[2].encode("idna")
        self._description = Description("upstream", "unmeasured", (f"label={target.label}",))
        self._idle = IdleConnections()

    def describe(self) -> Description:
        """Names the server and nothing else: nothing else is known."""
        return self._description

    @asynccontextmanager
    async def open(
        self, path: str, body: bytes, authorization: bytes = b"", *, kind: bytes = JSON
    ) -> AsyncGenerator[Reply, None]:
        """Send a request to `path` below the base URL ("/chat/completions"); `kind` is its media type.

        Raises as `refusal` makes errors; UpstreamFailed `upstream_failed`, `upstream_timed_out`; Unavailable
        `upstream_unreachable`, alone among these when no byte of the body has left.
        """
        connection = self._idle.take() or await self._connect()
        try:
            with self._named():
                async with asyncio.timeout(self._silence_s):
                    head = self._head(path, body, authorization, kind)
                    connection = await self._sent(connection, head, body)
                    await connection.head()
                response = Response(connection, self._silence_s)
                if response.status != 200:
                    raise refusal(self.target.name, response, await response.read(65_536))
                yield Reply(response, self.target, _spki(connection))
        except BaseException:
            connection.abort()
            raise
        self._idle.give(connection)

    async def _sent(self, connection: Connection, head: bytes, body: bytes) -> Connection:
        """Send a request, on another connection if this one turns out closed before a byte was written."""
        try:
            await connection.send(head, body)
        except HallmarkError:
            if connection.written or connection.used < 2:
                raise
            connection.abort()
            connection = await self._connect()
            await connection.send(head, body)
        return connection

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What goes wrong on the connection, as an error that names the upstream."""
        try:
            yield
        except HallmarkError as error:
            if error.reason in ("connection_lost", "bad_http", "response_too_large"):
                what = error.message.removeprefix("The peer's ").removeprefix("The peer ").rstrip(".")
                raise self.target.failed(f"gave no answer that can be used: {what}") from error
            if error.reason != "timed_out":
                raise
            raise self._silent() from error
        except TimeoutError:
            raise self._silent() from None

    def _silent(self) -> UpstreamFailed:
        silent = UpstreamFailed(
            "upstream_timed_out", f"{self.target.name} said nothing for {self._silence_s:g} s.", AGAIN
        )
        silent.status = 504
        return silent

    @property
    def model(self) -> str:
        """What the model is called there."""
        return self.target.model or self.target.label

    def prepare(self, body: bytes, *, stream: bool) -> bytes:
        """The body as it goes out; see the module docstring. `body` is a JSON object."""
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        changed = False
        if self.target.model and self.target.model != self.target.label:
            members["model"] = msgspec.Raw(msgspec.json.encode(self.target.model))
            changed = True
        if stream:
            options = msgspec.json.decode(members.get("stream_options", b"null"))
            if not isinstance(options, dict) or options.get("include_usage") is not True:
                wanted = (options if isinstance(options, dict) else {}) | {"include_usage": True}
                members["stream_options"] = msgspec.Raw(msgspec.json.encode(wanted))
                changed = True
        return msgspec.json.encode(members) if changed else body

    async def _connect(self) -> Connection:
        opened = await self._dial(self.target.label)
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    sock=opened,
                    ssl=self._context if self._secure else None,
                    server_hostname=self._host if self._secure else None,
                )
        except (OSError, TimeoutError) as error:
            opened.close()
            raise Unavailable("upstream_unreachable", f"{self.target.name} cannot be reached.") from error
        return connection

    def _head(self, path: str, body: bytes, authorization: bytes, kind: bytes) -> bytes:
        lines = [
            f"POST {self._path}{path} HTTP/1.1".encode("ascii"),
            b"host: " + self._authority,
            b"content-type: " + kind,
            b"accept: application/json, text/event-stream",
            b"content-length: " + str(len(body)).encode(),
        ]
        if authorization and b"\r" not in authorization and b"\n" not in authorization:
            lines.append(b"authorization: " + authorization)
        return b"\r\n".join(lines) + b"\r\n\r\n"


class Chunk(msgspec.Struct, frozen=True):
    """One event of a stream: its exact JSON object; whether it carries usage and nothing else; whether it
    counts the tokens of a finished answer, so that it may be the last. Or a comment's text (HTML 9.2.6).
    """

    data: bytes
    only_usage: bool = False
    counts: bool = False
    comment: bool = False


class Reply:
    """The server's answer, to be read once: `content` for an object, `events` for a stream."""

    def __init__(self, response: Response, target: Target, spki: str) -> None:
        self._response = response
        self._target = target
        self._spki = spki
        self.asserted = Asserted()
        kind = response.header(b"content-type") or b""
        self._streams = kind.startswith(b"text/event-stream")

    def record(self) -> UpstreamRecord:
        """What the server asserted, for the receipt."""
        host = urlsplit(self._target.url).hostname or ""
        said = self.asserted
        return UpstreamRecord(
            host, self._target.url, self._target.label, said.model, said.response_id, self._spki
        )

    async def content(self) -> bytes:
        """The answer's exact JSON object. Raises UpstreamFailed `upstream_failed` when it is none."""
        raw = (await self._response.read(MAX_ANSWER)).strip(b" \t\r\n")
        self.asserted.take(self._object(raw))
        return raw

    async def events(self, busy_s: Callable[[], float] = lambda: 0.0) -> AsyncGenerator[list[Chunk], None]:
        """The chunks of a stream, comments among them, as many at once as there are; ends at `[DONE]`.

        `busy_s` says for how many seconds whoever takes them can do nothing with more. A server that spoke
        before those were over, or as soon as it was listened to again, is not listened to meanwhile,
        until its answer is finished.

        Raises UpstreamFailed `upstream_failed` on an error event, a malformed chunk, or an end that comes too
        early.
        """
        if not self._streams:
            raise self._target.failed("answered a stream request with something else")
        splitter, done, loop = Splitter(), False, asyncio.get_running_loop()
        async for data in self._response:
            chunks: list[Chunk] = []
            fast = busy_s() > 0 or loop.time() <= self._response.rested + AT_ONCE_S
            try:
                done = self._read(splitter.feed(data), chunks)
            except HallmarkError:
                if chunks:
                    yield chunks
                raise
            if chunks:
                yield chunks
            if done:
                return
            if fast and not self.asserted.finished and (wait := busy_s()) > 0:
                self._response.rest(min(wait, REST_S))
        if not self.asserted.finished:
            raise self._target.failed("ended its stream before its answer did")

    def _read(self, events: list[bytes], chunks: list[Chunk]) -> bool:
        """Add each event's chunk to `chunks`; whether `[DONE]` was among them."""
        for event in events:
            payload = data_of(event)
            if payload is None:
                if event.startswith(b":"):
                    chunks.append(Chunk(_comment(event), comment=True))
                continue
            if payload == b"[DONE]":
                return True
            value = self._object(payload)
            if MEMBER in payload:
                raise self._target.failed("gave an answer that is not what its protocol says")
            self.asserted.take(value)
            if b"\n" in payload or b"\r" in payload:
                payload = msgspec.json.encode(value)
            chunks.append(_chunk(payload, value))
        return False

    def _object(self, raw: bytes) -> dict[str, object]:
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = None
        if not isinstance(value, dict) or not value or "hallmark" in value or not raw.startswith(b"{"):
            raise self._target.failed("gave an answer that is not what its protocol says")
        if value.get("error") is not None:
            raise self._target.failed("reported an error while it answered")
        return value


def _chunk(payload: bytes, value: Mapping[str, object]) -> Chunk:
    if not isinstance(value.get("usage"), dict):
        return Chunk(payload)
    choices = value.get("choices")
    listed = choices if isinstance(choices, list) else []
    ended = any(isinstance(choice, dict) and choice.get("finish_reason") for choice in listed)
    return Chunk(payload, only_usage=choices == [], counts=choices == [] or ended)


def _comment(event: bytes) -> bytes:
    """A comment's first line, without what could be taken for anything else."""
    line = event.splitlines()[0][1:].strip()[:MAX_COMMENT]
    return line if line.isascii() and line.decode("ascii").isprintable() else b""


def _count(value: object, otherwise: int) -> int:
    return (
        value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else otherwise
    )


def _spki(connection: Connection) -> str:
    peer = connection.info("ssl_object")
    certificate = peer.getpeercert(binary_form=True) if peer is not None else None
    return _spki_of(certificate) if certificate else ""


@functools.lru_cache(maxsize=64)
def _spki_of(certificate: bytes) -> str:
    return hex0x(spki_digest(certificate))
