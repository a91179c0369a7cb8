"""The contracts of a home: what a build changed is deployed anew only where it speaks another interface."""

from __future__ import annotations

import json
from pathlib import Path

from hallmark.compose.home import Home
from hallmark.compose.keys import load_keys
from hallmark.compose.plan import make_plan
from hallmark.compose.start import former_vaults, kept_contract, money_of
from hallmark.compose.wiring import Contracts
from hallmark.services.chain.toolchain import Toolchain

ABI = [{"type": "function", "name": "leaseOf", "inputs": [{"type": "uint32"}]}]
OTHER = [{"type": "function", "name": "leaseOf", "inputs": [{"type": "address"}]}]


def built(folder: Path, abi: object, bytecode: str, name: str = "Vault") -> Toolchain:
    """A build's compiled contracts."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(
        json.dumps(
            {
                "name": name,
                "compiler": "none",
                "abi": abi,
                "bytecode": bytecode,
                "deployedBytecode": bytecode,
                "evmVersion": "cancun",
            }
        )
    )
    return Toolchain(Path("anvil"), folder)


def test_a_contract_stays_while_its_interface_is_the_same(tmp_path: Path) -> None:
    """Other bytes would be another address, with nobody's money."""
    home = Home(tmp_path / "home")
    path = kept_contract(home, built(tmp_path / "built", ABI, "0x01"), "Vault")
    assert kept_contract(home, built(tmp_path / "built", ABI, "0x02"), "Vault") == path
    assert json.loads(path.read_text())["bytecode"] == "0x01"
    assert [one.name for one in path.parent.iterdir()] == ["Vault.json"]


def test_a_contract_that_this_build_does_not_speak_to_gives_way(tmp_path: Path) -> None:
    """It would be read wrongly. Its file stays, so that what it holds can be fetched."""
    home = Home(tmp_path / "home")
    kept_contract(home, built(tmp_path / "built", ABI, "0x01"), "Vault")
    for _ in range(2):
        path = kept_contract(home, built(tmp_path / "built", OTHER, "0x02"), "Vault")
        assert json.loads(path.read_text())["abi"] == OTHER
        old = [one for one in path.parent.iterdir() if one != path]
        assert [json.loads(one.read_text())["bytecode"] for one in old] == ["0x01"]


def test_vaults_of_before_are_named(tmp_path: Path) -> None:
    """By the code that each had, at the addresses that they were deployed to; today's is none of them."""
    home = Home(tmp_path / "home")
    plan = make_plan(20_000)
    keys = load_keys(home, plan)
    token = kept_contract(home, built(tmp_path / "built", ABI, "0x03", "DevToken"), "DevToken")
    places = []
    for abi, code in ((ABI, "0x01"), (OTHER, "0x02")):
        vault = kept_contract(home, built(tmp_path / "built", abi, code), "Vault")
        contracts = Contracts(token, token, vault)
        places.append(money_of(plan, keys, contracts))
        former = former_vaults(home, plan, keys, contracts, places[-1])
        assert former == tuple(place.vault for place in places[:-1])
