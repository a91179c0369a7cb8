"""`python -m hallmark.compose.vault_keeper --config FILE`: keeps a development network's vault.

1. Development token and vault are on the chain, also after a chain that lost its state.
2. The settlement key of each node of this network is registered, by a quorum of the authority, once a quorum
   of full nodes has cosigned its registration, its evidence holds (`settlement_keys`), and no more full nodes
   object than may be dishonest. The payee is the key bundle's.

3. x402's contracts are where stock clients look for them. Compiling them takes half a minute of a processor,
   once for each version of them, so that begins when everything else is up.

A real network's authority does the second with keys that are on no machine of an operator.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

import msgspec

from hallmark.attestation import verify as verify_evidence
from hallmark.compose.keys import AUTHORITY_THRESHOLD
from hallmark.compose.settlement_keys import SettlementKey, objectors, verify_settlement_key
from hallmark.compose.vault_settings import Settings, Watched, vault_parameters
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, NotFound, Unavailable, VerificationFailed
from hallmark.core.evidence import VerifyEvidence
from hallmark.core.vault import EnclaveRegistration, vault_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import Receive, Scope, Send
from hallmark.http.client import Pool
from hallmark.http.health import Health
from hallmark.http.serve import Service, run, serve
from hallmark.services.chain.contract import read_contract
from hallmark.services.chain.deployment import deploy_dev_token, deploy_vault
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.toolchain import is_x402_prepared, prepare_x402
from hallmark.services.chain.transactions import perform
from hallmark.services.chain.vault import VaultContract, register_call
from hallmark.services.chain.x402_contracts import install
from hallmark.services.following.log_client import LogClient
from hallmark.services.sdk.verifying import Verifier
from hallmark.telemetry.logs import configure, get_logger
from hallmark.telemetry.metrics import Metrics

DAY_S: Final = 86_400
YEAR_S: Final = 365 * DAY_S
LAST_S: Final = 30 * DAY_S
"""A registration that ends within so many seconds is made anew."""
PATIENCE_S: Final = 60
"""So long x402's contracts wait for nodes that do not come."""
READ: Final = 4_096
"""So many leaves after a registration are read for objections."""


class _Said(msgspec.Struct, frozen=True):
    """What a node's host says of its enclave: its key, and where the log has its registration."""

    node: str | None = None
    registered_at: int = -1


