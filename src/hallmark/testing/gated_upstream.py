"""A small OpenAI-compatible server whose streams stop in the middle until a test lets them go on: what comes
of an answer when something dies meanwhile can then be seen without a race.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from hallmark.testing.ports import free_port

PIECES: Final = ("striped ", "marmalade ", "again.")
USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
LONGEST_S: Final = 120.0


class GatedUpstream:
    """`asked` counts questions. `begun` is set when a stream's first piece has left, and the others leave
    once `go_on` is set; `close` makes it so for the next one.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.begun, self.go_on = threading.Event(), threading.Event()
        outer = self

        class Handler(_Handler):
            upstream = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        """The next stream stops in the middle."""
        self.begun.clear()
        self.go_on.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator[GatedUpstream]:
        """Served inside the block."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self.go_on.set()
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: GatedUpstream

    def do_POST(self) -> None:
        """Answer one."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.upstream.asked += 1
        common = {"id": "chatcmpl-gated", "created": 1, "model": "provider/large-model"}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "".join(PIECES)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            whole = {**common, "object": "chat.completion", "choices": [choice], "usage": USAGE}
            body = json.dumps(whole).encode()
            self._head("application/json", len(body))
            self.wfile.write(body)
            return
        events = [_event(common, [{"index": 0, "delta": {"content": piece}}]) for piece in PIECES]
        events.append(_event(common, [{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        events.append(_event(common, [], usage=USAGE) + b"data: [DONE]\n\n")
        self._head("text/event-stream", sum(map(len, events)))
        with contextlib.suppress(OSError):
            self.wfile.write(events[0])
            self.upstream.begun.set()
            self.upstream.go_on.wait(LONGEST_S)
            self.wfile.write(b"".join(events[1:]))

    def _head(self, kind: str, size: int) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _event(common: dict[str, Any], choices: list[Any], **more: Any) -> bytes:
    event = {**common, "object": "chat.completion.chunk", "choices": choices, **more}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
