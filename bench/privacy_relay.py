"""What a relay adds: first-byte latency beside the direct way in one run, and its own processor time.

    python bench/privacy_relay.py [--requests 1500] [--json FILE]

A node that answers at once stands behind TLS in a process of its own, the relay in another. Capsules of 2 KiB
(X-Wing: 3,192 bytes) go straight to the node and through the relay, in turns whose order changes, over
connections that are kept. Then streams of 200 pieces, one every 2 ms, four at a time, for what a piece
costs the relay. Nothing is sealed here: that is `bench/privacy.py`'s. Ratios travel, times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hallmark.http.asgi import Receive, Scope, Send, read_body
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, run, serving
from hallmark.services.log.settings import Quota
from hallmark.services.relay.info import CHUNKED_REQUEST, CHUNKED_RESPONSE, SEALED
from hallmark.services.relay.settings import Settings
from hallmark.testing.listening import self_signed
from hallmark.testing.ports import free_ports
from hallmark.testing.processes import patiently
from hallmark.testing.relay_network import DirectoryGateway, listed

NODE = b"\x01" * 20
CAPSULE = 7 + 1120 + 1 + 16 + 2048
PIECES, PAUSE_S, AT_ONCE, STREAMS = 200, 0.002, 4, 24
PIECE = b"\x42\x00" + bytes(512)


async def node(_scope: Scope, receive: Receive, send: Send) -> None:
    """One piece for a capsule; many for one that begins with an `s`."""
    body = await read_body(receive, 1 << 20)
    count = PIECES if body[:1] == b"s" else 1
    head = [(b"content-type", CHUNKED_RESPONSE)]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for number in range(count):
        if number:
            await asyncio.sleep(PAUSE_S)
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"\x00" + bytes(16)})


async def peers(gateway_port: int, node_port: int, folder: str) -> None:
    """Gateway and node, until the process is ended."""
    tls, pin = self_signed(Path(folder), "node")
    gateway = DirectoryGateway(node)
    gateway.nodes.append(listed(NODE, f"https://127.0.0.1:{node_port}", pin))
    Path(folder, "pin").write_text(pin.hex())
    async with (
        serving(Service(gateway), bind(Listen(gateway_port))),
        serving(Service(node), bind(Listen(node_port)), tls=tls),
    ):
        await asyncio.Event().wait()


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[tuple[str, str, bytes, int]]:
    """The node's URL, the relay's path to it, the node's pin, the relay's process."""
    gateway_port, node_port, relay_port = free_ports(3)
    settings = Settings(
        Listen(relay_port), f"http://127.0.0.1:{gateway_port}", "sqlite://", by_address=Quota(1e6, 10**6)
    )
    config = folder / "relay.json"
    config.write_bytes(msgspec.json.encode(settings))
    own = [sys.executable, __file__, "--peers", str(gateway_port), str(node_port), str(folder)]
    started = [
        subprocess.Popen(own),
        subprocess.Popen([sys.executable, "-m", "hallmark.services.relay", "--config", str(config)]),
    ]
    try:
        url = f"http://127.0.0.1:{relay_port}"
        patiently(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the relay is ready")
        pin = bytes.fromhex((folder / "pin").read_text())
        yield f"https://127.0.0.1:{node_port}{SEALED}", f"{url}/v1/relay/0x{NODE.hex()}", pin, started[1].pid
    finally:
        for process in started:
            process.kill()
            process.wait()


def spent_ms(pid: int) -> float:
    """Processor milliseconds of a process's main thread so far (proc(5), schedstat)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6


async def ask(pool: Pool, url: str, body: bytes, pin: bytes | None) -> tuple[float, float]:
    """Milliseconds to the first byte of a body, and to its end."""
    began = time.perf_counter()
    async with pool.request("POST", url, ((b"content-type", CHUNKED_REQUEST),), body, pin=pin) as response:
        await response.__anext__()
        first = time.perf_counter()
        async for _ in response:
            pass
    return (first - began) * 1000, (time.perf_counter() - began) * 1000


async def measure(requests: int, folder: Path) -> dict[str, Any]:
    """Everything, as one object."""
    with processes(folder) as (direct, relayed, pin, pid):
        pool = Pool()
        ways = {"direct": (direct, pin), "relayed": (relayed, None)}
        body = b"c" + bytes(CAPSULE - 1)
        for url, key in ways.values():
            for _ in range(100):
                await ask(pool, url, body, key)
        times: dict[str, list[float]] = {"direct": [], "relayed": []}
        before = spent_ms(pid)
        for number in range(requests):
            for name in sorted(ways, reverse=bool(number % 2)):
                times[name].append((await ask(pool, ways[name][0], body, ways[name][1]))[0])
        a_request = (spent_ms(pid) - before) / requests
        before = spent_ms(pid)
        for _ in range(STREAMS // AT_ONCE):
            await asyncio.gather(
                *(ask(pool, relayed, b"s" + bytes(CAPSULE - 1), None) for _ in range(AT_ONCE))
            )
        a_stream = (spent_ms(pid) - before) / STREAMS
        await pool.aclose()
    first = {name: statistics.median(values) for name, values in times.items()}
    return {
        "requests": requests,
        "capsule_bytes": CAPSULE,
        "first_byte_ms_direct": round(first["direct"], 3),
        "first_byte_ms_relayed": round(first["relayed"], 3),
        "first_byte_ms_added": round(first["relayed"] - first["direct"], 3),
        "first_byte_ratio": round(first["relayed"] / first["direct"], 2),
        "relay_cpu_ms_a_request": round(a_request, 3),
        "relay_cpu_us_a_piece": round((a_stream - a_request) / (PIECES - 1) * 1000, 1),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peers", nargs=3)
    options = parser.parse_args()
    if options.peers:
        run(peers(int(options.peers[0]), int(options.peers[1]), options.peers[2]))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = run(measure(options.requests, Path(folder)))
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
