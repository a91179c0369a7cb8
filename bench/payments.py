"""What paying costs: a paid answer beside a free one of the same network, in one run.

    python bench/payments.py [--answers 200] [--rounds 3] [--json FILE] [--without-stock]

One network of this build serves one fixed upstream (`fixed_upstream.py`, 20 tokens) under two labels: answers
of `fixed` are paid from the vault (header signed before the clock starts, as a client signs while it has
nothing else to do), those of `free` are free by the offer. They take turns, one at a time, so that whatever
else the machine does meets both, and the paid one pays the node that gave the free one: which node a gateway
chooses is no cost of a payment. `first` is from the request to the first byte of text; `added` is the
difference of the medians (p50) and of the 99th percentiles. Then sixteen streams at once of each: answers a
second, and processor time an answer, every process of the network counted. Then streams paid by x402's
`upto`, one at a time: first byte, last byte, and when the money has moved on the chain, each from the
request. At the end the epoch is settled: gas of leases and settlements, from the chain.

Beside it, in the same run, stock x402 as a client meets it: PyPI's middleware in FastAPI and its httpx
client, by our facilitator on a chain that makes a block for each transaction. The same handler without a
price, by `exact`, by a channel; whole answers, as the middleware reads an answer to its end before it lets it
go.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from builds import FIXED, HERE, Running, fixed_upstream, homes, settle
from load_client import Client, Load, Timing, run_load
from payments_x402 import QUESTION, stock, upto

from hallmark.core.document import hex0x, unhex
from hallmark.core.hashing import sha256
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.payments.spending import request_name, sign_spending
from hallmark.services.chain.rpc import RPC
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.wallet import Wallet

FREE = "free"
PORT = 26_000
UPSTREAM = 26_190
CHAT = "/v1/chat/completions"
SETTLEMENT = re.compile(rb'settlement\\*":\\*"(0x[0-9a-f]{40})')
MAXIMUM = 200_000
WARM = 12


class Payer:
    """Signs for requests to one node, as the SDK does; each with a session key and a nonce of its own."""

    def __init__(self, wallet: Key, vault: Vault, payee: bytes, enclave: bytes) -> None:
        self._vault, self._payee, self.enclave = vault, payee, enclave
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
            self.enclave,
            request_name(salt, CHAT, body),
            MAXIMUM,
            sha256(salt),
            int(time.time() * 1000) + 600_000,
        )
        return sign_spending(
            self._ceiling, self._signature, spend, salt, session=self._session, vault=self._vault
        )


class Paying(Client):
    """A client whose every request carries a payment that was signed before: to the enclave `to`, or to each
    in turn.
    """

    def __init__(self, base_url: str, model: str, payers: list[Payer]) -> None:
        super().__init__(base_url, model, QUESTION)
        self._payers, self._turn, self.to = payers, 0, b""
        self._signed: dict[bytes, list[str]] = {payer.enclave: [] for payer in payers}

    def sign(self, answers: int, *, stream: bool) -> None:
        """Sign for so many answers, whoever gives them."""
        for payer in self._payers:
            self._signed[payer.enclave] += [payer.header(self._bodies[stream]) for _ in range(answers)]

    async def ask(self, stream: bool, due: float) -> Timing:
        """One answer, with the next payment."""
        self._turn += 1
        to = self.to or self._payers[self._turn % len(self._payers)].enclave
        self._headers = f"hallmark-payment: {self._signed[to].pop()}\r\n"
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


async def in_turns(
    free: Client, paid: Paying, answers: int, *, anywhere: bool
) -> tuple[list[Timing], list[Timing]]:
    """One answer of each after the other, in an order that changes. The paid one pays the node of the newest
    free one, or (`anywhere`) the nodes in turn.
    """
    paid.sign(answers + WARM, stream=True)
    paid.to = b""
    found: tuple[list[Timing], list[Timing]] = ([], [])
    for number in range(answers + WARM):
        pair = [(free, found[0]), (paid, found[1])]
        for client, kept in pair if number % 2 else reversed(pair):
            if client is paid and number >= WARM // 2 and not anywhere:
                paid.to = enclave_of(free.said)
            timing = await client.ask(True, time.perf_counter())
            if number >= WARM:
                kept.append(timing)
    paid.to = b""
    return found


def enclave_of(said: bytes) -> bytes:
    """The settlement key (20-byte address) of the enclave that gave an answer."""
    found = SETTLEMENT.search(said)
    assert found is not None, "no key bundle in the answer"
    return unhex(found[1].decode())


def together(build: Running, client: Client, answers: int) -> dict[str, float]:
    """Sixteen streams at once: answers a second, processor ms an answer of the whole network."""
    load = Load("16 streams", answers, 16)
    tree = build.tree()
    before, began = tree.count(), time.monotonic()
    asyncio.run(_crowd(client, load))
    took = time.monotonic() - began
    settle(tree)
    used = tree.count().since(before)
    return {"per_s": answers / took, "cpu_ms": sum(used.spent_ms.values()) / answers}


async def settled(build: Running) -> None:
    """Until no node has anything to settle."""
    while any(_unsettled(settings) for settings in _settings(build.home)):  # noqa: ASYNC110
        await asyncio.sleep(1)


def _unsettled(settings: Path) -> bool:
    port = json.loads(settings.read_text())["health"]["port"]
    return _json(f"http://127.0.0.1:{port}/healthz")["payments"]["settlement"]["unsettled"] != "0"


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
        found = [asyncio.run(_and_close(free, paid, options.answers)) for _ in range(options.rounds)]
        result: dict[str, Any] = {"offer": offer["digest"], "times": show_turns(found)}
        anywhere = asyncio.run(_and_close(free, paid, options.answers // 2, anywhere=True))
        print("The same, paying both nodes in turn, wherever free answers come from:")
        result["anywhere"] = show_turns([anywhere])
        settle(build.tree())
        crowd = [_both(build, free, paid, options.answers) for _ in range(options.rounds)]
        result["together"] = show_together(crowd)
        result["upto"] = show_upto(asyncio.run(upto(build.home, build.base_url, min(12, options.answers))))
        peers = {} if options.without_stock else stock(min(60, options.answers))
        for name, first in peers.items():
            added = first - peers["free"]
            print(f"stock x402, {name:8}{first:9.2f} ms to the first byte, {added:8.2f} added", flush=True)
        try:
            asyncio.run(asyncio.wait_for(settled(build), 75))
        except TimeoutError:
            print("Not everything is settled: the gas is of what is.")
        owners = [json.loads(p.read_text())["owner_key_file"] for p in _settings(build.home)]
        senders = [hex0x(Key(bytes.fromhex(Path(file).read_text().strip())).address) for file in owners]
        gas = asyncio.run(gas_of(build.home, senders))
    answered = options.rounds * (2 * options.answers + WARM) + options.answers // 2 + WARM
    whole, calls = sum(row["gas"] for row in gas.values()), sum(row["calls"] for row in gas.values())
    each = 1000 * whole / answered
    print(f"{answered} paid; {calls} calls of the nodes took {whole:,} gas: {each:,.0f} per 1,000 answers")
    if options.json:
        result |= {"gas": gas, "stock": peers, "answers": answered}
        options.json.write_text(json.dumps(result, indent=1))


def show_turns(found: list[tuple[list[Timing], list[Timing]]]) -> dict[str, Any]:
    """Times of free and paid answers, and what paying added in each round."""
    told = {
        name: percentiles([t for one in found for t in one[n]]) for n, name in enumerate(("free", "paid"))
    }
    print(f"{'':8}{'first p50':>11}{'p99':>9}{'total p50':>11}{'p99':>9}")
    added = {key: told["paid"][key] - told["free"][key] for key in told["paid"]}
    for name, row in (*told.items(), ("added", added)):
        cells = (row["first_p50"], row["first_p99"], row["total_p50"], row["total_p99"])
        print(f"{name:8}{cells[0]:11.2f}{cells[1]:9.2f}{cells[2]:11.2f}{cells[3]:9.2f}")
    each = [[percentiles(one)["first_p50"] for one in pair] for pair in found]
    print(
        "added to the first byte at p50, by round:",
        *(f"{paid - free:.2f}" for free, paid in each),
        flush=True,
    )
    return {**told, "added": added, "rounds": each}


def show_together(crowd: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Medians of the rounds with sixteen streams."""
    told = {
        name: {key: statistics.median(one[n][key] for one in crowd) for key in ("per_s", "cpu_ms")}
        for n, name in enumerate(("free", "paid"))
    }
    for name, row in told.items():
        print(
            f"{name:8}{row['per_s']:9.1f} answers/s, {row['cpu_ms']:.2f} ms of processor time each",
            flush=True,
        )
    return told


def show_upto(row: dict[str, float]) -> dict[str, float]:
    """What `upto` says."""
    print(
        f"paid by upto, streamed: first byte {row['first']:.2f} ms, last byte {row['total']:.2f} ms, money "
        f"moved {row['moved']:.0f} ms after the request",
        flush=True,
    )
    return row


def _both(build: Running, free: Client, paid: Paying, answers: int) -> list[dict[str, float]]:
    paid.sign(answers, stream=True)
    return [together(build, free, answers), together(build, paid, answers)]


async def _crowd(client: Client, load: Load) -> None:
    try:
        await run_load(client.ask, load)
    finally:
        client.close()


async def _and_close(
    free: Client, paid: Paying, answers: int, *, anywhere: bool = False
) -> tuple[list[Timing], list[Timing]]:
    try:
        return await in_turns(free, paid, answers, anywhere=anywhere)
    finally:
        free.close()
        paid.close()


def _settings(home: Path) -> list[Path]:
    return sorted((home / "services").glob("node-*/settings.json"))


if __name__ == "__main__":
    main()
