"""What paying costs: a paid answer beside a free one of the same network, in one run.

    python bench/payments.py [--answers 200] [--rounds 3] [--json FILE] [--without-stock]

One network of this build serves one fixed upstream (`fixed_upstream.py`, 20 tokens) under two labels: answers
of `fixed` are paid from the vault (header signed before the clock starts, as a client signs while it has
nothing else to do), those of `free` are free by the offer. They take turns, one at a time, so that whatever
else the machine does meets both. `first` is from the request to the first byte of text; `added` is the
difference of the medians (p50) and of the 99th percentiles. Then sixteen streams at once of each: answers a
second, and processor time an answer, every process of the network counted. At the end the epoch is settled:
gas of leases and settlements, from the chain.

Beside it, in the same run, stock x402 as a client meets it: PyPI's middleware in FastAPI and its httpx
client, by our facilitator on a chain that makes a block for each transaction. The same handler without a
price, by `exact`, by a channel; whole answers, as the middleware reads an answer to its end before it lets it
go.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from builds import FIXED, HERE, Running, fixed_upstream, homes, settle
from load_client import Client, Load, Timing, run_load

from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import TokenDomain
from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.spending import Vault, request_name, sign_spending
from hallmark.services.chain.rpc import RPC
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.wallet import Wallet
from hallmark.testing.anvil import fund, running_anvil
from hallmark.testing.stock_x402 import pay, shop
from hallmark.testing.vaults import named_key
from hallmark.testing.x402 import (
    NETWORK,
    PAYEE,
    SECRET,
    SIGNER,
    facilitator_settings,
    running_facilitator,
    x402_chain,
)

FREE = "free"
PORT = 26_000
UPSTREAM = 26_190
CHAT = "/v1/chat/completions"
QUESTION = "What does os.mkfifo do?"
MAXIMUM = 200_000
WARM = 12


class Payer:
    """Signs for requests to one node, as the SDK does; each with a session key and a nonce of its own."""

    def __init__(self, wallet: Key, vault: Vault, payee: bytes, enclave: bytes) -> None:
        self._vault, self._payee, self._enclave = vault, payee, enclave
        self._payer, self._session, self._count = wallet.address, Key.generate(), 0
        until = int(time.time()) + 48 * 3_600
        self._ceiling = SpendingCeiling(wallet.address, payee, self._session.address, 10**9, 1, until)
        self._signature = wallet.sign(vault_digest(self._ceiling, vault.chain_id, vault.address))

    def header(self, body: bytes) -> str:
        """The header for the next request with this body."""
        self._count += 1
        salt = sha256(b"bench", self._session.address, self._count.to_bytes(8, "big"))
        spend = Spend(
            self._payer,
            self._payee,
            self._enclave,
            request_name(salt, CHAT, body),
            MAXIMUM,
            sha256(salt),
            int(time.time() * 1000) + 600_000,
        )
        return sign_spending(
            self._ceiling, self._signature, spend, salt, session=self._session, vault=self._vault
        )


class Paying(Client):
    """A client whose every request carries a payment that was signed before."""

    def __init__(self, base_url: str, model: str, payers: list[Payer]) -> None:
        super().__init__(base_url, model, QUESTION)
        self._payers, self._turn, self._signed = payers, 0, list[str]()

    def sign(self, answers: int, *, stream: bool) -> None:
        """Sign for so many answers."""
        for _ in range(answers):
            self._turn += 1
            self._signed.append(self._payers[self._turn % len(self._payers)].header(self._bodies[stream]))

    async def ask(self, stream: bool, due: float) -> Timing:
        """One answer, with the next payment."""
        self._headers = f"hallmark-payment: {self._signed.pop()}\r\n"
        return await super().ask(stream, due)


async def payers_of(home: Path, base_url: str) -> tuple[list[Payer], dict[str, Any]]:
    """A wallet with a deposit, and one payer for each node that takes money."""
    Wallet.new(home)
    async with AsyncClient(home=home) as client:
        await client.fund("100")
        await client.deposit("50.00")
        wallet = Key(client.wallet.key.secret)
    found = await asyncio.to_thread(_json, f"{base_url}/hallmark/offers")
    payers = []
    for offer in found["offers"]:
        vault = Vault(offer["asset"]["chain_id"], unhex(offer["vault"]))
        for node in offer["nodes"]:
            payers.append(Payer(wallet, vault, unhex(offer["payee"]), unhex(node["settlement"])))
    return payers, found["offers"][0]


def _json(url: str) -> dict[str, Any]:
    with urlopen(url) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def percentiles(timings: list[Timing]) -> dict[str, float]:
    """Medians and 99th percentiles, ms."""
    first = sorted(t.first * 1000 for t in timings)
    total = sorted(t.total * 1000 for t in timings)
    at = max(0, round(0.99 * len(first)) - 1)
    return {
        "first_p50": statistics.median(first),
        "first_p99": first[at],
        "total_p50": statistics.median(total),
        "total_p99": total[at],
    }


async def in_turns(free: Client, paid: Paying, answers: int) -> tuple[list[Timing], list[Timing]]:
    """One answer of each after the other, in an order that changes."""
    paid.sign(answers + WARM, stream=True)
    found: tuple[list[Timing], list[Timing]] = ([], [])
    for number in range(answers + WARM):
        pair = [(free, found[0]), (paid, found[1])]
        for client, kept in pair if number % 2 else reversed(pair):
            timing = await client.ask(True, time.perf_counter())
            if number >= WARM:
                kept.append(timing)
    return found


def together(build: Running, client: Client, answers: int) -> dict[str, float]:
    """Sixteen streams at once: answers a second, processor ms an answer of the whole network."""
    load = Load("16 streams", answers, 16)
    tree = build.tree()
    settle(tree)
    before, began = tree.count(), time.monotonic()
    asyncio.run(_crowd(client, load))
    took = time.monotonic() - began
    settle(tree)
    used = tree.count().since(before)
    return {"per_s": answers / took, "cpu_ms": sum(used.spent_ms.values()) / answers}


async def gas_of(home: Path, addresses: list[str]) -> dict[str, Any]:
    """Gas of what nodes sent to the vault, by what it was."""
    chain = json.loads((home / "client.json").read_text())["chain"]
    rpc = RPC(chain["rpc_url"])
    newest = int(await rpc.call("eth_blockNumber"), 16)
    spent: dict[str, list[int]] = {}
    for number in range(newest + 1):
        block = await rpc.call("eth_getBlockByNumber", hex(number), True)
        for sent in block["transactions"]:
            if sent["from"].lower() in addresses and (sent["to"] or "").lower() == chain["vault"]:
                receipt = await rpc.call("eth_getTransactionReceipt", sent["hash"])
                spent.setdefault(sent["input"][:10], []).append(int(receipt["gasUsed"], 16))
    await rpc.aclose()
    return {selector: {"calls": len(gas), "gas": sum(gas)} for selector, gas in spent.items()}


def main() -> None:
    """See the module docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--without-stock", action="store_true")
    options = parser.parse_args()
    with fixed_upstream(UPSTREAM) as url, homes({"paid": HERE}) as (build,):
        labels = ("--upstream", f"{FIXED}={url}#{FIXED}", "--upstream", f"{FREE}={url}#{FIXED}")
        build.up(PORT, "--paid", *labels)
        for name in ("node-1", "node-2"):
            build.command("offer", "set", "--node", name, "--free-model", FREE)
        time.sleep(5)
        payers, offer = asyncio.run(payers_of(build.home, build.base_url))
        free, paid = Client(build.base_url, FREE, QUESTION), Paying(build.base_url, FIXED, payers)
        rows = {"free": [], "paid": []}
        for _ in range(options.rounds):
            one, two = asyncio.run(_and_close(free, paid, options.answers))
            rows["free"] += one
            rows["paid"] += two
        told = {name: percentiles(timings) for name, timings in rows.items()}
        crowd = {"free": [], "paid": []}
        for _ in range(options.rounds):
            crowd["free"].append(together(build, free, options.answers))
            paid.sign(options.answers, stream=True)
            crowd["paid"].append(together(build, paid, options.answers))
        more = {
            name: {key: statistics.median(row[key] for row in found) for key in ("per_s", "cpu_ms")}
            for name, found in crowd.items()
        }
        answered = options.rounds * (2 * options.answers + WARM)
        owners = [json.loads(p.read_text())["owner_key_file"] for p in _settings(build.home)]
        senders = [hex0x(Key(bytes.fromhex(Path(file).read_text().strip())).address) for file in owners]
        time.sleep(75)
        gas = asyncio.run(gas_of(build.home, senders))
    print(f"{'':8}{'first p50':>11}{'p99':>9}{'total p50':>11}{'p99':>9}{'answers/s':>11}{'CPU ms':>9}")
    for name, row in told.items():
        cells = (row["first_p50"], row["first_p99"], row["total_p50"], row["total_p99"])
        print(f"{name:8}{cells[0]:11.2f}{cells[1]:9.2f}{cells[2]:11.2f}{cells[3]:9.2f}"
              f"{more[name]['per_s']:11.1f}{more[name]['cpu_ms']:9.2f}")  # fmt: skip
    added = {key: told["paid"][key] - told["free"][key] for key in told["paid"]}
    print(f"added   {added['first_p50']:11.2f}{added['first_p99']:9.2f}{added['total_p50']:11.2f}")
    whole = sum(row["gas"] for row in gas.values())
    calls, each = sum(row["calls"] for row in gas.values()), 1000 * whole / answered
    print(f"{answered} paid; {calls} calls of the nodes took {whole:,} gas: {each:,.0f} per 1,000 answers")
    peers = {} if options.without_stock else stock(min(60, options.answers))
    for name, first in peers.items():
        print(f"stock x402, {name:8}{first:9.2f} ms to the first byte, {first - peers['free']:8.2f} added")
    if options.json:
        result = {"times": told, "added": added, "together": more, "gas": gas, "stock": peers}
        result |= {"answers": answered, "offer": offer["digest"]}
        options.json.write_text(json.dumps(result, indent=1))


