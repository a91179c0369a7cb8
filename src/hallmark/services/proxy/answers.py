"""One answer through the proxy.

1. The question is sealed to a node that was checked and drawn here, and goes through the relay. There is no
   other way: what fails ends in an error.
2. A stream goes on as it arrives, each piece after its AEAD has held; but for its closing events, which wait
   until the receipt holds. One that breaks, or whose receipt does not hold, ends in an error event, without
   [DONE], and the connection is cut.
3. With a policy, the client's or the proxy's own, nothing goes on before the policy is met, checked here.
4. What the client gets is the enclave's answer byte for byte, but for `hallmark.marks`: those that this proxy
   derived, and what it sealed to.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from hallmark.core.answer import DONE, hallmark_event, join_hallmark, read_stream, split_hallmark
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable
from hallmark.core.marks import Mark
from hallmark.core.marks import Question as Asked
from hallmark.http.asgi import Receive, Scope, Send, header, read_body, respond
from hallmark.http.encoding import decoded
from hallmark.http.errors import render
from hallmark.http.sse import event_of
from hallmark.services.gateway.disconnect import until_disconnect
from hallmark.services.gateway.stream_capture import StreamCapture
from hallmark.services.proxy.standing import Desk, without_content
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.network import error_of
from hallmark.services.sdk.paid_request import PaidRequest, Reply
from hallmark.services.sdk.receipts import AsyncReceipt, open_answer
from hallmark.services.sdk.way import MAX_ANSWER, Pairs, Question
from hallmark.services.sealing.refusals import AnswerBroken
from hallmark.telemetry.logs import get_logger

MAX_BODY: Final = 32 << 20
PASSED_ON: Final = frozenset((b"hallmark-inputs", b"hallmark-mode", b"hallmark-assurance"))
REFUSED: Final = (b"hallmark-ticket", b"hallmark-candidates", b"hallmark-payment", b"hallmark-relay")
"""Headers that speak for this proxy's own part: a client's are not passed on, and not silently dropped."""
STREAM_HEAD: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
TOLD: Final = frozenset((b"retry-after", b"x-should-retry", b"hallmark-charged", b"payment-required"))
FOLLOW_S: Final = 60.0
NAME: Final = "hallmark.proxy.request"


class Answers:
    """See the module docstring. `policy` is what every answer must meet (empty: none), within `hold_s`."""

    def __init__(self, client: AsyncClient, desk: Desk, *, policy: str, hold_s: float) -> None:
        self._client, self._desk, self._policy, self._hold_s = client, desk, policy, hold_s
        self._following: set[asyncio.Task[None]] = set()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HallmarkError before the first byte, Disconnected."""
        body = decoded(scope, await read_body(receive, MAX_BODY), MAX_BODY)
        for name in REFUSED:
            if header(scope, name) is not None:
                raise InvalidInput(
                    "header_of_the_proxy",
                    f"{name.decode()} is this proxy's to say, so a request cannot bring it.",
                    "Leave it out. To pay, start the proxy with --pay.",
                )
        policy = (header(scope, b"hallmark-policy") or self._policy.encode()).decode("latin-1")
        kept: Pairs = tuple((key, value) for key, value in scope["headers"] if key in PASSED_ON)
        question = self._client.question(scope["path"], body, kept)
        out = _Out(send, str(scope.get(NAME, "")))
        try:
            await until_disconnect(receive, self._answer(question, policy, out))
        except HallmarkError as error:
            self._desk.failed(error)
            get_logger().warning("proxy_no_answer", reason=error.reason)
            if not out.started:
                raise
            # No [DONE], and no end of the body: what the client has is no complete answer.
            await out.body(event_of(render(error)))

    async def aclose(self) -> None:
        """Stop following answers."""
        for task in tuple(self._following):
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def _answer(self, question: Question, policy: str, out: _Out) -> None:
        await question.prepare()
        async with self._client.paid(question) as paid, question.sent(paid) as reply:
            if reply.status != 200:
                await self._refused(paid, reply, out)
                return
            kind = reply.header(b"content-type") or b""
            if kind.startswith(b"text/event-stream"):
                await self._stream(question, paid, reply, policy, out=out)
            else:
                await self._whole(question, paid, reply, policy, out=out)

    async def _refused(self, paid: PaidRequest, reply: Reply, out: _Out) -> None:
        """Pass the enclave's own refusal on: it came sealed. What might be taken for an answer is none."""
        if reply.status < 400:
            raise AnswerBroken("answer_unsigned", "What came back is neither an answer nor a refusal.")
        body = await reply.read(MAX_ANSWER)
        await paid.refused(reply, body)
        self._desk.failed(error_of(reply.status, body))
        told = [(name, value) for name in TOLD if (value := reply.header(name)) is not None]
        await out.whole(reply.status, body, told)

    async def _whole(
        self, question: Question, paid: PaidRequest, reply: Reply, policy: str, *, out: _Out
    ) -> None:
        answer = await reply.read(MAX_ANSWER)
        receipt = await self._checked(question, paid, answer, stream=False)
        marks = await self._held(receipt, policy)
        content, raw = split_hallmark(answer)
        body = join_hallmark(content, told(raw, receipt, marks))
        await out.whole(200, body, [*_head(reply, receipt), *_marks_head(marks)])
        self._answered(receipt, out.name)

    async def _stream(
        self, question: Question, paid: PaidRequest, reply: Reply, policy: str, *, out: _Out
    ) -> None:
        tap = StreamCapture(MAX_ANSWER)
        head = [*STREAM_HEAD, *_head(reply, None)]
        async for chunk in reply:
            passed = tap.feed(chunk)
            if passed and not policy:
                await out.start(200, head)
                await out.body(passed)
        if tap.failure:
            raise error_of(503, tap.failure.removeprefix(b"data: "))
        answer = tap.whole()
        receipt = await self._checked(question, paid, answer, stream=True)
        marks = await self._held(receipt, policy)
        parts = read_stream(answer)
        last = hallmark_event(parts.frame, told(parts.hallmark, receipt, marks)) + parts.tail + DONE
        if not out.started:
            met = [(b"hallmark-receipt", receipt.id.encode()), *_marks_head(marks)] if policy else []
            await out.start(200, [*head, *met])
            last = parts.head + last
        await out.body(last, more=False)
        self._answered(receipt, out.name)

    async def _checked(
        self, question: Question, paid: PaidRequest, answer: bytes, *, stream: bool
    ) -> AsyncReceipt:
        """The receipt of an answer that holds in everything that can be checked when it arrives."""
        try:
            _, dossier = open_answer(question.path, question.body, answer, stream=stream)
        except InvalidInput as error:
            raise AnswerBroken("answer_unsigned", "The answer carries no readable receipt.") from error
        receipt = self._client.handle(dossier)
        question.arrived(receipt)
        await paid.delivered(receipt, answer, stream=stream)
        return receipt

    async def _held(self, receipt: AsyncReceipt, policy: str) -> Mapping[Asked, Mark]:
        """The marks that go out with an answer. Raises AnswerHeld when its policy is not met in time."""
        if policy:
            return (await receipt.wait(policy, self._hold_s)).marks
        return receipt.marks()

    def _answered(self, receipt: AsyncReceipt, name: str) -> None:
        """Remember it without content, and follow its marks."""
        self._desk.answered(receipt, name)
        assert receipt.sealed is not None
        get_logger().info("proxy_answered", receipt=receipt.id, node=receipt.sealed.node.node)
        receipt.dossier = without_content(receipt.dossier)
        task = asyncio.ensure_future(self._follow(receipt))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _follow(self, receipt: AsyncReceipt) -> None:
        try:
            await receipt.wait("witnessed", FOLLOW_S)
        except HallmarkError as error:
            get_logger().info("proxy_followed", receipt=receipt.id, reason=error.reason)
        self._desk.struck(receipt)


