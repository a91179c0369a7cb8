"""/v1/hallmark/infer: named tensors in, named tensors out.

    {"model": "digits", "inputs": {"image": [[0.0, ...]]}}
    {"id": ..., "object": "hallmark.inference", "created": ..., "model": ..., "outputs": {...},
     "labels": [...], "hallmark": {...}}

Values are JSON numbers: a float32 is written as the exact double that it is. `labels` stands there when the
model has classes. Who sends `safetensors`, a file of that format in base64, instead of `inputs` is answered
with `safetensors` instead of `outputs`: the same bits, without a number written or read.
"""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters
from hallmark.core.prices import Use
from hallmark.engines.protocol import Engine, Task, Trace
from hallmark.engines.tensor_request import Inference
from hallmark.engines.tensor_response import Head, whole
from hallmark.services.enclave.answers import Call, Ending, answer_whole, metered
from hallmark.services.enclave.limits import told
from hallmark.services.enclave.receipt_maker import Outcome, open_request
from hallmark.services.enclave.runtime import Model
from hallmark.services.enclave.textual import traced


async def answer(call: Call, asked: Inference, model: Model, engine: Engine) -> None:
    """Run a tensor model and answer with its outputs."""
    tensors = asked.tensors()
    opening = open_request(call.runtime, call.scope, call.body)
    runs: list[Trace | None] = []
    longest = told(call.runtime.configuration.limits)["request_ms"]
    opening = await metered(call, opening, asked.model, Use(milliseconds=longest))

    def outcome(response: bytes) -> Outcome:
        parameters = Parameters(
            task=Task.TENSOR.value,
            node_nonce=hex0x(opening.node_nonce),
            seed=opening.seed,
            engine=engine.describe().text(),
            **traced(runs[0]),
        )
        took = max(0, call.runtime.now() - opening.started)
        return Outcome(response=response, parameters=parameters, model=model, milliseconds=took)

    async def work() -> tuple[bytes, Ending]:
        outputs = await engine.infer(tensors)
        runs.append(getattr(outputs, "trace", None))
        head = Head(f"infer-{opening.answer_id}", opening.started // 1000, asked.model)
        stored = asked.safetensors is not None
        content = whole(head, outputs, getattr(engine, "labels", ()), stored=stored)
        return content, Ending(outcome, bytes)

    await answer_whole(call, opening, work())
