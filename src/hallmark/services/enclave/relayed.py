"""Answers by an upstream server: its bytes pass through, its claims are recorded."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters, UpstreamRecord
from hallmark.core.errors import HallmarkError, Unauthorized
from hallmark.core.prices import Use
from hallmark.engines.openai_edits import Edit
from hallmark.engines.openai_images import images_of
from hallmark.engines.openai_request import Envelope, decode
from hallmark.engines.openai_response import Shape
from hallmark.engines.protocol import MILLION, Task
from hallmark.engines.upstream import JSON, Asserted, Chunk, Reply, Target, Upstream
from hallmark.http.asgi import header
from hallmark.services.enclave.answers import Call, Ending, answer_stream, answer_whole, metered
from hallmark.services.enclave.inputs import image_records, images_in, input_records
from hallmark.services.enclave.receipt_maker import Opening, Outcome, open_request
from hallmark.services.enclave.streaming import Emitter

ANSWER_TOKENS: Final = 32_768
"""What an answer of an upstream can have when nobody says."""
MOST_TOKENS: Final = 1 << 24
MOST_ANSWERS: Final = 128
BYTES_A_TOKEN: Final = 4
AT_ONCE: Final = frozenset((Task.EMBEDDING, Task.IMAGE))
"""What is answered whole, without tokens."""
AUTHORIZATION = b"hallmark-upstream-authorization"


class _Relay(msgspec.Struct):
    """An upstream's answer while it passes; `reply` knows what the server asserted so far."""

    call: Call
    upstream: Upstream
    envelope: Envelope
    opening: Opening
    task: Task
    inputs: tuple[bytes, ...]
    parameters: Parameters
    authorization: bytes
    images: int = 0
    edit: Edit | None = None
    reply: Reply | None = None
    last: bytes = b""
    chunks: int = 0

    async def whole(self) -> tuple[bytes, Ending]:
        """The server's JSON object, as it came."""
        async with self._open(stream=False) as reply:
            self.reply = reply
            content = await reply.content()
        if self.task is Task.IMAGE:
            self.images = self._drawn(content)
        return content, self.ending()

    def _drawn(self, content: bytes) -> int:
        """How many images an answer has. Raises UpstreamFailed `upstream_failed`: a link is no image, and
        more than were asked for were not reserved.
        """
        found = images_of(content)
        if found is None:
            raise self.upstream.target.failed("gave something else than images in base64; ask for b64_json")
        if len(found) > self.images:
            raise self.upstream.target.failed("gave more images than were asked for")
        return len(found)

    async def stream(self, emitter: Emitter) -> None:
        """The server's chunks, as they came, without the usage chunk that only we asked for.

        A chunk that counts the tokens waits for the next: the last of a stream follows the receipt's event.
        """
        wants_usage = bool(self.envelope.stream_options and self.envelope.stream_options.include_usage)
        async with self._open(stream=True) as reply:
            self.reply = reply
            async for chunks in reply.events(emitter.busy_s):
                data = self._passed(chunks, wants_usage=wants_usage)
                self.opening.meter.used = self._used()
                if data:
                    await emitter.emit(data)

    def _passed(self, chunks: list[Chunk], *, wants_usage: bool) -> bytes:
        """These chunks as they go on; the last one that counts tokens waits for the next, or for the end."""
        parts = []
        for chunk in chunks:
            if chunk.comment:
                parts.append(b": %b\n\n" % chunk.data)
                continue
            if chunk.only_usage and not wants_usage:
                continue
            self.chunks += 1
            parts.append(self.last)
            event = b"data: %b\n\n" % chunk.data
            self.last = event if chunk.counts else b""
            if not chunk.counts:
                parts.append(event)
        return b"".join(parts)

    def ending(self) -> Ending:
        """How the receipt follows from what passed."""
        return Ending(self._outcome, self._frame, lambda: self.last)

    def _open(self, *, stream: bool) -> AbstractAsyncContextManager[Reply]:
        scope = self.call.scope
        path = str(scope["path"]).removeprefix("/v1")
        if self.edit is not None:
            kind, body = self.edit.form(self.upstream.model)
        else:
            kind, body = JSON, self.upstream.prepare(self.call.body, stream=stream)
        return self.upstream.open(path, body, self.authorization, kind=kind)

    @property
    def _said(self) -> Asserted:
        return self.reply.asserted if self.reply is not None else Asserted()

    def _used(self) -> Use:
        """What has been used so far: what the server said, and before it did, a token for each chunk and for
        every four bytes of the request.
        """
        said = self._said
        tokens_in = said.tokens_in or -(-len(self.call.body) // BYTES_A_TOKEN)
        return Use(tokens_in, max(said.tokens_out, self.chunks), self.images)

    def _frame(self) -> bytes:
        model = self._said.model or self.envelope.model
        answer_id = self._said.response_id or f"hallmark-{self.opening.answer_id}"
        created = self.opening.started // 1000
        return Shape(answer_id, created, model, chat=self.task is Task.CHAT).frame()

    def _outcome(self, response: bytes) -> Outcome:
        target, said = self.upstream.target, self._said
        nothing = UpstreamRecord("", target.url, target.label, "", "")
        return Outcome(
            response=response,
            parameters=self.parameters,
            tokens_in=said.tokens_in,
            tokens_out=said.tokens_out,
            upstream=self.reply.record() if self.reply is not None else nothing,
            inputs=self.inputs,
            images=self.images,
        )


async def answer(
    call: Call, task: Task, envelope: Envelope, upstream: Upstream, *, edit: Edit | None = None
) -> None:
    """Pass a request to an upstream server and its answer to the client. `edit` is a request that came as a
    form; its images are inputs, and are not counted as tokens.
    """
    opening = open_request(call.runtime, call.scope, call.body, upstream=True)
    target = upstream.target
    sent = decode(call.body, dict[str, Any]) if edit is None else {"n": edit.n}
    images, read = images_in(envelope.messages), len(call.body if edit is None else edit.prompt.encode())
    if task is Task.IMAGE:
        images = sent.get("n") or 1
    most = Use(read, 0 if task in AT_ONCE else _most_out(sent, call), images)
    opening = await metered(call, opening, target.label, most)
    relay = _Relay(
        call=call,
        upstream=upstream,
        envelope=envelope,
        opening=opening,
        task=task,
        inputs=input_records(envelope.messages, opening.request_salt)
        if edit is None
        else image_records(edit.pictures, opening.request_salt),
        parameters=_parameters(sent, task, upstream, opening),
        images=images,
        edit=edit,
        authorization=header(call.scope, AUTHORIZATION) or call.runtime.upstream_authorization(target.label),
    )
    try:
        if envelope.stream and task not in AT_ONCE:
            await answer_stream(call, opening, relay.stream, relay.ending())
        else:
            await answer_whole(call, opening, relay.whole())
    except HallmarkError as error:
        raise _told(error, target, keyless=not relay.authorization) from error


def _told(error: HallmarkError, target: Target, *, keyless: bool) -> HallmarkError:
    """A provider that refused this node's key, or the lack of one: what is to be done about it. Asking again
    does not help, and neither does another node.
    """
    if error.reason != "upstream_unauthorized":
        return error
    name = f"The upstream of '{target.label}' ({urlsplit(target.url).hostname})"
    hint = f"Whoever runs the node gives it one: hallmark upstream key set {target.label}"
    if keyless:
        what = f"{name} wants an API key, and this node has none for it."
        told = Unauthorized("upstream_key_missing", what, hint)
    else:
        told = Unauthorized("upstream_unauthorized", f"{name} did not accept this node's API key.", hint)
    kept = ("status", "retry", "retry_after")
    told.__dict__.update({key: value for key, value in vars(error).items() if key in kept})
    return told


def _parameters(sent: dict[str, Any], task: Task, upstream: Upstream, opening: Opening) -> Parameters:
    """What was asked of the upstream, where it fits; what it really applied is not known to anybody here."""
    stop = sent.get("stop")
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else ()
    limit = sent.get("max_completion_tokens") or sent.get("max_tokens")
    return Parameters(
        task=task.value,
        max_tokens=limit if isinstance(limit, int) and 0 < limit < 2**63 else 0,
        temperature=_millionths(sent.get("temperature"), 0),
        top_p=_millionths(sent.get("top_p"), MILLION),
        stop=tuple(text for text in stops if isinstance(text, str)),
        node_nonce=hex0x(opening.node_nonce),
        seed=0,
        engine=upstream.describe().text(),
    )


def _most_out(sent: dict[str, Any], call: Call) -> int:
    """Tokens that an answer can have: what was asked for, else the configuration's `answer_tokens`."""
    limit = sent.get("max_completion_tokens") or sent.get("max_tokens")
    known = limit if isinstance(limit, int) and 0 < limit < MOST_TOKENS else 0
    each = known or call.runtime.configuration.limits.get("answer_tokens", ANSWER_TOKENS)
    answers = sent.get("n")
    return each * (answers if isinstance(answers, int) and 0 < answers <= MOST_ANSWERS else 1)


def _millionths(value: object, otherwise: int) -> int:
    return round(value * MILLION) if isinstance(value, int | float) and 0 <= value <= 100 else otherwise
