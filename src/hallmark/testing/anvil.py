"""A real anvil for tests: blocks on demand, no state file."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.toolchain import Toolchain, prepare, repository_root
from hallmark.services.chain.transactions import Call, Fees, send_raw, sign_transaction
from hallmark.testing.ports import free_port

CHAIN_ID = 31_337
RICH = 10**21


def toolchain() -> Toolchain:
    """The tool-chain of this checkout, prepared if it is not. Raises Unavailable."""
    return prepare(repository_root())


@contextlib.contextmanager
def running_anvil() -> Iterator[str]:
    """An anvil that makes a block for each transaction; gives its URL."""
    port = free_port()
    argv = [str(toolchain().anvil), f"--port={port}", f"--chain-id={CHAIN_ID}", "--accounts=0", "--silent"]
    process = subprocess.Popen([*argv, "--hardfork=cancun"], stdin=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def fund(rpc: RPC, key: Key) -> None:
    """Give an account plenty (development chains only)."""
    await rpc.call("anvil_setBalance", hex0x(key.address), hex(RICH))


async def transact(rpc: RPC, key: Key, to: bytes, data: bytes, *, gas: int = 2_000_000) -> dict[str, str]:
    """Send a transaction and return its receipt (JSON-RPC form); `status` is 0x0 when it reverted."""
    fees = Fees(10**11, 10**9)
    nonce = await rpc.nonce(key.address)
    signed = sign_transaction(Call(to, data, gas), key, chain_id=CHAIN_ID, nonce=nonce, fees=fees)
    await send_raw(rpc, signed.raw)
    for _ in range(200):
        receipt: dict[str, str] | None = await rpc.call("eth_getTransactionReceipt", hex0x(signed.hash))
        if receipt is not None:
            return receipt
        await asyncio.sleep(0.02)
    raise Unavailable("not_mined", "The transaction was not mined.")
