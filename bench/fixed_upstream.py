"""An OpenAI-compatible server that always gives the same 20 tokens, for benches of what stands before it.

    python bench/fixed_upstream.py PORT [--tokens 20] [--gap-ms 2]

Streamed, each token is a write of its own, `--gap-ms` after the last one, as a model's come; whole, the
answer comes at once. It does next to nothing else, and keeps connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json

import httptools
import uvloop

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon")
COMMON = {"id": "chatcmpl-fixed", "created": 1, "model": "fixed"}


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {**COMMON, "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class Answers:
    """The bytes of both kinds of answer."""

    def __init__(self, tokens: int, gap_s: float) -> None:
        words = [f"{WORDS[n % len(WORDS)]} " for n in range(tokens)]
        usage = {"prompt_tokens": 8, "completion_tokens": tokens, "total_tokens": 8 + tokens}
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {**COMMON, "object": "chat.completion", "choices": [choice], "usage": usage}
        self.whole = json.dumps(whole).encode()
        self.gap_s = gap_s
        last = {**COMMON, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        self.events = [_event({"role": "assistant", "content": words[0]})]
        self.events += [_event({"content": word}) for word in words[1:]]
        self.end = _event({}, "stop")
        self.usage = b"data: " + json.dumps(last).encode() + b"\n\n"


class Connection(asyncio.Protocol):
    """One connection, one answer at a time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body.clear()

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        asked = json.loads(b"".join(self._body) or b"{}")
        if not asked.get("stream"):
            whole = self._answers.whole
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(whole), whole)
            )
            return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        events = [*self._answers.events, self._answers.end]
        if (asked.get("stream_options") or {}).get("include_usage"):
            events.append(self._answers.usage)
        self._say([*events, b"data: [DONE]\n\n"], 0)

    def _say(self, events: list[bytes], at: int) -> None:
        if self._transport.is_closing():
            return
        event = events[at]
        last = at + 1 == len(events)
        self._transport.write(b"%x\r\n%b\r\n%b" % (len(event), event, b"0\r\n\r\n" if last else b""))
        if not last:
            asyncio.get_running_loop().call_later(self._answers.gap_s, self._say, events, at + 1)


async def serve(port: int, answers: Answers) -> None:
    """Until it is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--gap-ms", type=float, default=2.0)
    asked = parser.parse_args()
    uvloop.run(serve(asked.port, Answers(asked.tokens, asked.gap_ms / 1000)))


if __name__ == "__main__":
    main()
