"""Stock x402 from PyPI pays: `python pay.py ORDERS` reads a JSON file and prints what became of each order.

An order has `url`, `way` (exact, permit2, upto, batch-settlement), and where wanted `times`, `method`,
`json`, `arrived`, a URL that is told (by POST) of each piece of an answer before the next one is read, and
`salts`, of as many channels (0x-hex) that each pay such a request at once. Beside the orders stand `key`
(0x-hex) and `rpc`. A result has `status`, `body`, the number of `chunks` that it came in, `first`, when the
first one came (seconds from the start), and `payment`, what PAYMENT-RESPONSE says.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from eth_account import Account
from httpx import AsyncClient
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
)
from x402.mechanisms.evm.exact.client import ExactEvmScheme
from x402.mechanisms.evm.signers import EthAccountSignerWithRPC
from x402.mechanisms.evm.upto.client import UptoEvmScheme

SCHEMES = {"exact": ExactEvmScheme, "permit2": ExactEvmScheme, "upto": UptoEvmScheme}


def client_for(way, signer, salt=None):
    """A client that pays in one way, in any asset: its own caps know some stablecoins alone."""
    options = [BatchSettlementEvmSchemeOptions(salt=salt)] if salt else []
    scheme = SCHEMES.get(way, BatchSettlementEvmScheme)(signer, *options)
    client = x402Client()
    client.set_spend_controls(False)
    client.register("eip155:*", scheme)
    if way in ("exact", "permit2"):
        wanted = "permit2" if way == "permit2" else None
        client.register_policy(
            lambda version, offers: [
                o for o in offers if (o.extra or {}).get("assetTransferMethod") == wanted
            ]
        )
    return client


async def pay(http, order, told):
    """One request, paid for when it is asked to be; `told` carries word that it arrives."""
    method, first, started = order.get("method", "GET"), 0.0, time.monotonic()
    async with http.stream(method, order["url"], json=order.get("json")) as response:
        parts = []
        async for part in response.aiter_bytes():
            if order.get("arrived"):
                await told.post(order["arrived"])
            first = first or time.monotonic() - started
            parts.append(part)
    header = response.headers.get("payment-response")
    return {
        "status": response.status_code,
        "body": b"".join(parts).decode(),
        "chunks": len(parts),
        "first": first,
        "payment": decode_payment_response_header(header).model_dump(by_alias=True, exclude_none=True)
        if header
        else None,
    }


async def main():
    """All orders, one after another; `times` of one by the same client."""
    said = json.loads(Path(sys.argv[1]).read_text())
    signer = EthAccountSignerWithRPC(Account.from_key(said["key"]), rpc_url=said["rpc"])

    async def by_one_client(order, salt=None):
        paying = x402HttpxClient(client_for(order["way"], signer, salt), timeout=60)
        async with paying as http, AsyncClient() as told:
            return [await pay(http, order, told) for _ in range(order.get("times", 1))]

    results = []
    for order in said["orders"]:
        at_once = [by_one_client(order, salt) for salt in order.get("salts", (None,))]
        results.append([one for found in await asyncio.gather(*at_once) for one in found])
    print(json.dumps(results))


asyncio.run(main())
