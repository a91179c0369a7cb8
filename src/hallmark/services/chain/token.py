"""The vault's asset as Python sees it: any ERC-20, EIP-3009 where the token has it, and the faucet of
DevToken.sol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hallmark.core.document import hex0x
from hallmark.core.eip3009 import Authorization, TokenDomain
from hallmark.core.errors import VerificationFailed
from hallmark.core.hashing import keccak256
from hallmark.services.chain.contract import Artifact, call_data, create2_address
from hallmark.services.chain.rpc import RPC, Reverted, data

DEV_MONEY_NAME: Final = "Hallmark Development Money"
DEV_MONEY_VERSION: Final = "1"
FAUCET_LIMIT: Final = 10**12
"""The most atomic units that one call of the faucet gives."""
WINDOW: Final = 5_000
"""Blocks of one question: public endpoints answer for few more."""
MOVED: Final = keccak256(b"Transfer(address,address,uint256)")


def dev_token_code(artifact: Artifact) -> bytes:
    """Creation code of the development token; it takes no arguments."""
    return bytes.fromhex(artifact.bytecode.removeprefix("0x"))


def dev_token_address(artifact: Artifact) -> bytes:
    """Where the development token is; it deploys on the development chain only."""
    return create2_address(dev_token_code(artifact))


def approve_call(spender: bytes, amount: int) -> bytes:
    """Let `spender` take up to `amount` of the sender's tokens."""
    return call_data("approve", ["address", "uint256"], [hex0x(spender), amount])


def transfer_call(to: bytes, amount: int) -> bytes:
    """Send tokens."""
    return call_data("transfer", ["address", "uint256"], [hex0x(to), amount])


def transfer_topics(giver: bytes, taker: bytes) -> list[str]:
    """Topics of the event that ERC-20 has for a transfer between two accounts (20 bytes each)."""
    return [hex0x(MOVED), *(hex0x(bytes(12) + party) for party in (giver, taker))]


async def moved(rpc: RPC, token: bytes, giver: bytes, taker: bytes, blocks: range) -> tuple[int, int]:
    """(transfers, their sum) of a token from one account to another. Raises what `RPC` raises."""
    count = total = 0
    for start in range(blocks.start, blocks.stop, WINDOW):
        asked = {
            "address": hex0x(token),
            "topics": transfer_topics(giver, taker),
            "fromBlock": hex(start),
            "toBlock": hex(min(blocks.stop, start + WINDOW) - 1),
        }
        logs = await rpc.call("eth_getLogs", asked)
        for log in logs if isinstance(logs, list) else ():
            if isinstance(log, dict) and log.get("topics") == asked["topics"] and not log.get("removed"):
                count, total = count + 1, total + int.from_bytes(data(log.get("data")), "big")
    return count, total


def faucet_call(to: bytes, amount: int) -> bytes:
    """Make development money."""
    return call_data("faucet", ["address", "uint256"], [hex0x(to), amount])


def authorized_transfer_call(authorization: Authorization, signature: bytes) -> bytes:
    """Submit a holder's signed transfer (EIP-3009)."""
    kinds = ["address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"]
    a = authorization
    values = [hex0x(a.holder), hex0x(a.to), a.value, a.valid_after, a.valid_before, a.nonce]
    return call_data("transferWithAuthorization", kinds, [*values, *_parts(signature)])


def authorized_deposit_call(authorization: Authorization, signature: bytes) -> bytes:
    """Call data for the vault: a payer's signed ReceiveWithAuthorization, whose `to` is the vault, becomes
    a deposit.
    """
    kinds = ["address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"]
    a = authorization
    values = [hex0x(a.holder), a.value, a.valid_after, a.valid_before, a.nonce]
    return call_data("depositWithAuthorization", kinds, [*values, *_parts(signature)])


def _parts(signature: bytes) -> tuple[int, bytes, bytes]:
    return signature[64], signature[:32], signature[32:64]


class TokenContract:
    """Read-only calls on one token. Raises what `RPC` raises, and VerificationFailed `not_a_token`."""

    def __init__(self, rpc: RPC, address: bytes) -> None:
        self._rpc = rpc
        self.address = address

    async def balance(self, holder: bytes) -> int:
        """What a holder has, in atomic units."""
        return int(await self._read("balanceOf", ["address"], [hex0x(holder)], "uint256"))

    async def allowance(self, holder: bytes, spender: bytes) -> int:
        """What `spender` may take of the holder's."""
        values = [hex0x(holder), hex0x(spender)]
        return int(await self._read("allowance", ["address", "address"], values, "uint256"))

    async def decimals(self) -> int:
        """How many decimal places one token has."""
        return int(await self._read("decimals", [], [], "uint8"))

    async def symbol(self) -> str:
        """What people call it: at most 32 of its characters, and only those that can be printed."""
        told = str(await self._read("symbol", [], [], "string"))
        return "".join(filter(str.isprintable, told))[:32]

    async def domain(self, chain_id: int) -> TokenDomain:
        """The EIP-712 domain by the token's own name and version; an ERC-20 without one has "" there."""
        name = str(await self._read("name", [], [], "string"))
        try:
            version = str(await self._read("version", [], [], "string"))
        except (Reverted, VerificationFailed):
            version = ""
        return TokenDomain(name, version, chain_id, self.address)

    async def takes_authorizations(self) -> bool:
        """True when the token answers to EIP-3009's `authorizationState`, so that a deposit needs no gas of
        the payer.
        """
        try:
            await self._read(
                "authorizationState", ["address", "bytes32"], [hex0x(bytes(20)), bytes(32)], "bool"
            )
        except (Reverted, VerificationFailed):
            return False
        return True

    async def _read(self, name: str, kinds: Sequence[str], values: Sequence[Any], returns: str) -> Any:
        from eth_abi.abi import decode

        returned = await self._rpc.read(self.address, call_data(name, kinds, values))
        try:
            return decode([returns], returned)[0]
        except Exception as error:
            # Offsets and lengths are the endpoint's: the library raises whatever they lead it to.
            raise VerificationFailed(
                "not_a_token", "There is no such token at this address.", "Compare the trust file."
            ) from error
