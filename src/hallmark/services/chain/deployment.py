"""Deploying by CREATE2, once: vault and development token at the one address that their code gives."""

from __future__ import annotations

import asyncio
from typing import Final

from hallmark.core.document import hex0x
from hallmark.core.errors import Unavailable
from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import FACTORY, SALT, Artifact
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import dev_token_code
from hallmark.services.chain.transactions import Call, Deployment, send_raw, sign_transaction, suggest_fees
from hallmark.services.chain.vault import VaultParameters, create2_address, vault_code

MOST_GAS: Final = 5_000_000
LOOKS_A_SECOND: Final = 5


async def deploy_vault(
    rpc: RPC, key: Key, artifact: Artifact, parameters: VaultParameters, *, timeout_s: float = 60.0
) -> Deployment:
    """Make sure that this vault is on the chain. Its asset must be there first. Raises what `deploy_code`
    raises.
    """
    return await deploy_code(rpc, key, vault_code(artifact, parameters), timeout_s=timeout_s)


async def deploy_dev_token(rpc: RPC, key: Key, artifact: Artifact, *, timeout_s: float = 60.0) -> Deployment:
    """Make sure that the development token is on the development chain. Raises what `deploy_code` raises."""
    return await deploy_code(rpc, key, dev_token_code(artifact), timeout_s=timeout_s)


async def deploy_code(rpc: RPC, key: Key, code: bytes, *, timeout_s: float = 60.0) -> Deployment:
    """Make sure that creation code was run by the deployment proxy. Does nothing when it was.

    Raises Unavailable `no_create2_factory`, `deployment_failed`, `chain_unreachable`.
    """
    address = create2_address(code)
    if await rpc.code(address):
        return Deployment(address)
    if not await rpc.code(FACTORY):
        raise Unavailable(
            "no_create2_factory",
            f"This chain has no deterministic deployment proxy at {hex0x(FACTORY)}.",
            "See docs/chain.md, Another chain.",
        )
    signed = sign_transaction(
        Call(FACTORY, SALT + code, MOST_GAS),
        key,
        chain_id=await rpc.chain_id(),
        nonce=await rpc.nonce(key.address),
        fees=await suggest_fees(rpc),
    )
    accepted = await send_raw(rpc, signed.raw)
    for _ in range(max(1, int(timeout_s * LOOKS_A_SECOND))):
        if await rpc.code(address):
            return Deployment(address, signed.hash)
        await asyncio.sleep(1 / LOOKS_A_SECOND)
    raise Unavailable(
        "deployment_failed",
        "The contract did not appear on the chain." if accepted else "The chain refused the deployment.",
        f"Does {hex0x(key.address)} have funds?",
    )