class _Out:
    """The client's side of one request; `name` is what the proxy calls it."""

    def __init__(self, send: Send, name: str) -> None:
        self._send, self.name, self.started = send, name, False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head, once."""
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, data: bytes, *, more: bool = True) -> None:
        """Send body bytes."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a complete response."""
        self.started = True
        await respond(self._send, status, body, headers)


def told(raw: bytes, receipt: AsyncReceipt, marks: Mapping[Asked, Mark]) -> bytes:
    """The enclave's `hallmark` object with the marks as they stand here, and what was sealed to."""
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    shown = {question.value: mark.to_json() for question, mark in marks.items()}
    members["marks"] = msgspec.Raw(msgspec.json.encode(shown))
    members["sealed"] = msgspec.Raw(msgspec.json.encode(sealed_to(receipt)))
    return msgspec.json.encode(members)


def sealed_to(receipt: AsyncReceipt) -> dict[str, Any]:
    """What the question was sealed to, as the proxy did it."""
    sealed = receipt.sealed
    if sealed is None:
        raise Unavailable("not_sealed", "The answer did not come the sealed way.")
    return {
        "node": hex0x(sealed.node.node),
        "configuration": sealed.node.configuration_digest,
        "window": sealed.node.window,
        "suite": sealed.suite,
        "size": sealed.size,
        "relay": sealed.relay,
        "insecure": list(sealed.node.insecure),
    }


def request_name() -> str:
    """A name for a request: `req-` and 32 hexadecimal digits."""
    return f"req-{secrets.token_hex(16)}"


def _head(reply: Reply, receipt: AsyncReceipt | None) -> list[tuple[bytes, bytes]]:
    salts = reply.header(b"hallmark-salts")
    told = [(b"hallmark-path", b"sealed"), *([(b"hallmark-salts", salts)] if salts else [])]
    return [*told, (b"hallmark-receipt", receipt.id.encode())] if receipt is not None else told


def _marks_head(marks: Mapping[Asked, Mark]) -> list[tuple[bytes, bytes]]:
    text = ", ".join(f"{question.value}={mark.state.value}" for question, mark in marks.items())
    return [(b"hallmark-marks", text.encode())]
