"""One request on its way through the application, and the ways in which answers end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from hallmark.core.answer import hallmark_event, join_hallmark
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.http.asgi import Receive, Scope, Send, respond
from hallmark.services.enclave.openai_response import DONE
from hallmark.services.enclave.runtime import Runtime
from hallmark.services.enclave.sealing import Opening, Outcome, Sealed, seal
from hallmark.services.enclave.streaming import Emitter, Gone, while_present


class Call(msgspec.Struct, frozen=True):
    """A request: ASGI's three, the exact body, and what the enclave offers."""

    runtime: Runtime
    scope: Scope
    receive: Receive
    send: Send
    body: bytes


class Ending(msgspec.Struct, frozen=True):
    """What a finished answer comes to, given the digest of its bytes: the receipt's content."""

    outcome: Callable[[bytes], Outcome]
    frame: Callable[[], bytes]


async def answer_whole(call: Call, opening: Opening, work: Coroutine[Any, Any, tuple[bytes, Ending]]) -> None:
    """Make a JSON answer, seal it, send it with its receipt. Nothing leaves without one."""
    try:
        content, ending = await while_present(call.receive, work)
    except Gone:
        call.runtime.log("client_gone")
        return
    sealed = await seal(call.runtime, opening, ending.outcome(sha256(opening.response_start, content)))
    await respond(
        call.send, 200, join_hallmark(content, sealed.hallmark), [(b"hallmark-receipt", sealed.id.encode())]
    )


async def answer_stream(
    call: Call, opening: Opening, work: Callable[[Emitter], Awaitable[None]], ending: Ending
) -> None:
    """Run `work`, which emits the answer's events; then seal, send the receipt's event and [DONE].

    Before the first byte, errors are raised and become an ordinary error response. After it, whatever goes
    wrong still ends with a signed and stored receipt over the bytes that left, but without [DONE].
    """
    emitter = Emitter(call.send, opening.response_start)
    try:
        await while_present(call.receive, _run(work, emitter))
    except Gone:
        if emitter.started:
            sealed = await _seal(call, opening, emitter, ending)
            call.runtime.log("client_disconnected", receipt=sealed.id)
        return
    except asyncio.CancelledError:  # the server ends this request: what left is still signed for
        if emitter.started:
            await asyncio.shield(asyncio.ensure_future(_seal(call, opening, emitter, ending)))
        raise
    except Exception as error:
        if not emitter.started:
            raise
        await emitter.fail(await _after_failure(call, opening, emitter, ending, error))
        return
    try:
        sealed = await _seal(call, opening, emitter, ending)
    except HallmarkError as error:
        call.runtime.log("answer_unsigned", reason=error.reason)
        await emitter.fail(error)
        return
    await emitter.end(hallmark_event(ending.frame(), sealed.hallmark) + DONE)


async def _run(work: Callable[[Emitter], Awaitable[None]], emitter: Emitter) -> None:
    await work(emitter)


async def _seal(call: Call, opening: Opening, emitter: Emitter, ending: Ending) -> Sealed:
    return await seal(call.runtime, opening, ending.outcome(emitter.digest))


async def _after_failure(
    call: Call, opening: Opening, emitter: Emitter, ending: Ending, error: Exception
) -> HallmarkError:
    """Seal what has left although making the rest failed; what the client is told."""
    told = error if isinstance(error, HallmarkError) else internal_error(call.runtime, error)
    try:
        sealed = await _seal(call, opening, emitter, ending)
        call.runtime.log("answer_failed", reason=told.reason, receipt=sealed.id)
    except HallmarkError as refused:
        call.runtime.log("answer_unsigned", reason=refused.reason)
    return told


def internal_error(runtime: Runtime, error: BaseException) -> HallmarkError:
    """A bug, logged by the name of its class alone: an exception's text may hold content."""
    runtime.log("internal_error", kind=type(error).__name__)
    return HallmarkError("internal_error", "Something went wrong here that should not have.")
