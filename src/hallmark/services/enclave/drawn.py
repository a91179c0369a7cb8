"""/v1/images/generations by an embedded generator: a prompt in, images in base64 out.

    {"model": "shapes", "prompt": "a small red circle on white", "n": 1, "size": "512x512", "seed": 7}
    {"created": ..., "data": [{"b64_json": ..., "revised_prompt": ...}], "hallmark": {...}}

`revised_prompt` says in words what the image shows, also where the prompt left it open. The images are in the
answer's bytes, which the receipt covers.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.documents import Parameters
from hallmark.core.hashing import sha256
from hallmark.core.prices import Use
from hallmark.engines.protocol import MILLION, Engine, Task
from hallmark.engines.request_errors import invalid_value, unsupported_parameter
from hallmark.services.enclave.answers import Call, Ending, answer_whole, metered
from hallmark.services.enclave.receipt_maker import Outcome, open_request
from hallmark.services.enclave.runtime import Model

EACH_TAG: Final = b"hallmark/image-seed/v1\0"
AS_IT_IS: Final[dict[str, tuple[str | None, ...]]] = {
    "quality": (None, "auto", "standard"),
    "style": (None,),
    "background": (None, "auto", "opaque"),
    "output_format": (None, "png"),
    "moderation": (None, "auto", "low"),
}
"""Members that would change an image, with the values that change nothing here."""


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """A request. Names are OpenAI's; `seed` is an extension, as chat has it."""

    model: str
    prompt: str
    n: int | None = None
    size: str | None = None
    seed: int | None = None
    response_format: str | None = None
    stream: bool | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    output_format: str | None = None
    moderation: str | None = None


def side_of(asked: Drawing, engine: Engine) -> int:
    """The side that a request asks for; the middle one that the engine draws where it does not say.

    Raises BadParameter `invalid_value`, `unsupported_parameter`.
    """
    for name, values in AS_IT_IS.items():
        if getattr(asked, name) not in values:
            raise unsupported_parameter(name)
    sides = {f"{side}x{side}": side for side in engine.sides}
    if asked.size in (None, "auto"):
        return engine.sides[len(engine.sides) // 2]
    if asked.size not in sides:
        raise invalid_value("size", f"one of {', '.join(sides)}")
    return sides[asked.size or ""]


def seed_of(seed: int, number: int) -> int:
    """The seed (uint64) of one of a request's images, counted from 0."""
    return int.from_bytes(sha256(EACH_TAG, seed.to_bytes(8, "big"), bytes((number,)))[:8], "big")


async def answer(call: Call, asked: Drawing, model: Model, engine: Engine) -> None:
    """Draw what a request asks for, and answer with it."""
    side, number = side_of(asked, engine), asked.n or 1
    opening = open_request(call.runtime, call.scope, call.body, seed=asked.seed)
    opening = await metered(call, opening, asked.model, Use(images=number))

    def outcome(response: bytes) -> Outcome:
        parameters = Parameters(
            task=Task.IMAGE.value,
            temperature=MILLION,
            node_nonce=hex0x(opening.node_nonce),
            seed=opening.seed,
            engine=engine.describe().text(),
        )
        return Outcome(response=response, parameters=parameters, model=model, images=number)

    async def work() -> tuple[bytes, Ending]:
        data = []
        for each in range(number):
            drawn = await engine.draw(asked.prompt, side, seed_of(opening.seed, each))
            image = base64.b64encode(drawn.image).decode()
            data.append({"b64_json": image, "revised_prompt": drawn.words})
        content = msgspec.json.encode({"created": opening.started // 1000, "data": data})
        return content, Ending(outcome, bytes)

    await answer_whole(call, opening, work())
