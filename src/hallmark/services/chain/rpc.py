"""A small asyncio client of Ethereum JSON-RPC (execution-apis), over any http or https endpoint.

Nothing that it returns is verified: an RPC endpoint is believed, so use one that you run or trust.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.http.client import Pool, Timeouts

TIMEOUTS: Final = Timeouts(connect=3.0, head=10.0, idle=10.0)
MAX_RESPONSE: Final = 8 << 20
MAX_TOLD: Final = 200
QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
# What stores and counts here hold; a chain that answers with more is not believed.
LARGEST: Final = 2**63 - 1


class Reverted(VerificationFailed):
    """The chain executed the call and it reverted; `data` is the ABI-encoded custom error, or empty."""

    def __init__(self, data: bytes, message: str) -> None:
        super().__init__("call_reverted", message)
        self.data = data


class RPCRefused(Unavailable):
    """The endpoint answered with a JSON-RPC error that is no revert; `code` is its number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__("chain_refused", f"The chain endpoint refused: {message[:MAX_TOLD]}")
        self.code = code


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""
    data: Any = None


class _Answer(msgspec.Struct, frozen=True):
    result: Any = None
    error: _Error | None = None


class RPC:
    """One endpoint. Calls may run at the same time; `aclose` at the end."""

    def __init__(self, url: str, *, timeouts: Timeouts = TIMEOUTS) -> None:
        self.url = url
        self._timeouts = timeouts
        self._pool = Pool(per_origin=8)
        self._ids = itertools.count(1)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def call(self, method: str, *params: object) -> Any:
        """The result of one JSON-RPC method.

        Raises Unavailable `chain_unreachable`, Reverted, RPCRefused.
        """
        body = msgspec.json.encode(
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        )
        headers = ((b"content-type", b"application/json"),)
        try:
            async with self._pool.request(
                "POST", self.url, headers, body, timeouts=self._timeouts
            ) as response:
                answer = msgspec.json.decode(await response.read(MAX_RESPONSE), type=_Answer)
        except (HallmarkError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(
                "chain_unreachable",
                "The chain's JSON-RPC endpoint gives no usable answer.",
                "Is it up, and is its URL right? On a development network: hallmark status.",
            ) from error
        if answer.error is not None:
            raise _refusal(answer.error)
        return answer.result

    async def chain_id(self) -> int:
        """The chain's EIP-155 id."""
        return quantity(await self.call("eth_chainId"))

    async def head(self) -> int:
        """Number of the newest block."""
        return quantity(await self.call("eth_blockNumber"))

    async def block_time(self, number: int) -> int | None:
        """A block's time in unix seconds; None when the endpoint does not have it."""
        block = await self.call("eth_getBlockByNumber", hex(number), False)
        return quantity(block.get("timestamp")) if isinstance(block, dict) else None

    async def code(self, address: bytes) -> bytes:
        """Deployed code; empty where there is none."""
        return data(await self.call("eth_getCode", hex0x(address), "latest"))

    async def balance(self, address: bytes) -> int:
        """Balance in wei."""
        return quantity(await self.call("eth_getBalance", hex0x(address), "latest"), most=2**256)

    async def nonce(self, address: bytes) -> int:
        """Number of mined transactions of `address`: its next nonce, transactions in waiting left out."""
        return quantity(await self.call("eth_getTransactionCount", hex0x(address), "latest"))

    async def read(self, to: bytes, calldata: bytes, *, block: int | None = None) -> bytes:
        """`eth_call` at a block, else at the newest; the returned bytes."""
        at = "latest" if block is None else hex(block)
        return data(await self.call("eth_call", {"to": hex0x(to), "data": hex0x(calldata)}, at))


def quantity(value: object, *, most: int = LARGEST) -> int:
    """A JSON-RPC quantity of at most `most`. Raises Unavailable `chain_unreachable` when it is none."""
    number = int(value, 16) if isinstance(value, str) and QUANTITY.fullmatch(value) else -1
    if not 0 <= number <= most:
        raise Unavailable("chain_unreachable", "The chain endpoint answered with no number that can be used.")
    return number


def data(value: object) -> bytes:
    """JSON-RPC byte data. Raises Unavailable `chain_unreachable` when it is none."""
    try:
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ValueError
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise Unavailable("chain_unreachable", "The chain endpoint answered with no bytes.") from error


def _refusal(error: _Error) -> HallmarkError:
    """A revert is told by code 3 (geth, anvil) or by its message; its data is a string or inside an
    object.
    """
    detail = error.data.get("data") if isinstance(error.data, dict) else error.data
    if error.code == 3 or "revert" in error.message.lower():
        try:
            return Reverted(data(detail), error.message)
        except Unavailable:
            return Reverted(b"", error.message)
    return RPCRefused(error.code, error.message)
