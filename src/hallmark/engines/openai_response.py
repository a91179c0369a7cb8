"""OpenAI answers as bytes. Chunks are written from a template: one is made for every token."""

from __future__ import annotations

from typing import Final

import msgspec

DONE: Final = b"data: [DONE]\n\n"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of prompt and answer."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """OpenAI's usage object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


class Shape:
    """The bytes of one answer: its id, its time and its model are in every part of it.

    `chat` chooses between /v1/chat/completions and /v1/completions.
    """

    def __init__(self, answer_id: str, created: int, model: str, *, chat: bool) -> None:
        self._chat = chat
        self._id = answer_id
        self._created = created
        self._model = model
        head = self._head("chat.completion.chunk" if chat else "text_completion")
        self._open = b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":['
        inner = b'{"index":0,"delta":' if chat else b'{"index":0,"text":'
        self._before = self._open + inner

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def whole(self, text: str, finish: str, usage: Usage) -> bytes:
        """A complete answer."""
        choice: dict[str, object] = {"index": 0}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        choice |= {"logprobs": None, "finish_reason": finish}
        head = self._head("chat.completion" if self._chat else "text_completion")
        return msgspec.json.encode(head | {"choices": [choice], "usage": usage.to_json()})

    def first(self) -> bytes:
        """What a stream begins with: the role for a chat, nothing for a completion."""
        return self._chunk(b'{"role":"assistant","content":""}', b"null") if self._chat else b""

    def text(self, text: str) -> bytes:
        """A chunk with new text."""
        encoded = msgspec.json.encode(text)
        return self._chunk(b'{"content":' + encoded + b"}" if self._chat else encoded, b"null")

    def finish(self, reason: str) -> bytes:
        """The chunk that says why the answer ended."""
        return self._chunk(b"{}" if self._chat else b'""', msgspec.json.encode(reason))

    def usage(self, usage: Usage) -> bytes:
        """The usage chunk, with empty choices as OpenAI sends it: the last one, after the receipt's event."""
        return self._open + b'],"usage":' + msgspec.json.encode(usage.to_json()) + b"}\n\n"

    def frame(self) -> bytes:
        """The object on which the receipt of a stream rides.

        Its one choice is empty but there: much client code reads `choices[0]` of every chunk.
        """
        return self._chunk(b"{}" if self._chat else b'""', b"null")[len(b"data: ") : -2]

    def _chunk(self, delta: bytes, finish: bytes) -> bytes:
        return self._before + delta + b',"logprobs":null,"finish_reason":' + finish + b"}]}\n\n"
