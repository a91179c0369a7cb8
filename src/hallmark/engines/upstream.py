"""An OpenAI-compatible server as the engine: vLLM, llama.cpp, Ollama, SGLang, or a provider.

What such a server says about itself is only recorded, never believed: no artifact of ours ran. Bodies pass
through both ways. Towards the server two members may be set, `model` (when its name there is another) and
`stream_options` (tokens are counted even when the client does not ask); the rest keeps its exact bytes.
From the server every event and every object keeps its exact bytes, so tools, reasoning and log probabilities
need no code here.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urldefrag, urlsplit

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unavailable
from hallmark.engines.protocol import Description
from hallmark.http.connection import Connection, Response
from hallmark.http.sse import Splitter, data_of
from hallmark.http.tls import spki_digest

Dial = Callable[[str], Awaitable[socket.socket]]

MAX_ANSWER: Final = 32 * 1024 * 1024
CONNECT_S: Final = 10.0
HEAD_S: Final = 120.0
IDLE_S: Final = 120.0
# Reasons of a provider that clients act upon; any other becomes `upstream_rejected`.
KNOWN_CODES: Final = frozenset(
    {"context_length_exceeded", "content_filter", "invalid_value", "unsupported_parameter"}
)
PARAM: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")


class UpstreamRejected(InvalidInput):
    """The server refuses the request; `param` is the parameter that it names, if any."""

    param: str | None = None


class UpstreamLimited(Unavailable):
    """The server limits the rate of requests."""

    status = 429


class Target(msgspec.Struct, frozen=True):
    """Where an upstream is: base URL up to and with `/v1`, and the model's name there (empty: the same)."""

    label: str
    url: str
    model: str = ""

    @classmethod
    def parse(cls, label: str, text: str) -> Target:
        """From `https://host/v1#name-there`. Raises InvalidInput `bad_url`."""
        url, model = urldefrag(text)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput("bad_url", "An upstream's address is not an http or https URL.")
        return cls(label, url.rstrip("/"), model)


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

    def __init__(self, target: Target, dial: Dial, context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self._dial = dial
        self._context = context
        # Encoded here, not at the first request: an enclave could not load the codec any more.
        self._authority = urlsplit(target.url).netloc.rpartition("@")[2].encode("idna")

    def describe(self) -> Description:
        """Names the server and nothing else: nothing else is known."""
        return Description("upstream", "unmeasured", (f"label={self.target.label}",))

    @asynccontextmanager
    async def open(self, path: str, body: bytes, authorization: bytes = b"") -> AsyncGenerator[Reply, None]:
        """Send a request to `path` below the base URL ("/chat/completions").

        Raises UpstreamRejected `upstream_rejected` (or a code of KNOWN_CODES), UpstreamLimited
        `upstream_rate_limited`, NotFound `model_not_found`, Unavailable `upstream_unreachable`,
        `upstream_unauthorized`, `upstream_failed`, and as `hallmark.http` raises.
        """
        connection = await self._connect()
        try:
            async with asyncio.timeout(HEAD_S):
                await connection.send(self._head(path, body, authorization), body)
                await connection.head()
            response = Response(connection, IDLE_S)
            if response.status != 200:
                raise _refusal(response.status, await response.read(65_536))
            yield Reply(response, self.target, _spki(connection))
        except TimeoutError:
            raise Unavailable("timed_out", f"The upstream gave no answer within {HEAD_S:g} s.") from None
        finally:
            connection.abort()

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
        parts = urlsplit(self.target.url)
        opened = await self._dial(self.target.label)
        secure = parts.scheme == "https"
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection,
                    sock=opened,
                    ssl=self._context if secure else None,
                    server_hostname=parts.hostname if secure else None,
                )
        except (OSError, TimeoutError) as error:
            opened.close()
            raise Unavailable("upstream_unreachable", "The upstream cannot be reached.") from error
        return connection

    def _head(self, path: str, body: bytes, authorization: bytes) -> bytes:
        parts = urlsplit(self.target.url)
        lines = [
            f"POST {parts.path}{path} HTTP/1.1".encode("ascii"),
            b"host: " + self._authority,
            b"content-type: application/json",
            b"accept: application/json, text/event-stream",
            b"content-length: " + str(len(body)).encode(),
            b"connection: close",
        ]
        if authorization and b"\r" not in authorization and b"\n" not in authorization:
            lines.append(b"authorization: " + authorization)
        return b"\r\n".join(lines) + b"\r\n\r\n"


class Chunk(msgspec.Struct, frozen=True):
    """One event of a stream: its exact JSON object, whether it carries usage only, and the usage in it."""

    data: bytes
    only_usage: bool
    usage: object


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
        """The answer's exact JSON object. Raises Unavailable `upstream_failed` when it is none."""
        raw = (await self._response.read(MAX_ANSWER)).strip(b" \t\r\n")
        self.asserted.take(_answer_object(raw))
        return raw

    async def events(self) -> AsyncGenerator[Chunk, None]:
        """The chunks of a stream; ends at `[DONE]`.

        Raises Unavailable `upstream_failed` on an error event, a malformed chunk, or an end that comes too
        early.
        """
        if not self._streams:
            raise Unavailable(
                "upstream_failed", "The upstream answered a stream request with something else."
            )
        splitter = Splitter()
        async for data in self._response:
            for event in splitter.feed(data):
                payload = data_of(event)
                if payload is None:
                    continue
                if payload == b"[DONE]":
                    return
                value = _answer_object(payload)
                self.asserted.take(value)
                if b"\n" in payload or b"\r" in payload:
                    payload = msgspec.json.encode(value)
                yield Chunk(payload, value.get("choices") == [] and "usage" in value, value.get("usage"))
        if not self.asserted.finished:
            raise Unavailable("upstream_failed", "The upstream's stream ended before its answer did.")


def _answer_object(raw: bytes) -> dict[str, object]:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict) or not value or "hallmark" in value or not raw.startswith(b"{"):
        raise Unavailable("upstream_failed", "The upstream's answer is not what its protocol says.")
    if value.get("error") is not None:
        raise Unavailable("upstream_failed", "The upstream reported an error while it answered.")
    return value


def _count(value: object, otherwise: int) -> int:
    return (
        value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else otherwise
    )


def _spki(connection: Connection) -> str:
    peer = connection.info("ssl_object")
    certificate = peer.getpeercert(binary_form=True) if peer is not None else None
    return hex0x(spki_digest(certificate)) if certificate else ""


def _refusal(status: int, body: bytes) -> HallmarkError:
    """The error for a server's refusal. Its text may quote the request: only known words are taken over."""
    code, param = "", None
    try:
        error = msgspec.json.decode(body)["error"]
        code, param = error.get("code"), error.get("param")
    except Exception:
        code = ""
    if status in (401, 403):
        return Unavailable("upstream_unauthorized", "The upstream did not accept this node's credentials.")
    if status == 429:
        return UpstreamLimited("upstream_rate_limited", "The upstream limits the rate of requests.")
    if status == 404:
        return NotFound("model_not_found", "The upstream does not know this model.")
    if 400 <= status < 500:
        reason = code if code in KNOWN_CODES else "upstream_rejected"
        refusal = UpstreamRejected(reason, f"The upstream refused the request (status {status}, {reason}).")
        refusal.param = param if isinstance(param, str) and PARAM.fullmatch(param) else None
        return refusal
    return Unavailable("upstream_failed", f"The upstream failed (status {status}).")