def stock(answers: int) -> dict[str, float]:
    """Medians of stock x402, ms to the first byte, by how it is paid."""
    ways = {
        "free": ("exact", "/free"),
        "exact": ("exact", "/exact"),
        "channel": ("batch-settlement", "/batch"),
    }
    payer = named_key("x402 stock payer of a bench")
    with running_anvil() as rpc_url, tempfile.TemporaryDirectory() as name:
        domain = asyncio.run(_funded(rpc_url, payer))
        folder = Path(name)
        with running_facilitator(folder, facilitator_settings(folder, rpc_url, domain)) as url:
            sells = {
                "facilitator": url,
                "secret": SECRET,
                "payTo": hex0x(PAYEE.address),
                "asset": hex0x(domain.token),
                "network": NETWORK,
                "extra": {"name": domain.name, "version": domain.version},
                "price": "5000",
                "charged": "2350",
            }
            with shop("shop.py", folder, sells) as base:
                orders = [{"way": way, "url": base + path, "times": answers} for way, path in ways.values()]
                results = pay("pay.py", folder, payer.secret, rpc_url, orders)
    return {
        name: statistics.median(one["first"] * 1000 for one in rows[1:])
        for name, rows in zip(ways, results, strict=True)
    }


async def _funded(rpc_url: str, payer: Key) -> TokenDomain:
    async with x402_chain(rpc_url) as chain:
        await fund(chain.rpc, SIGNER)
        await chain.pour(payer.address, 10_000_000)
        return chain.domain


async def _crowd(client: Client, load: Load) -> None:
    try:
        await run_load(client.ask, load)
    finally:
        client.close()


async def _and_close(free: Client, paid: Paying, answers: int) -> tuple[list[Timing], list[Timing]]:
    try:
        return await in_turns(free, paid, answers)
    finally:
        free.close()
        paid.close()


def _settings(home: Path) -> list[Path]:
    return sorted((home / "services").glob("node-*/settings.json"))


if __name__ == "__main__":
    main()
