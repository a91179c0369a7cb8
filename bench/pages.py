"""Measure the pages in chromium: first paint, when the chat takes a question, bytes, scripts, long tasks.

    python bench/pages.py --home HOME [--rounds 5] [--json FILE]
    python bench/pages.py --receipts 2000 [--batch 16]       # what the process behind them costs a receipt
    python bench/pages.py --sizes 1000,100000,1000000        # and what becomes of it as it grows

HOME is a network that runs (`hallmark --home HOME up --detach`). Every round is a browser context of its own
with an empty cache, on loopback; medians are reported. The queue of 10,000 items is served from memory by a
process of this benchmark. `paint` is the browser's first contentful paint; `ready` is the load event, for the
chat the moment at which its message field takes a question. Budget: chat under 1 s, scripts under 200 kB
gzip.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pages_index
import pages_sizes
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from hallmark.apps.web.app import create_app
from hallmark.http.serve import Listen, bind
from hallmark.testing.real_network import Network
from hallmark.testing.scene import Scene
from hallmark.testing.surfaces import surfaces

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
)
BUILT = Path(__file__).parents[1] / ".build" / "web"
PAGES = ("/", "/review", "/explore", "/network", "/policies", "/chat")
CHAT_BUDGET_MS, SCRIPT_BUDGET = 1_000, 200_000
ITEMS = 10_000
# Notes long tasks, and for the chat when its message field can be written in and sent from.
WATCH = """
window.bench = { long: [], ready: 0 };
new PerformanceObserver((list) => window.bench.long.push(...list.getEntries().map((e) => e.duration)))
  .observe({ type: "longtask", buffered: true });
const look = () => {
  const chat = document.getElementById("chat");
  const field = document.querySelector("textarea.c-area");
  if (chat?.hasAttribute("data-ready") && field && !field.disabled) window.bench.ready ||= performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
FIGURES = """() => {
  const [visit] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  const resources = performance.getEntriesByType("resource");
  return {
    first_byte: visit.responseStart,
    paint: paint.startTime,
    ready: window.bench.ready || visit.loadEventEnd,
    bytes: visit.transferSize + resources.reduce((sum, one) => sum + one.transferSize, 0),
    requests: 1 + resources.length,
    long: window.bench.long,
    elements: document.querySelectorAll("*").length,
  };
}"""


def main() -> None:
    """Measure, print tables, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--receipts", type=int, help="measure the process, without a browser")
    parser.add_argument("--batch", type=int, default=16, help="receipts in a checkpoint")
    parser.add_argument("--policy", choices=tuple(pages_index.POLICIES), default="reviewed")
    parser.add_argument("--profile", type=Path, help="where to write a profile of the event loop")
    parser.add_argument("--sizes", help="fill a store up to each of these, and ask for every page")
    parser.add_argument("--against", type=Path, help="folder of another build, measured in turns")
    options = parser.parse_args()
    if options.sizes:
        pages_sizes.main(options)
        return
    if options.receipts:
        pages_index.main(options)
        return
    if options.home is None:
        parser.error("name a --home, or --receipts")
    network = Network(options.home)
    addresses = {path: network.gateway + path for path in PAGES}
    with long_queue() as queue, sync_playwright() as playwright:
        addresses["/review, 10,000 items"] = f"{queue}/review?limit=50"
        addresses["/review, 200 rows of them"] = f"{queue}/review?limit=200"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        rows = [measured(browser, name, url, options.rounds) for name, url in addresses.items()]
        version = browser.version
        browser.close()
    scripts = {path.name: len(gzip.compress(path.read_bytes())) for path in sorted(BUILT.glob("*.js"))}
    report(rows, scripts, version)
    if options.json:
        found = {
            "machine": machine(version),
            "rounds": options.rounds,
            "pages": rows,
            "scripts_gzip": scripts,
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def measured(browser: Browser, name: str, url: str, rounds: int) -> dict[str, Any]:
    """Medians of a page over fresh contexts; a visit before them warms the server, not the browser."""
    found = [visit(browser, url) for _ in range(rounds + 1)][1:]
    middle = {
        key: statistics.median(one[key] for one in found)
        for key in ("first_byte", "paint", "ready", "bytes", "requests", "elements")
    }
    longest = statistics.median(max(one["long"], default=0) for one in found)
    count = statistics.median(len(one["long"]) for one in found)
    return {"page": name, **middle, "long_tasks": count, "longest": longest}


def visit(browser: Browser, url: str) -> dict[str, Any]:
    """One visit of a page with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(url, wait_until="load")
        if url.endswith("/chat"):
            page.wait_for_function("() => window.bench.ready > 0")
        page.wait_for_timeout(200)
        found: dict[str, Any] = page.evaluate(FIGURES)
        return found
    finally:
        context.close()


@contextmanager
def long_queue() -> Iterator[str]:
    """The address of pages over a queue of 10,000 items, in a process of their own."""
    sock = bind(Listen(0))
    child = multiprocessing.get_context("fork").Process(target=_serve, args=(sock,), daemon=True)
    child.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        child.terminate()
        child.join(5)


def _serve(sock: Any) -> None:
    app = create_app(surfaces(Scene(items=ITEMS), BUILT, ""))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False))
    asyncio.run(server.serve(sockets=[sock]))


def machine(version: str) -> dict[str, Any]:
    """What it ran on."""
    return {
        "chromium": version,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def report(rows: list[dict[str, Any]], scripts: dict[str, int], version: str) -> None:
    """Print both tables and what became of the budgets."""
    names = ("first_byte", "paint", "ready", "kB", "requests", "long_tasks", "longest")
    print(f"{'page':28}" + "".join(f"{name:>11}" for name in names))
    for row in rows:
        figures = {**row, "kB": row["bytes"] / 1000}
        print(f"{row['page']:28}" + "".join(f"{figures[name]:11.0f}" for name in names))
    for name, size in scripts.items():
        print(f"{name:28} {size / 1000:8.1f} kB gzip")
    total = sum(scripts.values())
    chat = next(row for row in rows if row["page"] == "/chat")["ready"]
    print(f"all scripts {total / 1000:.1f} kB gzip: {'met' if total < SCRIPT_BUDGET else 'missed'} (200)")
    print(f"chat ready after {chat:.0f} ms: {'met' if chat < CHAT_BUDGET_MS else 'missed'} (1000)")
    print(", ".join(f"{name} {value}" for name, value in machine(version).items()))


if __name__ == "__main__":
    main()
