"""/v1/hallmark/infer: named tensors in, named tensors out.

    {"model": "digits", "inputs": {"image": [[0.0, ...]]}}
    {"id": ..., "object": "hallmark.inference", "created": ..., "model": ..., "outputs": {...},
     "labels": [...], "hallmark": {...}}

Values are JSON numbers: a float32 is written as the exact double that it is. `labels` stands there when the
model has classes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters
from hallmark.core.prices import Use
from hallmark.engines.protocol import Engine, Task
from hallmark.services.enclave.answers import Call, Ending, answer_whole, metered
from hallmark.services.enclave.limits import told
from hallmark.services.enclave.receipt_maker import Opening, Outcome, open_request
from hallmark.services.enclave.runtime import Model


class Inference(msgspec.Struct, frozen=True):
    """A request to /v1/hallmark/infer."""

    model: str
    inputs: dict[str, Any]


async def answer(call: Call, asked: Inference, model: Model, engine: Engine) -> None:
    """Run a tensor model and answer with its outputs."""
    opening = open_request(call.runtime, call.scope, call.body)
    longest = told(call.runtime.configuration.limits)["request_ms"]
    opening = await metered(call, opening, asked.model, Use(milliseconds=longest))

    def outcome(response: bytes) -> Outcome:
        parameters = Parameters(
            task=Task.TENSOR.value,
            node_nonce=hex0x(opening.node_nonce),
            seed=opening.seed,
            engine=engine.describe().text(),
        )
        took = max(0, call.runtime.now() - opening.started)
        return Outcome(response=response, parameters=parameters, model=model, milliseconds=took)

    await answer_whole(call, opening, _run(asked, engine, opening, Ending(outcome, bytes)))


async def _run(asked: Inference, engine: Engine, opening: Opening, ending: Ending) -> tuple[bytes, Ending]:
    outputs = await engine.infer(asked.inputs)
    content: dict[str, object] = {
        "id": f"infer-{opening.answer_id}",
        "object": "hallmark.inference",
        "created": opening.started // 1000,
        "model": asked.model,
        "outputs": {name: array.tolist() for name, array in outputs.items()},
    }
    labels = getattr(engine, "labels", ())
    if labels:
        content["labels"] = labels
    return msgspec.json.encode(content), ending
