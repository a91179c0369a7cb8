"""Measure what the vault costs on the chain: gas of every action, leases and settlements by accounts.

    python bench/vault_gas.py [--accounts 1,10,100] [--json FILE]

Gas is read from the receipts of real transactions on anvil (cancun rules), whole transactions with their base
cost and call data. Each row of the first table is a vault of its own, whose accounts one enclave serves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from hallmark.core.vault import Row
from hallmark.services.chain.contract import FACTORY, SALT, read_contract
from hallmark.services.chain.rpc import RPC, quantity
from hallmark.services.chain.token import dev_token_code
from hallmark.services.chain.vault import (
    EVERYTHING,
    collect_call,
    finalize_call,
    release_call,
    vault_code,
    withdrawal_call,
)
from hallmark.testing.anvil import fund, running_anvil, toolchain, transact
from hallmark.testing.vaults import GAS, SHORT, SUBMITTER, fresh_vault, named_key, new_payers

TARGET = 10_000
MONEY = 10**9
ENCLAVE, PAYEE = named_key("enclave"), named_key("payee").address
HEADS = ("lease_first", "settle_first", "settle", "lease_raise", "lease_renew", "settle_and_close")


async def by_accounts(url: str, count: int) -> dict[str, int]:
    """Gas of whole transactions over `count` accounts, and the bytes of a settlement's call data."""
    async with fresh_vault(url) as chain:
        await chain.register(ENCLAVE, PAYEE)
        payers = await new_payers(chain, PAYEE, MONEY, count)
        until = await chain.now() + SHORT.lease - 10

        def rows(amount: int) -> list[Row]:
            return [Row(payer.address, amount + 7919 * number) for number, payer in enumerate(payers)]

        found = {"accounts": count, "lease_first": await chain.send(chain.lease(ENCLAVE, until, rows(10**7)))}
        found["settle_first"] = await chain.send(chain.settle(ENCLAVE, rows(1_234_567)))
        second = chain.settle(ENCLAVE, rows(2_345_678))
        found["settle"] = await chain.send(second)
        found["lease_raise"] = await chain.send(chain.lease(ENCLAVE, until + 1, rows(2 * 10**7)))
        found["lease_renew"] = await chain.send(chain.lease(ENCLAVE, until + 2, rows(2 * 10**7)))
        found["settle_and_close"] = await chain.send(chain.settle(ENCLAVE, rows(3_456_789), closing=True))
        return {**found, "settle_bytes": len(second)}


async def actions(url: str) -> dict[str, int]:
    """Gas of everything else, one payer at a time."""
    async with fresh_vault(url) as chain:
        alice, bob = named_key("alice"), named_key("bob")
        await chain.pour(alice.address, 2 * MONEY)
        await chain.pour(bob.address, 2 * MONEY)
        found = {
            "first deposit, approved before": await chain.approved_deposit(alice, MONEY),
            "further deposit, approved before": await chain.approved_deposit(alice, MONEY),
            "first deposit by authorization": await chain.send(await chain.authorized_deposit(bob, MONEY)),
            "further deposit by authorization": await chain.send(await chain.authorized_deposit(bob, MONEY)),
            "first ceiling for a payee": await chain.send(chain.ceiling(alice, PAYEE, MONEY)),
            "further ceiling": await chain.send(chain.ceiling(alice, PAYEE, 2 * MONEY, nonce=2)),
            "registration of an enclave, 2 of 3": await chain.register(ENCLAVE, PAYEE),
        }
        await chain.send(
            chain.lease(ENCLAVE, await chain.now() + SHORT.lease - 10, [Row(alice.address, MONEY)])
        )
        await chain.send(chain.settle(ENCLAVE, [Row(alice.address, MONEY // 2)]))
        await fund(chain.rpc, alice)
        found["request of a withdrawal"] = await chain.send(withdrawal_call(EVERYTHING), key=alice)
        await chain.pass_time(SHORT.withdrawal + 1)
        found["release of an ended lease"] = await chain.send(release_call(ENCLAVE.address, alice.address))
        found["finalisation of a withdrawal"] = await chain.send(finalize_call(alice.address))
        found["collection by a payee, first"] = await chain.send(collect_call(PAYEE))
        found["revocation of an enclave, 2 of 3"] = await chain.revoke(ENCLAVE)
    return found


async def deployments(url: str) -> dict[str, int]:
    """Gas of putting token and vault on a chain that has neither."""
    async with fresh_vault(url) as chain:
        parameters = chain.parameters
    folder, rpc, found = toolchain().contracts, RPC(url), {}
    await fund(rpc, SUBMITTER)
    for name, code in (
        ("deployment of the token", dev_token_code(read_contract(folder / "DevToken.json"))),
        ("deployment, authority of 3", vault_code(read_contract(folder / "Vault.json"), parameters)),
    ):
        receipt = await transact(rpc, SUBMITTER, FACTORY, SALT + code, gas=GAS)
        if receipt["status"] != "0x1":
            raise SystemExit("a deployment reverted")
        found[name] = quantity(receipt["gasUsed"])
    await rpc.aclose()
    return found


def show(found: dict[str, Any]) -> None:
    """The tables."""
    print("accounts  " + "  ".join(f"{head.replace('_', ' '):>16}" for head in HEADS) + "   bytes")
    for row in found["accounts"]:
        count = row["accounts"]
        shares = "  ".join(f"{row[head] / count:16,.0f}" for head in HEADS)
        print(f"{count:8d}  {shares} {row['settle_bytes'] / count:7,.1f}")
    print("gas and bytes of call data for each account, whole transactions\n")
    for name, gas in found["actions"].items():
        print(f"{name:36} {gas:12,d}")
    last = found["accounts"][-1]
    share = last["settle"] / last["accounts"]
    print(f"\ngas per 1,000 requests, settled once for {last['accounts']} accounts: {share:,.0f}")
    verdict = "met" if share <= TARGET else "missed"
    print(f"target for a settlement: {TARGET:,} an account at {last['accounts']}: {verdict}")


async def measure(counts: list[int]) -> dict[str, Any]:
    """Everything, on one chain."""
    with running_anvil() as url:
        made = await deployments(url)
        rows = [await by_accounts(url, count) for count in counts]
        return {"accounts": rows, "actions": {**await actions(url), **made}}


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--accounts", default="1,10,100")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(measure([int(count) for count in options.accounts.split(",")]))
    show(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
