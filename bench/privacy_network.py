"""What the private path adds to an answer on a real network, beside the direct and the plain way in one run.

    python bench/privacy_network.py [--answers 100] [--json FILE]

One network of this build, every service a process of its own as `hallmark up` starts them, in front of one
fixed upstream (`fixed_upstream.py`, 20 tokens, 2 ms apart). Four ways, one answer at a time, in an order that
changes, streamed and whole:

    direct           the node's enclave over TLS pinned to its key, without a gateway
    gateway          the plain path, through the gateway
    sealed           sealed to the enclave, through the relay; the route ticket is in hand at the start
    sealed, ticket   the same from the beginning: the ticket is asked for through the relay, sealed

The client is the SDK's own code and checks all that it checks. `first` is from the request to the first byte
of text that the client may read, `total` to the last one. Ratios travel, times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builds import FIXED, HERE, fixed_upstream, homes, offer_of

from hallmark.core.document import hex0x, unhex
from hallmark.http.client import Pool
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.sealed_way import SealedWay
from hallmark.services.sdk.way import headers_of
from hallmark.services.sealing.client import Passage, question_request
from hallmark.services.sealing.exchange import chosen

PORT, UPSTREAM = 26_300, 26_390
CHAT = "/v1/chat/completions"
JSON = ((b"content-type", b"application/json"),)
WARM = 6
WAYS = ("direct", "gateway", "sealed", "sealed, ticket")


class Ways:
    """The four ways of asking one network. A time is (seconds to the first byte, to the last)."""

    def __init__(self, sealed: SealedWay, gateway: str, passage: Passage) -> None:
        self._path, self._gateway, self._pool = sealed.path, gateway, Pool()
        bundle = passage.nodes[0].bundle
        self._direct, self._pin = bundle.endpoint, unhex(bundle.tls_spki)

    async def ask(self, way: str, body: bytes) -> tuple[float, float]:
        """One answer."""
        passage = await self._path.passage(FIXED) if way == "sealed" else None
        began = time.perf_counter()
        first, parts = 0.0, []
        async with self._answer(way, body, passage) as (status, chunks):
            async for chunk in chunks:
                if not first and b'"content"' in chunk:
                    first = time.perf_counter() - began
                parts.append(chunk)
        total = time.perf_counter() - began
        assert status == 200, b"".join(parts)[-300:]
        assert first, "an answer has text"
        return first, total

    @asynccontextmanager
    async def _answer(self, way: str, body: bytes, passage: Passage | None) -> AsyncIterator[tuple[int, Any]]:
        if not way.startswith("sealed"):
            url, pin = (self._direct, self._pin) if way == "direct" else (self._gateway, None)
            async with self._pool.request("POST", url + CHAT, JSON, body, pin=pin) as response:
                yield response.status, response
            return
        passage = passage or await self._path.passage(FIXED)
        node = passage.nodes[0]
        told = ((b"hallmark-relay", self._path.link.url.encode()),)
        headers = (*headers_of(os.urandom(32)), *passage.headers, *told)
        request = question_request(CHAT, body, headers)
        async with self._path.exchange(hex0x(node.node), chosen(node.keys), request) as reply:
            yield reply.status, reply

    async def aclose(self) -> None:
        """Close connections."""
        await self._pool.aclose()


async def in_turns(
    ask: Callable[[str, bytes], Awaitable[tuple[float, float]]], body: bytes, answers: int
) -> dict[str, list[tuple[float, float]]]:
    """So many answers of each way, after some that do not count."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for number in range(answers + WARM):
        for at in range(len(WAYS)):
            way = WAYS[(at + number) % len(WAYS)]
            times = await ask(way, body)
            if number >= WARM:
                found[way].append(times)
    return found


def row(times: list[tuple[float, float]], base: list[tuple[float, float]]) -> dict[str, float]:
    """Milliseconds at p50 and p95, and ratios of the medians to those of `base`."""
    told: dict[str, float] = {}
    for at, name in enumerate(("first", "total")):
        values, others = sorted(each[at] for each in times), [each[at] for each in base]
        told[f"{name}_p50"] = round(statistics.median(values) * 1000, 2)
        told[f"{name}_p95"] = round(values[int(len(values) * 0.95)] * 1000, 2)
        told[f"{name}_ratio"] = round(statistics.median(values) / statistics.median(others), 2)
        told[f"{name}_added"] = round((statistics.median(values) - statistics.median(others)) * 1000, 2)
    return told


async def measure(home: Path, base_url: str, answers: int) -> dict[str, dict[str, dict[str, float]]]:
    """Both kinds of answer."""
    async with AsyncClient(home=home, privacy="sealed") as client:
        sealed = client._way
        assert isinstance(sealed, SealedWay)
        ways = Ways(sealed, base_url.removesuffix("/v1"), await sealed.path.passage(FIXED))
        told = {}
        for stream in (True, False):
            asked = [{"role": "user", "content": "What does os.mkfifo do?"}]
            body = json.dumps({"model": FIXED, "messages": asked, "stream": stream}).encode()
            found = await in_turns(ways.ask, body, answers)
            told["streamed" if stream else "whole"] = {way: row(found[way], found["direct"]) for way in WAYS}
        await ways.aclose()
    return told


def main() -> None:
    """Measure, print, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    begun = os.getloadavg()[0]
    with fixed_upstream(UPSTREAM) as url, homes({"sealed": HERE}) as (build,):
        build.up(PORT, *offer_of(url))
        result: dict[str, Any] = asyncio.run(measure(build.home, build.base_url, asked.answers))
    for kind, rows in result.items():
        print(f"{kind:<16} first p50      p95   added  ratio  total p50      p95  ratio")
        for way, told in rows.items():
            print(
                f"{way:<16}{told['first_p50']:>10}{told['first_p95']:>9}{told['first_added']:>8}"
                f"{told['first_ratio']:>7}{told['total_p50']:>11}{told['total_p95']:>9}{told['total_ratio']:>7}"
            )
    print(f"load average {begun:.1f} before, {os.getloadavg()[0]:.1f} after")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
