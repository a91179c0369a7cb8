"""`hallmark node earnings` over a real chain: settlements, collections, what waits, and the words for it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from hallmark.apps.cli.main import cli
from hallmark.core.document import hex0x
from hallmark.core.vault import Row
from hallmark.http.asgi import Receive, Scope, Send, respond_json
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.services.chain.token import faucet_call, transfer_call
from hallmark.services.chain.toolchain import prepare_x402, repository_root
from hallmark.services.chain.vault import collect_call
from hallmark.services.chain.x402_contracts import install
from hallmark.services.node.earnings import read_earnings
from hallmark.services.node.rail_earnings import HostEarnings, RailSums, Sum
from hallmark.services.node.settings import Payments, Settings
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.issuers import ISSUER
from hallmark.testing.ports import free_port
from hallmark.testing.settling import offer_entry
from hallmark.testing.vaults import SHORT, VaultOnChain, fresh_vault, named_key, new_payers

pytestmark = pytest.mark.integration

ONE, TWO = named_key("earning one"), named_key("earning two")
PAYEE, OTHER = named_key("earner").address, named_key("other earner").address
ANN, BOB, CAT = (named_key(f"payer {number}").address for number in range(3))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One chain for all tests of this file."""
    with running_anvil() as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[VaultOnChain]:
    """Two enclaves of one payee have settled, of a third row too late; half of it was collected."""
    async with fresh_vault(url) as chain:
        await chain.register(ONE, PAYEE)
        await chain.register(TWO, PAYEE)
        await chain.register(named_key("foreign"), OTHER)
        await new_payers(chain, PAYEE, 100, 3)
        until = await chain.now() + SHORT.lease - 20
        await chain.send(chain.lease(ONE, until, [Row(ANN, 50), Row(BOB, 50)]))
        await chain.send(chain.lease(TWO, until, [Row(CAT, 50)]))
        await chain.send(chain.settle(ONE, [Row(ANN, 10), Row(BOB, 20)]))
        await chain.send(collect_call(PAYEE))
        await chain.send(chain.settle(TWO, [Row(CAT, 7), Row(ANN, 5)]))
        yield chain


async def test_what_the_chain_tells(chain: VaultOnChain) -> None:
    """Every settlement of the payee's enclaves or of one of them, what was collected, and what waits."""
    read = await read_earnings(chain.rpc, chain.address, PAYEE, blocks=1_000_000)
    assert [(e.enclave, e.accounts, e.charged, e.too_late) for e in read.epochs] == [
        (ONE.address, 2, 30, 0),
        (TWO.address, 2, 7, 1),
    ]
    assert (read.earned, read.collected, read.waiting) == (37, 30, 7)
    assert all(epoch.at > 0 for epoch in read.epochs)
    assert (read.earned_by(TWO.address), read.earned_by(OTHER)) == (7, 0)
    newest = await read_earnings(chain.rpc, chain.address, PAYEE, blocks=1)
    assert (newest.earned, newest.collected, newest.waiting) == (7, 0, 7)
    nothing = await read_earnings(chain.rpc, chain.address, OTHER, blocks=1_000_000)
    assert (nothing.epochs, nothing.collections, nothing.waiting) == ((), (), 0)


def settings_file(folder: Path, chain: VaultOnChain, url: str, health: int) -> Path:
    """A node's settings beside its offer."""
    (folder / "offer").write_bytes(offer_entry(PAYEE, chain.parameters.asset, chain.address))
    settings = Settings(
        listen=Listen(1),
        health=Listen(health),
        endpoint="https://127.0.0.1:1",
        log_url="http://127.0.0.1:1",
        origin="hallmark.test/log",
        chain_id=CHAIN_ID,
        owner_key_file="none",
        database="sqlite:///none",
        payments=Payments(str(folder / "offer"), rpc_url=url),
    )
    path = folder / "settings.json"
    path.write_bytes(msgspec.json.encode(settings))
    return path


