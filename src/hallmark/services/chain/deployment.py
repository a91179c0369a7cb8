"""Deploying by CREATE2, once: vault and development token at the one address that their code gives."""

from __future__ import annotations

from hallmark.crypto.secp256k1 import Key
from hallmark.services.chain.contract import Artifact
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import dev_token_code
from hallmark.services.chain.transactions import Deployment, deploy_code
from hallmark.services.chain.vault import VaultParameters, vault_code


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
