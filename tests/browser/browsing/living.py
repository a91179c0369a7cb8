"""A whole network of real processes, and what the desk of it says stands about every receipt."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx
import msgspec
from playwright.sync_api import Page

from browsing.extract import Plan, observe
from hallmark.apps.web.claims import Facts, violations
from hallmark.core.shown import ShownMark
from hallmark.services.review.views import ItemPage, QueuePage
from hallmark.testing.real_network import Network, logs

T = TypeVar("T")
PATIENCE_S = 180.0
TRIES = 8


class Living:
    """A running network as a test sees it. Addresses are of its gateway, which serves the pages."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.url = network.gateway

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        answer = httpx.get(self.url + path, timeout=30)
        assert answer.status_code == 200, (path, answer.text[:300])
        return answer.json()

    def item(self, receipt: str) -> ItemPage:
        """What the desk says of a receipt."""
        return msgspec.convert(self.get(f"/review/{receipt}.json"), ItemPage)

    def knows(self, receipt: str) -> bool:
        """Whether the desk has an item of this receipt."""
        return httpx.get(f"{self.url}/review/{receipt}.json", timeout=30).status_code == 200

    def ready(self, name: str) -> bool:
        """Whether a service is ready."""
        return bool(self.network.status()[name]["state"] == "ready")

    def told(self, receipt: str) -> str:
        """What there is to read when an item does not become what it should: itself, services, their logs."""
        page = self.item(receipt)
        marks = [f"{m.question}: {m.state} {m.by} {m.reason}" for m in page.row.marks]
        lines = [f"{page.row.state} at {page.row.index}: {page.sentence}", *map(str, page.lacks), *marks]
        lines += [*map(str, page.timeline), *map(str, page.decisions)]
        lines += [f"{name}: {one}" for name, one in self.network.status().items()]
        return "\n".join([*lines, logs(self.network.home)])

    def items(self) -> tuple[str, ...]:
        """Every item of the desk."""
        queue = msgspec.convert(self.get("/v1/hallmark/review/items?limit=200"), QueuePage)
        return tuple(row.id for row in queue.rows)

    def facts(self, path: str) -> Mapping[str, Facts]:
        """What stands about each item: by the desk; for the explorer's pages its own marks, which no policy
        waives.
        """
        found = {}
        for receipt in self.items():
            page = self.item(receipt)
            row, marks = page.row, page.row.marks
            if path.startswith("/explore"):
                told = self.get(f"/explore/receipts/{receipt}.json")["row"]["marks"]
                marks = msgspec.convert(told, tuple[ShownMark, ...])
            found[receipt] = Facts.of(
                marks,
                path=page.route.path or "plain",
                item=row.state,
                policy=row.policy,
                label=row.model,
                artifact=row.artifact,
            )
        return found

    def overstated(self, page: Page, path: str, about: str = "") -> list[str]:
        """What a page says beyond the marks, one line each; the page is opened there first."""
        for _ in range(TRIES):
            before = self.facts(path)
            page.goto(self.url + path)
            page.wait_for_load_state("networkidle")
            facts = self.facts(path)
            if facts == before:  # nothing moved while the page was read
                break
        seen = observe(page, path, Plan(list(facts), main=about))
        return [str(found) for found in violations(facts, seen)]

    @contextmanager
    def frozen(self, *names: str) -> Iterator[None]:
        """Services that were started by this test stand still inside the block."""
        status = self.network.status()
        pids = [status[name]["pid"] for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def until(found: Callable[[], T | None], what: str, told: Callable[[], str] = str) -> T:
    """What `found` gives, once it gives something. `told` says more where it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"never came: {what}\n{told()}")


class _Provider(BaseHTTPRequestHandler):
    """A small OpenAI-compatible server that asserts to be `provider/large-model`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        common = {"id": "chatcmpl-up", "created": 1, "model": "provider/large-model"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        if asked.get("stream"):
            said = {"role": "assistant", "content": "from upstream"}
            first = {"index": 0, "delta": said, "finish_reason": None}
            events = [{**common, "object": "chat.completion.chunk", "choices": [first]}]
            events.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
            self._send(body + b"data: [DONE]\n\n", "text/event-stream")
            return
        message = {"role": "assistant", "content": "from upstream"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {**common, "object": "chat.completion", "choices": [choice], "usage": usage}
        self._send(json.dumps(whole).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def provider() -> Iterator[str]:
    """A provider's address, as `up --upstream` takes it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1#provider/large-model"
    server.shutdown()