def earnings(path: Path, *more: str) -> Result:
    """The command, in a wide terminal."""
    command = ["node", "earnings", "--config", str(path), *more]
    return CliRunner().invoke(cli, command, env={"COLUMNS": "200"}, catch_exceptions=False)


async def test_the_command_says_what_it_is(chain: VaultOnChain, url: str, tmp_path: Path) -> None:
    """A row for each settlement and collection, the sums, and that this is development money."""
    path = settings_file(tmp_path, chain, url, free_port())
    done = await asyncio.to_thread(earnings, path)
    assert done.exit_code == 0, done.output
    for part in (
        "DEV is development money: it is worth nothing.",
        "0.00003 DEV",
        "Waiting in the vault for the payee: 0.000007 DEV.",
        "1 rows came after their lease's window and charged nothing.",
        "not known here",
    ):
        assert part in done.output, done.output
    assert done.output.count("settled   ") == 2
    assert done.output.count("collected   ") == 1
    told = json.loads((await asyncio.to_thread(earnings, path, "--json")).output)
    assert (told[0]["earnings"]["earned"], told[0]["earnings"]["collected"]) == (37, 30)
    assert told[0]["host"] is None


class Telling(Service):
    """A node's host that says how its settlement stands, and what came by other rails in a token."""

    def __init__(self, told: HostEarnings) -> None:
        super().__init__(self)
        self._told = told

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Whatever is asked."""
        if scope["path"] == "/earnings":
            await respond_json(send, msgspec.to_builtins(self._told))
            return
        settlement = {"next": 1, "unsettled": "5", "too_late": "3", "problem": "chain_unreachable"}
        paid = {"settlement_key": "0x" + TWO.address.hex(), "settlement": settlement}
        await respond_json(send, {"state": "ready", "payments": paid})


async def test_what_the_host_knows_is_added(chain: VaultOnChain, url: str, tmp_path: Path) -> None:
    """What is charged and not settled, when that is due, what its enclave's key has earned, and each of the
    other rails by itself.
    """
    port = free_port()
    path = settings_file(tmp_path, chain, url, port)
    token = chain.parameters.asset
    await install(chain.rpc, prepare_x402(repository_root()))
    await fund(chain.rpc, ISSUER)
    await chain.send(faucet_call(ISSUER.address, 500), to=token)
    await chain.send(transfer_call(PAYEE, 40), to=token, key=ISSUER)
    exact = RailSums(Sum(2, "700"), Sum(1, "50"), Sum(3, "90"))
    host = HostEarnings(hex0x(token), {"exact": exact}, Sum(1, "350"), hex0x(ISSUER.address), 2)
    async with serving(Telling(host), bind(Listen(port))):
        done = await asyncio.to_thread(earnings, path)
    assert done.exit_code == 0, done.output
    for part in (
        "Of it by the enclave key that this node has now: 0.000007 DEV.",
        "Charged and not settled yet, by the host's own books: 0.000005 DEV, due at 1970",
        "chain_unreachable",
        "Lost, because it came too late, by the host's own books: 0.000003 DEV.",
        "x402 exact, by the host's own books: 0.0007 DEV (2 payments) settled, 0.00005 DEV (1 payment) due, "
        "0.00009 DEV (3 payments) refused",
        "x402 upto, by the host's own books: nothing settled, nothing due, nothing refused",
        "Nothing of exact and upto was compared with the chain here",
        "x402 channels: the host says that it claimed 0.00035 DEV (1 channel).",
        "whoever claimed: 0.00 DEV was paid out, 0.00 DEV waits to be",
        f"issuer {hex0x(ISSUER.address)} paid out 0.00004 DEV (1 transfer) in blocks",
        "2 settlements wait for it",
    ):
        assert part in done.output, done.output
    # A host can say anything: no sentence with a figure of its own is told as what the chain shows.
    for told in ("0.000005", "0.000003", "0.0007", "0.00005", "0.00009", "0.00035", "2 settlements"):
        (line,) = (line for line in done.output.splitlines() if re.search(rf"(?<![\d.]){told}(?!\d)", line))
        assert "by the host's " in line or "the host says" in line, line
