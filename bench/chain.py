"""Measure what the chain and artifact identity cost: gas, blob IDs, starting the development chain.

    python bench/chain.py [--large MIB] [--json FILE]

Gas is read from the receipts of real transactions on anvil (cancun rules), each to a contract of its own with
n signers and a quorum of q. Blob IDs are computed from a file in a process of their own, so that the
peak memory is theirs. One thread; the machine's load is printed beside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hallmark.core.beacon import network_id
from hallmark.core.hashing import sha256
from hallmark.core.merkle import node_hash
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.chain.contract import (
    FACTORY,
    SALT,
    Artifact,
    Parameters,
    anchor_address,
    creation_code,
    inclusion_call,
    read_contract,
    submit_call,
)
from hallmark.services.chain.rpc import RPC, quantity
from hallmark.services.chain.toolchain import prepare, repository_root
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil, toolchain, transact

SUBMITTER = Key(b"\x09" * 32)
QUORUMS = ((4, 3), (7, 5), (13, 9), (21, 15))
DEPTHS = (10, 20, 30)
BLOB = """
import resource, sys, time
from pathlib import Path
from hallmark.hub import blob_id_of_file
start = time.perf_counter()
blob_id_of_file(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - start, time.process_time(), peak)
"""


async def send(rpc: RPC, to: bytes, data: bytes) -> int:
    """Gas used by a transaction that must succeed."""
    receipt = await transact(rpc, SUBMITTER, to, data, gas=10_000_000)
    if receipt["status"] != "0x1":
        raise SystemExit("a measured transaction reverted")
    return quantity(receipt["gasUsed"])


async def quorum_gas(rpc: RPC, artifact: Artifact, count: int, quorum: int) -> dict[str, int]:
    """Gas to deploy for `count` signers and to submit the second checkpoint with `quorum` signatures."""
    keys = sorted((Key(sha256(bytes([n]))) for n in range(count)), key=lambda key: key.address)
    origin = f"bench.example/{count}"
    parameters = Parameters(network_id(origin), origin, tuple(key.address for key in keys), quorum)
    deployed = await send(rpc, FACTORY, SALT + creation_code(artifact, parameters))
    address = anchor_address(artifact, parameters)
    used = []
    for size in (1, 2):
        root = sha256(bytes([size]))
        statement = AnchoredCheckpoint(parameters.network, sha256(origin.encode()), size, root)
        signatures = tuple(sign_statement(statement, CHAIN_ID, key) for key in keys[:quorum])
        used.append(await send(rpc, address, submit_call(size, root, signatures)))
    return {"signers": count, "quorum": quorum, "deploy": deployed, "first": used[0], "submit": used[1]}


async def inclusion_gas(rpc: RPC, artifact: Artifact, depth: int) -> dict[str, int]:
    """Gas of a transaction that does nothing but verify one inclusion proof of `depth` hashes."""
    key, origin = Key(b"\x01" * 32), f"bench.example/depth-{depth}"
    parameters = Parameters(network_id(origin), origin, (key.address,), 1)
    await send(rpc, FACTORY, SALT + creation_code(artifact, parameters))
    address = anchor_address(artifact, parameters)
    index, leaf, size = (1 << depth) // 3, sha256(b"leaf"), 1 << depth
    proof, root = tuple(sha256(bytes([n])) for n in range(depth)), leaf
    for level, sibling in enumerate(proof):
        root = node_hash(sibling, root) if index >> level & 1 else node_hash(root, sibling)
    statement = AnchoredCheckpoint(parameters.network, sha256(origin.encode()), size, root)
    signature = sign_statement(statement, CHAIN_ID, key)
    await send(rpc, address, submit_call(size, root, (signature,)))
    return {"depth": depth, "gas": await send(rpc, address, inclusion_call(leaf, index, size, proof))}


async def gas() -> dict[str, list[dict[str, int]]]:
    """The gas table."""
    artifact = read_contract(toolchain().contracts / "Anchor.json")
    with running_anvil() as url:
        rpc = RPC(url)
        await fund(rpc, SUBMITTER)
        quorums = [await quorum_gas(rpc, artifact, count, quorum) for count, quorum in QUORUMS]
        depths = [await inclusion_gas(rpc, artifact, depth) for depth in DEPTHS]
        await rpc.aclose()
    return {"quorums": quorums, "inclusion": depths}


def blob_ids(sizes: list[int]) -> list[dict[str, float]]:
    """Seconds, CPU seconds (start of Python included) and peak memory of a blob ID by length."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        for size in sizes:
            with path.open("wb") as file:
                for _ in range(max(1, size >> 20)):
                    file.write(os.urandom(min(size, 1 << 20)))
            done = subprocess.run([sys.executable, "-c", BLOB, str(path)], capture_output=True, check=True)
            seconds, cpu, peak = map(float, done.stdout.split())
            row = {"bytes": size, "seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}
            rows.append({**row, "peak_mib": round(peak, 1)})
    return rows


async def start_times() -> dict[str, float]:
    """Seconds until anvil answers, and for a tool-chain that is already prepared."""
    start = time.perf_counter()
    prepare(repository_root())
    prepared = time.perf_counter() - start
    start = time.perf_counter()
    with running_anvil() as url:
        rpc = RPC(url)
        await rpc.head()
        answered = time.perf_counter() - start
        await rpc.aclose()
    return {"prepared_toolchain_s": round(prepared, 4), "anvil_answers_s": round(answered, 3)}


def show(found: dict[str, object]) -> None:
    """The tables."""
    measured: dict[str, list[dict[str, int]]] = found["gas"]  # type: ignore[assignment]
    print("signers  quorum      deploy   first checkpoint   next checkpoint")
    for row in measured["quorums"]:
        counts = f"{row['signers']:7d} {row['quorum']:7d} {row['deploy']:11,d}"
        print(f"{counts} {row['first']:18,d} {row['submit']:17,d}")
    print("\ninclusion proof of depth   gas of the whole transaction")
    for row in measured["inclusion"]:
        print(f"{row['depth']:24d} {row['gas']:30,d}")
    print("\nblob ID of bytes    seconds   CPU seconds   peak MiB")
    for blob in found["blob_ids"]:  # type: ignore[attr-defined]
        taken = f"{blob['seconds']:10.2f} {blob['cpu_seconds']:13.2f}"
        print(f"{blob['bytes']:16,d} {taken} {blob['peak_mib']:10.0f}")
    print(f"\n{json.dumps(found['start'])}\nload {found['load']}")


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=64, help="largest blob in MiB")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [1, 445_557, 5 << 20, 15 << 20, options.large << 20]
    found: dict[str, object] = {
        "gas": asyncio.run(gas()),
        "blob_ids": blob_ids(sizes),
        "start": asyncio.run(start_times()),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
    show(found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
