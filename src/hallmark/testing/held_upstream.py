"""An OpenAI-compatible server that holds back each piece of a stream until its reader has the one before: a
stream that anything on the way gathers never gets further.

The name of a stream is the request's last message, one of a name at a time. `POST /arrived/NAME` lets its
next piece go; one that nobody lets go for too long breaks off, and is counted in `given_up`.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote

from hallmark.testing.ports import free_port

WORDS: Final = ("one ", "two ", "three ", "four ", "five ")
USAGE: Final = {"prompt_tokens": 3, "completion_tokens": len(WORDS), "total_tokens": 3 + len(WORDS)}
PATIENCE_S: Final = 180.0


class HeldUpstream:
    """`url` is its base; `ended` counts the streams of each name whose reader had every piece in its turn."""

    def __init__(self) -> None:
        self.ended: dict[str, int] = defaultdict(int)
        self.given_up = 0
        self._gates: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(0))
        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), self._handler())
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/v1"

    def serve(self) -> None:
        """Until `close`."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def arrived(self, name: str) -> None:
        """The newest piece of a stream is with its reader."""
        self._gates[name].release()

    def begin(self, name: str) -> None:
        """A stream of this name begins; word of the one before is forgotten."""
        self._gates[name] = threading.Semaphore(0)

    def wait(self, name: str) -> bool:
        """Until its newest piece arrived; False when nobody says so."""
        there = self._gates[name].acquire(timeout=PATIENCE_S)
        self.given_up += not there
        return there

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        held = self

        class Handler(_Handler):
            upstream = held

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: HeldUpstream

    def do_POST(self) -> None:
        """An answer, or word that one arrived."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.startswith("/arrived/"):
            self.upstream.arrived(unquote(self.path.removeprefix("/arrived/")))
            self.send_response(204)
            self.end_headers()
            return
        asked = json.loads(body)
        if asked.get("stream"):
            self._stream(asked["messages"][-1]["content"])
            return
        whole = json.dumps(
            {**_chunk({"role": "assistant", "content": "".join(WORDS)}, "message"), "usage": USAGE}
        )
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole.encode())

    def _stream(self, name: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.upstream.begin(name)
        for word in WORDS:
            self._event(_chunk({"role": "assistant", "content": word}))
            if not self.upstream.wait(name):
                self.close_connection = True
                return
        self.upstream.ended[name] += 1
        self._event(_chunk({}, finish="stop"))
        self._event({**_chunk({}), "choices": [], "usage": USAGE})
        self._piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, Any]) -> None:
        self._piece(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _chunk(message: dict[str, str], key: str = "delta", finish: str | None = None) -> dict[str, Any]:
    kind = "chat.completion.chunk" if key == "delta" else "chat.completion"
    choice = {"index": 0, key: message, "finish_reason": finish if key == "delta" else "stop"}
    return {"id": "held", "created": 1, "model": "held", "object": kind, "choices": [choice]}


@contextlib.contextmanager
def held_upstream() -> Iterator[HeldUpstream]:
    """The server, inside the block."""
    made = HeldUpstream()
    threading.Thread(target=made.serve, daemon=True).start()
    try:
        yield made
    finally:
        made.close()
