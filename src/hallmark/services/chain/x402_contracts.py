"""The contracts that stock x402 clients know by address, put on a development chain.

They have the same addresses on every chain: Permit2, Multicall3, x402's two Permit2 proxies, its channels
and their two collectors. A development chain gets code of our own there (contracts/x402), written from the
published interfaces and without any constructor, by `anvil_setCode`. On any other chain nothing is put
anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hallmark.core import x402_digests as digests
from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.services.chain.contract import read_contract
from hallmark.services.chain.rpc import RPC

DEVELOPMENT_CHAINS: Final = (31_337,)
MULTICALL3: Final = bytes.fromhex("cA11bde05977b3631167028862bE2a173976CA11")
NAMES: Final[dict[bytes, str]] = {
    digests.PERMIT2: "DevPermit2",
    MULTICALL3: "DevMulticall",
    digests.EXACT_PROXY: "DevExactProxy",
    digests.UPTO_PROXY: "DevUptoProxy",
    digests.BATCH_SETTLEMENT: "DevBatchSettlement",
    digests.DEPOSIT_COLLECTOR: "DevERC3009Collector",
    digests.PERMIT2_DEPOSIT_COLLECTOR: "DevPermit2Collector",
}


async def install(rpc: RPC, contracts: Path) -> tuple[bytes, ...]:
    """Put what is missing, or of another version, on the chain; the addresses that were written. `contracts`
    is what `toolchain.prepare_x402` gives.

    Raises Unavailable `not_a_development_chain`, `chain_unreachable`; InvalidInput `bad_contract_file`.
    """
    chain_id = await rpc.chain_id()
    if chain_id not in DEVELOPMENT_CHAINS:
        raise Unavailable(
            "not_a_development_chain",
            f"Chain {chain_id} is no development chain: nothing is put at anybody's address there.",
            "x402's contracts are on most chains already.",
        )
    written = []
    for address, name in NAMES.items():
        code = bytes.fromhex(read_contract(contracts / f"{name}.json").deployed_bytecode.removeprefix("0x"))
        if await rpc.code(address) != code:
            await rpc.call("anvil_setCode", hex0x(address), hex0x(code))
            written.append(address)
    return tuple(written)


async def missing(rpc: RPC) -> tuple[str, ...]:
    """Which of the contracts a chain lacks, by our names. Raises Unavailable `chain_unreachable`."""
    return tuple([name for address, name in NAMES.items() if not await rpc.code(address)])
