"""One request on its way through the application, and the ways in which answers end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from hallmark.core.answer import hallmark_event, join_hallmark
from hallmark.core.errors import HallmarkError, class_of, places_of
from hallmark.core.hashing import sha256
from hallmark.core.prices import Use
from hallmark.engines.openai_response import DONE
from hallmark.http.asgi import Receive, Scope, Send, header, respond
from hallmark.services.enclave.billing import PAYMENT, SEALED, TOKENS, X402, Asked
from hallmark.services.enclave.modes import require_shown
from hallmark.services.enclave.receipt_maker import Opening, Outcome, Sealed, seal
from hallmark.services.enclave.runtime import TEXT_LIMIT, Runtime
from hallmark.services.enclave.stop_requests import Stoppable, Stops, stopped_early
from hallmark.services.enclave.streaming import KEEP_ALIVE_S, Emitter, Gone, while_present


class Call(msgspec.Struct, frozen=True):
    """A request: ASGI's three, the exact body, and what the enclave offers."""

    runtime: Runtime
    scope: Scope
    receive: Receive
    send: Send
    body: bytes
    stops: Stops | None = None


class Ending(msgspec.Struct, frozen=True):
    """What a finished answer comes to, given the digest of its bytes: the receipt's content.

    Of a stream also what the receipt rides on, and the covered event after it, which counts the tokens.
    """

    outcome: Callable[[bytes], Outcome]
    frame: Callable[[], bytes]
    tail: Callable[[], bytes] = bytes


async def metered(call: Call, opening: Opening, label: str, most: Use) -> Opening:
    """The same opening with the meter that pays for it: `most` is all that the answer of the model `label`
    can use. Raises as `Billing.open` does; nothing has been done then.
    """
    scope = call.scope
    vault, x402 = header(scope, PAYMENT) or b"", header(scope, X402) or b""
    asked = Asked(
        str(scope["path"]),
        call.body,
        vault,
        x402,
        label,
        most,
        opening.started,
        opening.request,
        header(scope, TOKENS) or b"",
        SEALED in (scope.get("extensions") or {}),
    )
    return msgspec.structs.replace(opening, meter=await call.runtime.open_meter(asked))


async def answer_whole(call: Call, opening: Opening, work: Coroutine[Any, Any, tuple[bytes, Ending]]) -> None:
    """Make a JSON answer, seal it, send it with its receipt. Nothing leaves without one."""
    try:
        content, ending = await while_present(call.receive, work)
        outcome = ending.outcome(sha256(opening.response_start, content))
        call.runtime.require_room()
        require_shown(opening.mode, outcome.parameters)
        await opening.meter.collect(outcome.use)
    except Gone:
        opening.meter.cancel()
        call.runtime.log("client_gone")
        return
    except BaseException:
        opening.meter.cancel()
        raise
    try:
        sealed = await seal(call.runtime, opening, outcome)
    except HallmarkError as error:
        error.__dict__["charged"] = opening.meter.give_up()
        raise
    except BaseException:
        opening.meter.give_up()
        raise
    headers = [(b"hallmark-receipt", sealed.id.encode()), *opening.salts, *sealed.headers]
    await respond(call.send, 200, join_hallmark(content, sealed.hallmark), headers)


async def answer_stream(
    call: Call, opening: Opening, work: Callable[[Emitter], Awaitable[None]], ending: Ending
) -> None:
    """Run `work`, which emits the answer's events; then seal, send the receipt's event and the rest.

    An answer that its owner stops ends like one that is complete. Before the first byte, errors are raised
    and become an ordinary error response. After it, whatever goes wrong still ends with a signed and stored
    receipt over the bytes that left, but without [DONE].
    """
    stream = Stoppable(call.send)
    meter = opening.meter
    emitter = Emitter(stream.send, opening.response_start, opening.salts, meter.draw if meter.draws else None)
    try:
        with (call.stops or Stops()).watched(opening.client_nonce, stream):
            stopped = await while_present(call.receive, stream.run(_run(work, emitter)))
        if stopped and not emitter.started:
            raise stopped_early()
    except Gone:
        if emitter.started:
            call.runtime.log("client_disconnected")
            await _seal_partial(call, opening, emitter, ending)
        meter.cancel()
        return
    except asyncio.CancelledError:  # the server ends this request: what left is still signed for
        emitter.drop()
        if emitter.started:
            await asyncio.shield(asyncio.ensure_future(_seal_partial(call, opening, emitter, ending)))
        meter.cancel()
        raise
    except Exception as error:
        if not emitter.started:
            meter.cancel()
            raise
        told = told_of(call.runtime, error)
        call.runtime.log("answer_failed", reason=told.reason)
        await _seal_partial(call, opening, emitter, ending)
        await emitter.fail(told)
        return
    try:
        tail = ending.tail()
        emitter.cover(tail)
        sealed = await _seal(call, opening, emitter, ending, complete=not stopped)
        closing = hallmark_event(ending.frame(), sealed.hallmark) + tail + DONE
    except Exception as error:
        told = told_of(call.runtime, error)
        call.runtime.log("answer_unsigned", reason=told.reason)
        meter.give_up()
        await emitter.fail(told)
        return
    await emitter.end(closing)


async def _run(work: Callable[[Emitter], Awaitable[None]], emitter: Emitter) -> None:
    emitter.keep_alive(KEEP_ALIVE_S)
    try:
        await work(emitter)
    except asyncio.CancelledError:  # nobody wants more of it
        emitter.drop()
        raise
    finally:
        await emitter.still()


async def _seal(call: Call, opening: Opening, emitter: Emitter, ending: Ending, *, complete: bool) -> Sealed:
    return await seal(call.runtime, opening, ending.outcome(emitter.digest), complete=complete)


async def _seal_partial(call: Call, opening: Opening, emitter: Emitter, ending: Ending) -> None:
    """Store a receipt for what has left of an answer that will not be completed."""
    try:
        sealed = await _seal(call, opening, emitter, ending, complete=False)
        call.runtime.log("partial_answer_signed", receipt=sealed.id)
    except Exception as error:
        opening.meter.give_up()
        call.runtime.log("answer_unsigned", reason=told_of(call.runtime, error).reason)


def told_of(runtime: Runtime, error: BaseException) -> HallmarkError:
    """What the client is told. A bug is logged by its class and place alone: its text may hold content."""
    if isinstance(error, HallmarkError):
        return error
    runtime.log("internal_error", kind=class_of(error), where=places_of(error, causes=1)[-TEXT_LIMIT:])
    return HallmarkError("internal_error", "Something went wrong here that should not have.")
