"""What must hold of a network's history after its processes were killed: read again, computed again."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import httpx
import msgspec

from hallmark.core.entries import Kind, decode, entry_id, leaf, split_leaf
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.merkle import CompactRange, leaf_hash
from hallmark.core.receipt import Receipt
from hallmark.ledger.tiles import decode_bundle
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sdk.sealed_way import SealedWay
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier

PAUSE_S = 0.1
CHUNK = 2_000


class Audit(msgspec.Struct, frozen=True):
    """What was counted, and every promise that was not kept."""

    leaves: int
    receipts: int
    roots: int
    objections: int
    problems: tuple[str, ...]


async def witnessed(
    client: httpx.AsyncClient, log: str, dossier: Dossier, verifier: Verifier, way: SealedWay | None = None
) -> float:
    """Seconds until the log proves the receipt under a quorum's checkpoint, checked here. Never gives up.

    `way` is that of who asked sealed: no gateway saw the answer, so its owner hands the entry in, once.
    """
    began = time.monotonic()
    entry = AsyncReceipt(dossier, None, _nobody, _nobody).entry()
    while True:
        if way is not None:
            with contextlib.suppress(HallmarkError):
                status, _ = await way.submit(entry)
                way = None if status == 202 else way
        try:
            found = await client.get(f"{log}/find/{entry_id(entry).hex()}")
            if found.status_code == 200:
                place = found.json()
                proof = await client.get(f"{log}/proof/{place['index']}?wait=2000")
                if proof.status_code == 200:
                    verifier.place(leaf(place["admitted"], entry), proof.text)
                    return time.monotonic() - began
        except httpx.HTTPError:
            pass
        await asyncio.sleep(PAUSE_S)


async def read_leaves(client: httpx.AsyncClient, url: str) -> list[bytes]:
    """Every leaf that a log or a full node has."""
    leaves: list[bytes] = []
    while True:
        answer = await client.get(f"{url}/leaves?start={len(leaves)}&end={len(leaves) + CHUNK}")
        if answer.status_code != 200:
            return leaves
        more = decode_bundle(answer.content)
        leaves += more
        if not more:
            return leaves


async def audit(client: httpx.AsyncClient, log: str, stores: Iterable[Path], mirrors: Iterable[str]) -> Audit:
    """Read the whole log and compute it again.

    1. Every leaf decodes; times never decrease; no entry stands twice; the indices are dense.
    2. Each key's receipts are numbered from 0 without a gap, each naming the one before.
    3. Every root that any full node ever cosigned (`stores`, their databases) is the root of these leaves.
    4. Every full node (`mirrors`) serves the very same leaves.
    """
    leaves = await read_leaves(client, log)
    roots, problems, objections = [CompactRange().root()], list[str](), 0
    tree, ids, chains, last = CompactRange(), set[bytes](), dict[bytes, list[Receipt]](), 0
    for index, data in enumerate(leaves):
        tree.append(leaf_hash(data))
        roots.append(tree.root())
        try:
            admitted, raw = split_leaf(data)
            entry = decode(raw)
        except HallmarkError as error:
            problems.append(f"leaf {index} does not decode: {error.reason}")
            continue
        problems += [f"leaf {index} goes back in time"] if admitted < last else []
        problems += [f"leaf {index} stands twice"] if entry_id(raw) in ids else []
        ids.add(entry_id(raw))
        last = max(last, admitted)
        objections += entry.kind in (Kind.VERDICT, Kind.FAULT)
        if isinstance(entry.statement, Receipt):
            chains.setdefault(entry.statement.node, []).append(entry.statement)
    problems += [problem for chain in chains.values() for problem in _chain_problems(chain)]
    compared = 0
    for store in stores:
        rows = _cosigned(store)
        compared += len(rows)
        problems += [
            f"{store.parent.name} cosigned another root of size {size}"
            for size, root in rows
            if size < len(roots) and roots[size] != root
        ]
        problems += [f"{store.parent.name} cosigned {s} of {len(leaves)}" for s, _ in rows if s >= len(roots)]
    for mirror in mirrors:
        copy = await read_leaves(client, mirror)
        if copy[: len(leaves)] != leaves:
            problems.append(f"{mirror} serves other leaves, {len(copy)} for {len(leaves)}")
        compared += 1
    receipts = sum(len(chain) for chain in chains.values())
    return Audit(len(leaves), receipts, compared, objections, tuple(problems))


def _chain_problems(chain: list[Receipt]) -> list[str]:
    previous, problems = ZERO32, []
    for number, receipt in enumerate(chain):
        if receipt.sequence != number or receipt.previous != previous:
            problems.append(f"key {receipt.node.hex()} breaks at receipt {number}")
        previous = receipt.digest()
    return problems


def _cosigned(store: Path) -> list[tuple[int, bytes]]:
    with sqlite3.connect(f"{store.absolute().as_uri()}?mode=ro", uri=True, timeout=10) as connection:
        query = "SELECT size, root FROM fullnode_cosigned ORDER BY size"
        rows = [(int(size), bytes(root)) for size, root in connection.execute(query)]
    connection.close()
    return rows


async def _nobody(*_: object) -> NoReturn:
    raise AssertionError("an entry is built without asking anybody")
