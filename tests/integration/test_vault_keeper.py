"""The vault's keeper on a real chain: contracts where they belong, and only keys that evidence binds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from hallmark.compose.vault_keeper import Keeper
from hallmark.compose.vault_settings import DELAYS, Settings, Watched, vault_parameters
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import NotFound, Unavailable
from hallmark.core.objected import Run
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import Receive, Scope, Send, respond, respond_json
from hallmark.http.client import Pool
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger.tiles import encode_bundle
from hallmark.services.chain.contract import read_contract
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import dev_token_address
from hallmark.services.chain.vault import RegisteredEnclave, VaultContract, vault_address
from hallmark.testing.anvil import fund, running_anvil, toolchain
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import SETTLEMENT, LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence

pytestmark = pytest.mark.integration

GAS = Key(b"\x07" * 32)
NOBODY = RegisteredEnclave(bytes(20), 0, 0, revoked=False)


@pytest.fixture
def url() -> Iterator[str]:
    """A chain with nothing on it."""
    with running_anvil() as url:
        yield url


class Place:
    """A log and its first node's host, on one port, as the keeper asks them."""

    def __init__(self) -> None:
        self.net = LittleNetwork()
        self.node = self.net.nodes[0]
        # The zero address cannot be a payee.
        payee = hex0x(self.node.owner.address)
        self.net.restart(self.node, payment=payee)
        self.serving = True
        self.witnessed = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the keeper asks: a node's health, leaves, a proof."""
        path, query = scope["path"], parse_qs(scope["query_string"].decode())
        if path == "/node/healthz":
            said = hex0x(self.node.address) if self.serving else None
            await respond_json(send, {"node": said, "registered_at": self.node.registered})
        elif path == "/leaves":
            start, end = int(query["start"][0]), int(query["end"][0])
            await respond(send, 200, encode_bundle(self.net.leaves[start:end]))
        elif path.startswith("/proof/"):
            if not self.witnessed:
                raise Unavailable("not_witnessed_yet", "No quorum covers this entry yet.")
            proof = Notary(self.net).proof(int(path.removeprefix("/proof/")))
            await respond(send, 200, proof.encode())
        else:
            raise NotFound("no_such_path", "There is no such path here.")


class Scene:
    """A keeper that runs, and the vault as the chain has it."""

    def __init__(self, keeper: Keeper, place: Place, vault: VaultContract, rpc: RPC) -> None:
        self.keeper, self.place, self.vault, self.rpc = keeper, place, vault, rpc

    async def key(self) -> RegisteredEnclave:
        """What the vault knows of the node's settlement key; nothing while it is not there itself."""
        return await self.vault.enclave(SETTLEMENT) if await self.vault.deployed() else NOBODY

    async def until(self, reason: str) -> None:
        """Until the keeper's health has this reason; empty: it is ready."""
        async with asyncio.timeout(180):
            while self.keeper.health.reason != reason:  # noqa: ASYNC110 - it is a process's in production
                await asyncio.sleep(0.02)

    async def until_registered(self, times: int = 1) -> None:
        """Until the keeper has registered so often."""
        async with asyncio.timeout(180):
            while self.keeper.registered < times:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def kept(place: Place, url: str, folder: Path) -> AsyncIterator[Scene]:
    """A keeper of the network at `place`."""
    trust, contracts, rpc = Notary(place.net).trust(), toolchain().contracts, RPC(url)
    (folder / "trust.toml").write_text(trust.to_toml())
    await fund(rpc, GAS)
    token = dev_token_address(read_contract(contracts / "DevToken.json"))
    authority = tuple(unhex(address) for address in trust.authority)
    parameters = vault_parameters(trust.network_id, authority, trust.threshold, token)
    address = vault_address(read_contract(contracts / "Vault.json"), parameters)
    pool = Pool()
    async with serving(Service(place), bind(Listen(0))) as log:
        settings = Settings(
            listen=Listen(0),
            rpc_url=url,
            log_url=log,
            trust_file=str(folder / "trust.toml"),
            token_file=str(contracts / "DevToken.json"),
            vault_file=str(contracts / "Vault.json"),
            key_file="",
            authority_files=(),
            nodes=(Watched("node-1", f"{log}/node", hex0x(place.node.owner.address)),),
            poll_ms=20,
            hurry_ms=20,
        )
        keeper = Keeper(settings, GAS, place.net.authority, pool, judge=verify_stub_evidence)
        running = asyncio.create_task(keeper.run())
        try:
            yield Scene(keeper, place, VaultContract(rpc, address), rpc)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await pool.aclose()
            await rpc.aclose()


async def test_contracts_and_key_are_there_once(url: str, tmp_path: Path) -> None:
    """The vault has the network's terms, the key its owner as payee; looking again sends nothing."""
    place = Place()
    async with kept(place, url, tmp_path) as scene:
        await scene.until_registered()
        found = await scene.vault.parameters()
        assert (found.delays, found.threshold) == (DELAYS, 2)
        assert found.authority == place.net.genesis.authority
        key = await scene.key()
        assert (key.payee, key.revoked) == (place.node.owner.address, False)
        sent = await scene.rpc.nonce(GAS.address)
    async with kept(place, url, tmp_path) as scene:
        await scene.until("")
        await asyncio.sleep(0)
        assert await scene.rpc.nonce(GAS.address) == sent
        assert scene.keeper.registered == 0


async def test_nothing_is_registered_before_a_quorum_has_seen_it(url: str, tmp_path: Path) -> None:
    """A node that is not there yet, or whose registration nobody witnessed, is waited for."""
    place = Place()
    place.witnessed = place.serving = False
    async with kept(place, url, tmp_path) as scene:
        await scene.until("vault_registering")
        assert await scene.key() == NOBODY
        place.serving = True
        await scene.until("vault_registering")
        assert await scene.key() == NOBODY
        place.witnessed = True
        await scene.until_registered()
        assert (await scene.key()).payee == place.node.owner.address


async def test_what_full_nodes_object_to_is_not_registered(url: str, tmp_path: Path) -> None:
    """More than may be dishonest: the keeper says that it refused, and why is in its log."""
    place = Place()
    for full_node in place.net.full_nodes[:2]:
        runs = (Run(place.node.registered, 1, "evidence_rejected"),)
        place.net.add(place.net.verdict_on(full_node, runs))
    async with kept(place, url, tmp_path) as scene:
        await scene.until("settlement_key_refused")
        assert scene.keeper.health.told == "node-1: registration_objected"
        assert await scene.key() == NOBODY


async def test_one_full_node_alone_stops_nobody(url: str, tmp_path: Path) -> None:
    """One of four may lie."""
    place = Place()
    runs = (Run(place.node.registered, 1, "evidence_rejected"),)
    place.net.add(place.net.verdict_on(place.net.full_nodes[0], runs))
    async with kept(place, url, tmp_path) as scene:
        await scene.until_registered()


async def test_a_chain_that_lost_everything_gets_all_of_it_again(url: str, tmp_path: Path) -> None:
    """Token, vault and key come back at the same addresses."""
    place = Place()
    async with kept(place, url, tmp_path) as scene:
        before = await scene.rpc.call("evm_snapshot")
        await scene.until_registered()
        await scene.rpc.call("evm_revert", before)
        await fund(scene.rpc, GAS)
        await scene.until_registered(2)
        assert (await scene.key()).payee == place.node.owner.address
