"""Measure /verify and /settle of our facilitator beside PyPI's stock one, in turns, on one chain.

    python bench/facilitator.py [--payments 60] [--json FILE]

One client, one request at a time, `exact` by EIP-3009 and by Permit2 on an anvil that makes a block for each
transaction, so that the chain costs little and both share the machine. Then one payment presented 16 times at
once: how many successes were told, and how many transactions were sent. Ratios travel, times do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from eth_utils.address import to_checksum_address
from msgspec.structs import replace

from hallmark.services.log.settings import Quota
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.ports import free_port
from hallmark.testing.stock_x402 import CLIENTS, python
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import (
    SECRET,
    SIGNER,
    Chain,
    facilitator_settings,
    request_body,
    running_facilitator,
    x402_chain,
)

STOCK = named_key("x402 stock facilitator")
HEADERS = {"authorization": f"Bearer {SECRET}"}
PRESENTED = 16


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--payments", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with running_anvil() as rpc, tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(measure(rpc, Path(folder), options.payments))
    for name, row in results.items():
        print(f"{name:34} {row}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


async def measure(rpc: str, folder: Path, payments: int) -> dict[str, Any]:
    """All rows."""
    async with x402_chain(rpc) as chain:
        for key in (SIGNER, STOCK):
            await fund(chain.rpc, key)
        await chain.approve()
        settings = facilitator_settings(folder, rpc, chain.domain)
        much = Quota(rate=10_000, burst=100_000)
        with (
            running_facilitator(folder, replace(settings, per_key=much, per_payer=much)) as ours,
            stock(rpc) as theirs,
        ):
            urls = {"ours": ours, "stock": theirs}
            results: dict[str, Any] = {}
            for kind in ("EIP-3009", "Permit2"):
                results |= await rounds(chain, urls, kind, payments)
            for name, url in urls.items():
                results[f"{PRESENTED} at once, {name}"] = await replayed(chain, url, name)
            return results


async def rounds(chain: Chain, urls: dict[str, str], kind: str, payments: int) -> dict[str, Any]:
    """Verify and settle `payments` payments at each, in turns."""
    took: dict[str, list[float]] = {f"{path} {name}": [] for name in urls for path in ("verify", "settle")}
    async with httpx.AsyncClient(timeout=60, headers=HEADERS) as client:
        for number in range(payments + 5):
            for name, url in urls.items():
                payment = chain.transfer(1) if kind == "EIP-3009" else chain.permit(1)
                for path in ("verify", "settle"):
                    started = time.perf_counter()
                    said = (await client.post(f"{url}/{path}", json=mixed(request_body(payment)))).json()
                    assert said.get("isValid") or said.get("success"), said
                    if number >= 5:
                        took[f"{path} {name}"].append(time.perf_counter() - started)
    return {f"{kind} {name}": spread(times) for name, times in took.items()}


async def replayed(chain: Chain, url: str, name: str) -> dict[str, int]:
    """One payment, presented many times at once: successes, and transactions."""
    signer = SIGNER if name == "ours" else STOCK
    before, body = await chain.rpc.nonce(signer.address), mixed(request_body(chain.transfer(1)))
    async with httpx.AsyncClient(timeout=60, headers=HEADERS) as client:
        answers = await asyncio.gather(*(client.post(f"{url}/settle", json=body) for _ in range(PRESENTED)))
    told = sum(bool(answer.json().get("success")) for answer in answers)
    return {"successes": told, "transactions": await chain.rpc.nonce(signer.address) - before}


def mixed(value: Any) -> Any:
    """The same with every address in mixed case (EIP-55): the stock facilitator takes no other."""
    if isinstance(value, dict):
        return {key: mixed(inner) for key, inner in value.items()}
    address = isinstance(value, str) and len(value) == 42 and value.startswith("0x")
    return to_checksum_address(value) if address else value


def spread(times: list[float]) -> dict[str, float]:
    """p50 and p95, ms."""
    cut = statistics.quantiles(times, n=20)
    return {"p50_ms": round(1000 * statistics.median(times), 1), "p95_ms": round(1000 * cut[18], 1)}


@contextlib.contextmanager
def stock(rpc: str) -> Iterator[str]:
    """The stock facilitator as a process of its own."""
    port = free_port()
    command = [str(python()), str(CLIENTS / "facilitator.py"), str(port), rpc]
    process = subprocess.Popen([*command, f"0x{STOCK.secret.hex()}", f"eip155:{CHAIN_ID}"])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/supported", timeout=5).status_code == 200:
                    break
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait(10)


if __name__ == "__main__":
    main()
