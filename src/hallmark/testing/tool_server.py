"""A small OpenAI-compatible server that calls a tool where one is offered, for networks with an upstream."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hallmark.testing.ports import free_port

TEXT = "from upstream"
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Server(BaseHTTPRequestHandler):
    """Answers chat completions, whole and streamed."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        tools, streamed = "tools" in asked, bool(asked.get("stream"))
        message: dict[str, Any] = {"role": "assistant", "content": None if tools else TEXT}
        if tools:
            call = CALL if streamed else {name: value for name, value in CALL.items() if name != "index"}
            message["tool_calls"] = [call]
        choice = {"index": 0, "finish_reason": "tool_calls" if tools else "stop"}
        common = {"id": "chatcmpl-up", "created": 1, "model": "provider/large-model"}
        if not streamed:
            whole = {**common, "object": "chat.completion", "choices": [{**choice, "message": message}]}
            self._send(json.dumps({**whole, "usage": USAGE}).encode(), "application/json")
            return
        common["object"] = "chat.completion.chunk"
        events = [{**common, "choices": [{**choice, "delta": message}]}]
        events.append({**common, "choices": [], "usage": USAGE})
        body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        self._send(body + b"data: [DONE]\n\n", "text/event-stream")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def tool_server() -> Iterator[str]:
    """The server's base URL, inside the block."""
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