class Keeper:
    """See the module docstring. `run` must be running. `judge` judges evidence; anything but the default is
    for tests.
    """

    def __init__(
        self,
        settings: Settings,
        key: Key,
        authority: tuple[Key, ...],
        pool: Pool,
        *,
        judge: VerifyEvidence = verify_evidence,
    ) -> None:
        self._settings, self._key, self._authority, self._pool = settings, key, authority, pool
        self._judge_evidence = judge
        self._rpc = RPC(settings.rpc_url)
        self._log = LogClient(pool, settings.log_url)
        self._token = read_contract(Path(settings.token_file))
        self._code = read_contract(Path(settings.vault_file))
        self._judged: dict[str, tuple[str, SettlementKey | None]] = {}
        self._refused: dict[str, str] = {}
        self._trust = Verifier.read(Path(settings.trust_file)).trust
        self._state = Health("starting", "vault_deploying")
        self._all_seen = asyncio.Event()
        self._trouble = ""
        self.registered = 0

    @property
    def health(self) -> Health:
        """Ready once the vault is there with every node's key that may be in it, while the chain answers."""
        if self._refused and self._state.state == "ready":
            told = "; ".join(f"{name}: {reason}" for name, reason in self._refused.items())
            return Health("degraded", "settlement_key_refused", told=told)
        return self._state

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        installing = asyncio.create_task(self._keep_x402())
        try:
            while True:
                waiting = await self._look()
                if not waiting:
                    self._all_seen.set()
                pause = self._settings.hurry_ms if waiting else self._settings.poll_ms
                await asyncio.sleep(pause / 1000)
        finally:
            installing.cancel()
            await asyncio.gather(installing, return_exceptions=True)
            await self._rpc.aclose()

    async def _keep_x402(self) -> None:
        """Put x402's contracts on the chain, again when it has lost them."""
        if not self._settings.repository:
            return
        if not is_x402_prepared(Path(self._settings.repository)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._all_seen.wait()
        while True:
            pause = self._settings.hurry_ms
            try:
                compiled = await asyncio.to_thread(prepare_x402, Path(self._settings.repository))
                if await install(self._rpc, compiled):
                    get_logger().info("x402_contracts_set")
                pause = self._settings.poll_ms
            except HallmarkError as error:
                if error.reason != "chain_unreachable":
                    get_logger().warning("x402_contracts_not_set", reason=error.reason)
                    return
            await asyncio.sleep(pause / 1000)

    async def _look(self) -> bool:
        """Do what is missing; whether something still is."""
        try:
            vault = await self._deployed()
        except HallmarkError as error:
            if self._state.state == "ready":
                self._state = Health("degraded", "chain_unreachable")
            if error.reason != self._trouble:
                get_logger().warning("vault_not_kept", reason=error.reason)
            self._trouble = error.reason
            return True
        if self._state.reason == "vault_deploying":
            self._state = Health("starting", "vault_registering")
        settled = [await self._see(node, vault) for node in self._settings.nodes]
        if all(settled) or self._state.state != "starting":
            self._state = Health("ready")
        self._trouble = ""
        return not all(settled)

    async def _deployed(self) -> VaultContract:
        token = await deploy_dev_token(self._rpc, self._key, self._token)
        trust = self._trust
        authority = tuple(unhex(address) for address in trust.authority)
        parameters = vault_parameters(trust.network_id, authority, trust.threshold, token.address)
        vault = await deploy_vault(self._rpc, self._key, self._code, parameters)
        for name, made in (("token", token), ("vault", vault)):
            if made.transaction:
                get_logger().info("contract_deployed", contract=name, address=hex0x(made.address))
        return VaultContract(self._rpc, vault.address)

    async def _see(self, node: Watched, vault: VaultContract) -> bool:
        """Whether nothing more can be done for a node now."""
        try:
            found = await self._settlement_key(node)
            if found is not None:
                await self._register(node, found, vault)
        except (Unavailable, NotFound):
            return False
        except HallmarkError as error:
            if self._refused.get(node.name) != error.reason:
                get_logger().error("settlement_key_refused", node=node.name, reason=error.reason)
            self._refused[node.name] = error.reason
            return True
        self._refused.pop(node.name, None)
        return True

    async def _settlement_key(self, node: Watched) -> SettlementKey | None:
        """The key that the running enclave's evidence binds, judged once for each enclave."""
        async with self._pool.request("GET", f"{node.url}/healthz") as response:
            said = await response.json(_Said)
        if said.node is None or said.registered_at < 0:
            raise Unavailable("registration_pending", "The node is not registered yet.")
        name, found = self._judged.get(node.name, ("", None))
        if name != said.node:
            found = await self._judge(said.node, said.registered_at, node)
            self._judged[node.name] = (said.node, found)
        return found

    async def _judge(self, key: str, index: int, node: Watched) -> SettlementKey | None:
        # Read anew: what was revoked since the start counts.
        verifier = Verifier.read(Path(self._settings.trust_file))
        (leaf,) = await self._log.leaves(index, index + 1)
        owner, judge = unhex(node.owner), self._judge_evidence
        found = verify_settlement_key(verifier.trust, leaf, index, node=unhex(key), owner=owner, judge=judge)
        place = verifier.place(leaf, await self._log.proof(index))
        if place.index != index:
            raise VerificationFailed("place_other", "The log proves another place than it was asked for.")
        later = await self._log.leaves(index + 1, min(place.size, index + 1 + READ))
        if len(objectors(verifier.trust, later, index)) > verifier.trust.f:
            raise VerificationFailed("registration_objected", "Full nodes object to this registration.")
        return found

    async def _register(self, node: Watched, found: SettlementKey, vault: VaultContract) -> None:
        known, now = await vault.enclave(found.key), int(time.time())
        if known.revoked or known.valid_until > now + LAST_S:
            return
        statement = EnclaveRegistration(found.key, found.payee, found.bundle, found.measurement, now + YEAR_S)
        digest = vault_digest(statement, self._trust.chain_id, vault.address)
        signers = sorted(self._authority[:AUTHORITY_THRESHOLD], key=lambda key: key.address)
        call = register_call(statement, [key.sign(digest) for key in signers])
        await perform(self._rpc, self._key, vault.address, call)
        self.registered += 1
        get_logger().info("settlement_key_registered", node=node.name, key=hex0x(found.key))


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound("no_such_path", "The vault's keeper has /healthz and /metrics only.")


def main() -> None:
    """Read the settings and serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="hallmark.compose.vault_keeper")
    parser.add_argument("--config", type=Path, required=True)
    settings = msgspec.json.decode(parser.parse_args().config.read_bytes(), type=Settings)
    configure("vault")
    run(_serve(settings))


async def _serve(settings: Settings) -> None:
    pool = Pool()
    authority = tuple(_key(path) for path in settings.authority_files)
    keeper = Keeper(settings, _key(settings.key_file), authority, pool)
    metrics = Metrics()
    metrics.gauge("vault_keys_registered", "Settlement keys registered.", lambda: keeper.registered)
    service = Service(_nothing, health=lambda: keeper.health, registry=metrics.registry)
    try:
        await serve(service, settings.listen, tasks=(keeper.run(),))
    finally:
        await pool.aclose()


def _key(path: str) -> Key:
    return Key(bytes.fromhex(Path(path).read_text().strip()))


if __name__ == "__main__":
    main()
