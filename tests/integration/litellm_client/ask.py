"""Asks an OpenAI-compatible server with LiteLLM, unchanged: ask.py BASE_URL [MODEL_WITH_TOOLS]; prints one
JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

BASE = sys.argv[1]
MESSAGES = [{"role": "user", "content": "What does os.mkfifo do?"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def ask(model: str, **more: Any) -> Any:
    """One completion."""
    return litellm.completion(
        model=f"openai/{model}", api_base=BASE, api_key="unused", messages=MESSAGES, max_retries=0, **more
    )


def joined(pieces: Any) -> str:
    """The text of a stream."""
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def first_call(calls: Any) -> str | None:
    """The name of the tool that is called."""
    return calls[0].function.name if calls else None


def refusal() -> str:
    """What it makes of a model that there is not."""
    try:
        ask("nothing")
    except litellm.NotFoundError as error:
        return str(error)
    return ""


whole = ask("pydoc").model_dump()
said = {
    "whole": whole["choices"][0]["message"]["content"],
    "hallmark": whole.get("hallmark"),
    "streamed": joined(ask("pydoc", stream=True)),
    "refusal": refusal(),
}
if len(sys.argv) > 2:
    pieces = [piece for piece in ask(sys.argv[2], tools=[TOOL], stream=True) if piece.choices]
    called = (first_call(piece.choices[0].delta.tool_calls) for piece in pieces)
    said["tool"] = first_call(ask(sys.argv[2], tools=[TOOL]).choices[0].message.tool_calls)
    said["tool_streamed"] = next((name for name in called if name), None)
print(json.dumps(said))
