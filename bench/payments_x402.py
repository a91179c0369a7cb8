"""x402 in the same run as `payments.py`: streams of this network paid by `upto`, and stock middleware."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from builds import FIXED
from load_client import Client

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x, unhex
from hallmark.core.eip3009 import TokenDomain
from hallmark.crypto.secp256k1 import Key
from hallmark.http.client import Pool
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import TokenContract, approve_call, faucet_call
from hallmark.testing import x402_payers
from hallmark.testing.anvil import fund, running_anvil, transact
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

QUESTION = "What does os.mkfifo do?"


class Upto(Client):
    """A stock client's part: it signs by Permit2 for at most what a 402 asks, then asks for the stream."""

    async def pay(self, payer: Key) -> None:
        """Be refused, and sign."""
        pool, url = Pool(), f"http://{self._host}:{self._port}{self._path}"
        async with pool.request("POST", url, [], self._bodies[True]) as answer:
            headers = {name.decode(): value.decode() for name, value in answer.headers}
        await pool.aclose()
        accepted = x402_payers.chosen(headers, "upto")
        signed = x402_payers.permit(payer, accepted, int(time.time()), time.time_ns())
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in signed.items())


async def upto(home: Path, base_url: str, answers: int) -> dict[str, float]:
    """Streams paid by `upto`: medians, ms from the request to first byte, last byte, and moved money."""
    chain = json.loads((home / "client.json").read_text())["chain"]
    rpc, payer, client = RPC(chain["rpc_url"]), Key.generate(), Upto(base_url, FIXED, QUESTION)
    token = TokenContract(rpc, unhex(chain["token"]))
    await fund(rpc, payer)
    for call in (faucet_call(payer.address, 10**9), approve_call(digests.PERMIT2, 2**256 - 1)):
        await transact(rpc, payer, token.address, call)
    rows = []
    for _ in range(answers):
        await client.pay(payer)
        has, due = await token.balance(payer.address), time.perf_counter()
        timing = await client.ask(True, due)
        while await token.balance(payer.address) == has:  # noqa: ASYNC110 - no event says that money moved
            await asyncio.sleep(0.01)
        rows.append((timing.first, timing.total, time.perf_counter() - due))
    client.close()
    await rpc.aclose()
    names = ("first", "total", "moved")
    return {
        name: 1000 * statistics.median(of) for name, of in zip(names, zip(*rows, strict=True), strict=True)
    }


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
