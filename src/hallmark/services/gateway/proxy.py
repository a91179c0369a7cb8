"""Passing a request to an enclave and its answer back, byte for byte.

1. The body goes out as it came in, over TLS that ends in the enclave whose key the plan names.
2. Another node is tried only while nothing of an answer has come: a client never gets parts of two. Where a
   provider answers, or the request is paid for, only while nothing of it can have been done: nobody pays
   twice for one request.
3. What comes back is taken apart, checked against its receipt and shown with the marks that follow. An answer
   without a receipt is an error; one whose receipt does not hold says so in its marks and in the log.
4. The receipt goes to the disk and to the log at once; the last bytes wait until one of them has it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Attempt
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.core.marks import Finding, Mark, Question, derive_marks
from hallmark.http.asgi import Receive, Scope, Send, header, read_body
from hallmark.http.client import Pool, Timeouts
from hallmark.http.connection import Response
from hallmark.http.encoding import decoded
from hallmark.http.errors import render
from hallmark.http.sse import event_of
from hallmark.routing.eligibility import Eligible, NoNode, Wanted
from hallmark.routing.load import LoadTable
from hallmark.services.gateway.answer_marks import Marker
from hallmark.services.gateway.disconnect import until_disconnect
from hallmark.services.gateway.failures import UNKNOWN, Failures
from hallmark.services.gateway.health import skew_told
from hallmark.services.gateway.node_errors import (
    RETRY_HEADERS,
    UNSENT,
    lost_at_provider,
    read_failure,
)
from hallmark.services.gateway.outbox import Outbox, Track
from hallmark.services.gateway.paths import EDITS
from hallmark.services.gateway.payments import SENT, TOLD, lost_with_payment, read_paying
from hallmark.services.gateway.receipt_status import ReceiptStatus
from hallmark.services.gateway.receipt_store import Kept
from hallmark.services.gateway.response import (
    STREAM_HEADERS,
    ClientRequest,
    ResponseWriter,
    committed_request,
    receipt_headers,
)
from hallmark.services.gateway.response_headers import request_id
from hallmark.services.gateway.route_planner import (
    RoutePlan,
    RoutePlanner,
    pin_of,
    read_named,
    read_named_form,
    read_wanted,
)
from hallmark.services.gateway.stop_requests import StopRequests
from hallmark.services.gateway.stream_capture import StreamCapture
from hallmark.services.gateway.wait_queue import WaitQueue
from hallmark.telemetry.logs import get_logger
from hallmark.telemetry.metrics import Metrics
from hallmark.verification.answer_parser import ParsedAnswer, open_answer, open_stream, unsigned

PASSED_ON: Final = SENT | {
    b"content-type",
    b"accept",
    b"hallmark-nonce",
    b"hallmark-inputs",
    b"hallmark-mode",
}
SKEWED: Final = "clock_skew"
UNTIMELY: Final = frozenset(("ticket_expired", "ticket_early"))
STREAM: Final = b"text/event-stream"
# Statuses with which a node says that it did not begin: another one may.
ANOTHER: Final = frozenset((429, 500, 502, 503, 504))


class NextNode(Exception):
    """A node gave nothing of an answer, so another one may be tried; `begun`: it may have been at work."""

    def __init__(self, reason: str, *, unreachable: bool, begun: bool | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unreachable = unreachable
        self.begun = reason not in UNSENT if begun is None else begun


class Limits(msgspec.Struct, frozen=True):
    """Bytes of a request and of an answer; seconds that a request waits for a free place at most."""

    body: int
    answer: int
    queue_s: float


class Proxy:
    """See the module docstring."""

    def __init__(
        self,
        pool: Pool,
        planner: RoutePlanner,
        loads: LoadTable,
        *,
        marker: Marker,
        outbox: Outbox,
        desk: ReceiptStatus,
        failures: Failures,
        metrics: Metrics,
        limits: Limits,
        timeouts: Timeouts,
        clock: Callable[[], int],
    ) -> None:
        self._pool, self._planner, self._loads = pool, planner, loads
        self._marker, self._outbox, self._desk = marker, outbox, desk
        self._limits, self._clock = limits, clock
        # A stream is never silent for long (the enclave sends comments); a whole answer is.
        self._timeouts = msgspec.structs.replace(timeouts, head=min(timeouts.head, timeouts.idle))
        self._whole_timeouts = msgspec.structs.replace(timeouts, idle=timeouts.head)
        self._outcomes = metrics.counter("gateway_attempts", "Attempts at nodes by outcome.", ("outcome",))
        self._failures = failures
        self.stopping = StopRequests(pool)
        self._line = WaitQueue()
        metrics.gauge("gateway_waiting", "Requests that wait for a free place.", lambda: len(self._line))
        self._first = metrics.histogram("gateway_first_byte_seconds", "Request to a node's first byte.")
        self._faults = metrics.counter("gateway_faults", "Answers that did not hold, by reason.", ("reason",))

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises HallmarkError before the first byte, Disconnected."""
        body = decoded(scope, await read_body(receive, self._limits.body), self._limits.body)
        named = read_named_form(scope, body) if scope["path"] == EDITS else read_named(body)
        policy = (header(scope, b"hallmark-policy") or b"").decode("latin-1")
        if policy:
            self._desk.require_policy(policy)
        headers = [(key, value) for key, value in scope["headers"] if key in PASSED_ON]
        name, paying = request_id(scope), read_paying(headers)
        request = ClientRequest(scope["path"], body, headers, policy, name, bool(named.stream), paying)
        wanted = read_wanted(scope, named.model)
        out = ResponseWriter(send)
        try:
            await until_disconnect(receive, self._answer(request, wanted, out))
        except HallmarkError as error:
            self._failures.note(self._named(wanted), error)
            raise
        if out.lost:
            self._failures.add(self._named(wanted), out.lost)
        elif not out.unpaid:
            self._failures.ended(self._named(wanted), out.status)

    def _named(self, wanted: Wanted) -> str:
        """The model as failures are counted by; whatever else a client wrote is shown to nobody."""
        return wanted.model if self._planner.judge(wanted).known else UNKNOWN

    async def _answer(self, request: ClientRequest, wanted: Wanted, out: ResponseWriter) -> None:
        """Try; while nodes only lack a free place, wait in line for one and try again."""
        deadline = asyncio.get_running_loop().time() + self._limits.queue_s
        while True:
            try:
                await self._try(request, self._planner.plan(wanted, request.paying), out)
                return
            except NoNode as error:
                if out.started or not error.busy or not await self._line.wait(deadline):
                    raise

    async def _try(self, request: ClientRequest, plan: RoutePlan, out: ResponseWriter) -> None:
        attempts: list[Attempt] = []
        payers, paying = self._planner.payers, request.paying
        for node in plan.order:
            if paying is not None and not payers.take(paying, node.node):
                continue
            provider = plan.found.wanted.model in node.bundle.upstreams
            once = provider or paying is not None
            try:
                try:
                    with self._loads.lease(node.node), self.stopping.under(request.headers, node):
                        await self._attempt(request, node, plan.headers(attempts), out, once=once)
                finally:
                    self._line.released()
                    if out.salts and not self._outbox.knows(request.name):
                        # what the node signed of an answer that stopped will be in the log
                        self._outbox.stopped(committed_request(request, out.salts), request.name)
                return
            except NextNode as failure:
                if once and failure.begun:
                    self._failed(node, failure.reason)
                    raise (lost_at_provider() if provider else lost_with_payment()) from failure
                if paying is not None:
                    payers.release(paying)
                self._loads.failed(node.node, self._clock(), unreachable=failure.unreachable)
                self._outcomes.add(failure.reason)
                get_logger().warning("node_passed_over", node=node.node, reason=failure.reason)
                attempts.append(Attempt(hex0x(node.node), failure.reason[:64]))
        if attempts and all(attempt.outcome == SKEWED for attempt in attempts):
            raise self._skewed(plan.order)
        raise plan.found.refusal(attempt.outcome for attempt in attempts)

    def _skewed(self, nodes: Sequence[Eligible]) -> Unavailable:
        """The error when tickets of this moment have run out by every node's clock."""
        known = [(node.bundle.endpoint, self._loads.of(node.node).skew) for node in nodes]
        told = [f"{endpoint} is {skew_told(skew)}" for endpoint, skew in known if skew is not None]
        measured = f" (by this gateway's clock {', '.join(told)})" if told else ""
        return Unavailable(
            SKEWED,
            f"The clocks of this gateway and its nodes differ too much for an answer{measured}.",
            "The operators must set the clocks; nothing is wrong with the request.",
        )

    async def _attempt(
        self,
        request: ClientRequest,
        node: Eligible,
        route: list[tuple[bytes, bytes]],
        out: ResponseWriter,
        *,
        once: bool,
    ) -> None:
        """Ask one node. `once`: what is done there costs somebody money, done twice it costs it twice."""
        began = time.perf_counter()
        exchange = self._pool.request(
            "POST",
            node.bundle.endpoint + request.path,
            [*request.headers, *route],
            request.body,
            pin=pin_of(node),
            timeouts=self._timeouts if request.stream else self._whole_timeouts,
        )
        try:
            response = await exchange.__aenter__()
        except HallmarkError as error:
            raise NextNode(error.reason, unreachable=error.reason != "pool_exhausted") from error
        try:
            took = time.perf_counter() - began
            if response.status != 200:
                await self._refused(response, out, once=once)
                return
            if (response.header(b"content-type") or b"").startswith(STREAM):
                await self._stream(request, node, response, out)
            else:
                await self._whole(request, node, response, out)
            self._first.observe(took)
            self._outcomes.add("answered")
            self._loads.answered(node.node, took * 1000, self._clock())
        finally:
            await exchange.__aexit__(None, None, None)

    async def _refused(self, response: Response, out: ResponseWriter, *, once: bool) -> None:
        """Pass the enclave's own refusal on, or try another node when it did not begin.

        Where money is spent, only when the node says that nothing was done. A request that is not paid for as
        the node wants it (402, and what is wrong with a payment) is never tried elsewhere.
        """
        try:
            body = await response.read(65_536)
        except HallmarkError as error:
            raise NextNode(error.reason, unreachable=True) from error
        reason = read_failure(body).reason
        unpaid = response.status == 402 and not reason.startswith("upstream_")
        if response.status in ANOTHER:
            begun = reason not in UNSENT and reason not in UNTIMELY
            if not once or not begun:
                # The ticket was made a moment ago, so it is not the ticket that is old.
                told = SKEWED if reason in UNTIMELY else reason
                raise NextNode(told, unreachable=False, begun=begun)
        self._outcomes.add("unpaid" if unpaid else "refused")
        out.unpaid = unpaid
        length = str(len(body)).encode()
        kept = [(key, value) for key, value in response.headers if key in RETRY_HEADERS or key in TOLD]
        kept += [(b"cache-control", b"no-store")] if unpaid else []
        head = [(b"content-type", b"application/json"), (b"content-length", length), *kept]
        await out.start(response.status, head)
        await out.body(body, more=False)

    async def _whole(
        self, request: ClientRequest, node: Eligible, response: Response, out: ResponseWriter
    ) -> None:
        try:
            sealed = open_answer(await response.read(self._limits.answer))
        except HallmarkError as error:
            self._failed(node, error.reason)
            raise _lost(error) from error
        track, findings = await self._receive(request, node, sealed)
        marks = await self._marks(request, track, findings)
        body = sealed.rejoin(_hallmark(sealed, marks))
        await self._outbox.settle(track)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"hallmark-receipt", hex0x(sealed.id).encode()),
            *receipt_headers(request, response),
        ]
        await out.start(200, headers)
        await out.body(body, more=False)

    async def _stream(
        self, request: ClientRequest, node: Eligible, response: Response, out: ResponseWriter
    ) -> None:
        tap, where = StreamCapture(self._limits.answer), receipt_headers(request, response)
        try:
            async for chunk in response:
                passed = tap.feed(chunk)
                if passed and not request.policy:
                    if not out.started:
                        await out.start(200, [*STREAM_HEADERS, *where])
                    await out.body(passed, more=True)
            sealed = None if tap.failure else open_stream(tap.whole())
        except HallmarkError as error:
            if not tap.whole():
                raise NextNode(error.reason, unreachable=True) from error
            self._failed(node, error.reason)
            if not out.started:
                raise _lost(error) from error
            # No [DONE]: what the client has is no complete answer, and it is told so.
            lost = _lost(error)
            out.lost = lost.reason
            await out.body(event_of(render(lost)), more=False)
            return
        if sealed is None:
            await self._failure(node, tap.failure, out)
            return
        track, findings = await self._receive(request, node, sealed)
        await self._outbox.settle(track)
        marks = await self._marks(request, track, findings)
        last = sealed.rejoin(_hallmark(sealed, marks))
        if request.policy:
            await out.start(200, [*STREAM_HEADERS, *where, (b"hallmark-receipt", hex0x(sealed.id).encode())])
            last = sealed.head + last
        elif not out.started:
            await out.start(200, [*STREAM_HEADERS, *where])
        await out.body(last, more=False)

    async def _failure(self, node: Eligible, event: bytes, out: ResponseWriter) -> None:
        """End as the enclave ended its stream: with one error, which names whose it is."""
        told = read_failure(event)
        self._outcomes.add(told.reason)
        if not told.reason.startswith("upstream_"):
            self._failed(node, told.reason)
        if not out.started:
            raise told
        out.lost = told.reason
        await out.body(event, more=False)

    async def _receive(
        self, request: ClientRequest, node: Eligible, sealed: ParsedAnswer
    ) -> tuple[Track, list[Finding]]:
        """Send the receipt on its way to the log, and examine the answer that it came with."""
        configuration = sealed.seal.documents.get("configuration")
        kept = Kept(
            sealed.id,
            sealed.entry,
            sealed.evidence,
            configuration.encode() if isinstance(configuration, str) else b"",
            self._clock(),
            request=request.name,
            answer=sealed.answer_id,
        )
        track = self._outbox.add(kept)
        # Disk and log begin before the examination takes this thread.
        for _ in range(3):
            await asyncio.sleep(0)
        findings = list(self._marker.examine(sealed, request.path, request.body))
        if sealed.receipt.node != node.node:
            findings += self._marker.broken(sealed, "other_node_answered")
        for finding in findings:
            if finding.state.is_negative:
                self._faults.add(finding.reason)
                get_logger().error(
                    "answer_does_not_hold",
                    receipt=sealed.id,
                    node=node.node,
                    question=finding.question.value,
                    reason=finding.reason,
                )
        return track, findings

    async def _marks(
        self, request: ClientRequest, track: Track, findings: list[Finding]
    ) -> Mapping[Question, Mark]:
        """The marks that go out with an answer: those that cleared it, or without a policy those of now.

        Raises NotCleared when the policy is not met in time.
        """
        if not request.policy:
            return derive_marks(findings)
        return (await self._desk.hold(track, request.policy, findings)).marks

    def _failed(self, node: Eligible, reason: str) -> None:
        self._loads.failed(node.node, self._clock(), unreachable=False)
        self._outcomes.add(reason)
        get_logger().error("answer_failed", node=node.node, reason=reason)


def _hallmark(sealed: ParsedAnswer, marks: Mapping[Question, Mark]) -> bytes:
    """The enclave's object, with the marks as they stand here in place of the node's own."""
    members = msgspec.json.decode(sealed.raw, type=dict[str, msgspec.Raw])
    shown = {question.value: mark.to_json() for question, mark in marks.items()}
    members["marks"] = msgspec.Raw(msgspec.json.encode(shown))
    return msgspec.json.encode(members)


def _lost(error: HallmarkError) -> HallmarkError:
    if isinstance(error, VerificationFailed):
        return unsigned()
    return Unavailable(
        "answer_lost",
        "The node stopped before its answer was complete; no other node was asked.",
        "Ask again. If the node had finished, its receipt is in the log, and no answer belongs to it.",
    )
