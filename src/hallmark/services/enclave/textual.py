"""Chats and completions by an embedded language model."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters
from hallmark.core.prices import Use
from hallmark.engines.openai_request import (
    Chat,
    Completion,
    chat_request,
    completion_request,
    sampling,
)
from hallmark.engines.openai_response import Shape, Usage
from hallmark.engines.protocol import (
    ChatRequest,
    CompletionRequest,
    Delta,
    Engine,
    Sampling,
    Task,
    Trace,
)
from hallmark.services.enclave.answers import Call, Ending, answer_stream, answer_whole, metered
from hallmark.services.enclave.inputs import input_records
from hallmark.services.enclave.receipt_maker import Opening, Outcome, open_request
from hallmark.services.enclave.runtime import Model
from hallmark.services.enclave.streaming import Emitter


class _Run(msgspec.Struct):
    """An answer while it is made. `last` is the newest delta, `text` what a JSON answer will hold."""

    engine: Engine
    request: ChatRequest | CompletionRequest
    sampling: Sampling
    shape: Shape
    opening: Opening
    model: Model
    inputs: tuple[bytes, ...]
    wants_usage: bool
    last: Delta = Delta("", 0, 0, 0)

    async def whole(self) -> tuple[bytes, Ending]:
        """The complete answer as one JSON object."""
        pieces = []
        async with aclosing(self.engine.generate(self.request, self.sampling, self.opening.seed)) as deltas:
            async for delta in deltas:
                self.last = delta
                pieces.append(delta.text)
        return self.shape.whole("".join(pieces), self.last.finish, self._usage()), self.ending()

    async def stream(self, emitter: Emitter) -> None:
        """The answer as events: role, texts, why it ended. The usage, if wanted, comes after the receipt."""
        async with aclosing(self.engine.generate(self.request, self.sampling, self.opening.seed)) as deltas:
            async for delta in deltas:
                self.last = delta
                self.opening.meter.used = Use(delta.tokens_in, delta.tokens_out)
                data = b"" if emitter.started else self.shape.first()
                if delta.text:
                    data += self.shape.text(delta.text)
                if delta.finish:
                    data += self.shape.finish(delta.finish)
                if data:
                    await emitter.emit(data)

    def ending(self) -> Ending:
        """How the receipt follows from this run."""
        return Ending(self._outcome, self.shape.frame, self._tail)

    def _tail(self) -> bytes:
        return self.shape.usage(self._usage()) if self.wants_usage and self.last.finish else b""

    def _usage(self) -> Usage:
        return Usage(self.last.tokens_in, self.last.tokens_out)

    def _outcome(self, response: bytes) -> Outcome:
        chosen = self.sampling
        parameters = Parameters(
            task=(Task.CHAT if isinstance(self.request, ChatRequest) else Task.COMPLETION).value,
            max_tokens=self.last.budget,
            temperature=chosen.temperature,
            top_p=chosen.top_p,
            top_k=chosen.top_k,
            stop=chosen.stop,
            node_nonce=hex0x(self.opening.node_nonce),
            seed=self.opening.seed,
            engine=self.engine.describe().text(),
            **traced(self.last.trace),
        )
        return Outcome(
            response=response,
            parameters=parameters,
            tokens_in=self.last.tokens_in,
            tokens_out=self.last.tokens_out,
            model=self.model,
            inputs=self.inputs,
        )


def traced(trace: Trace | None) -> dict[str, Any]:
    """What the parameters of a run that can be made again say of its states; of any other, nothing."""
    return {"trace_root": hex0x(trace.root), "trace_leaves": trace.leaves} if trace else {}


async def answer(call: Call, asked: Chat | Completion, model: Model, engine: Engine) -> None:
    """Answer a request to /v1/chat/completions or /v1/completions."""
    chat = isinstance(asked, Chat)
    request = chat_request(asked) if isinstance(asked, Chat) else completion_request(asked)
    opening = open_request(call.runtime, call.scope, call.body, seed=asked.seed)
    chosen = sampling(asked)
    # A token stands for a byte of the request at least, and for a token of the context.
    most = Use(min(len(call.body), engine.context), min(chosen.max_tokens or engine.context, engine.context))
    opening = await metered(call, opening, asked.model, most)
    answer_id = f"{'chatcmpl' if chat else 'cmpl'}-{opening.answer_id}"
    run = _Run(
        engine=engine,
        request=request,
        sampling=chosen,
        shape=Shape(answer_id, opening.started // 1000, asked.model, chat=chat),
        opening=opening,
        model=model,
        inputs=input_records(asked.messages, opening.request_salt) if isinstance(asked, Chat) else (),
        wants_usage=asked.wants_usage,
    )
    if asked.streams:
        await answer_stream(call, opening, run.stream, run.ending())
    else:
        await answer_whole(call, opening, run.whole())
