"""Fuzz every decoder and judge that a stranger's bytes reach, and hold the two verifiers against each other.

    python bench/fuzz.py [--cases 20000] [--pairs 2000] [--seed 1] [--json FILE]

`--cases` is per target (hallmark.testing.fuzzing; slow ones get fewer), `--pairs` how many made certificates,
Nitro documents and saved receipts are judged by Python and by the browser's verifier in node. Recorded
documents in the folder that HALLMARK_VECTORS names are taken as further examples. Exits 1 if anything but a
value or one of our own errors came out, or if the verifiers differ.
"""

from __future__ import annotations

import argparse
import base64
import collections
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cbor2
import msgspec
from tests.integration.browser_code.verifier_batch import Batch
from tests.integration.browser_code.verifier_evidence import _judge
from tests.unit.attestation.conftest import CHAIN, Forged, Made, Spec, forge, make_certificate
from tests.vectors.certificates import cases

from hallmark.attestation.emulator.module import encode_payload, sign
from hallmark.testing.dossiers import Notary
from hallmark.testing.fuzzing import Target, mutated, targets
from hallmark.testing.network import LittleNetwork

SLOW = {
    "saved receipt": 20, "feed": 4, "policy": 4, "trust file": 10, "sealed request": 10, "sealed response": 4,
    "Binary HTTP response": 4, "padded frames": 4,
}  # fmt: skip
OIDS = (
    "2.5.29.17", "2.5.29.18", "2.5.29.14", "2.5.29.35", "2.5.29.31", "2.5.29.32", "2.5.29.30", "2.5.29.37",
    "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.24", "1.3.6.1.4.1.11129.2.4.2", "1.2.3.4",
)  # fmt: skip
VALUES = (
    "3002a500",
    "3003020163",
    "30028200",
    "0403020101",
    "3000",
    "0500",
    "",
    "30",
    "3080",
    "a000",
    "0101ff",
)
HEAD = bytes.fromhex("8444a1013822")


def recorded() -> list[bytes]:
    """Recorded Nitro documents, where there are any."""
    folder = os.environ.get("HALLMARK_VECTORS", "")
    found = []
    for path in sorted(Path(folder, "nitro").glob("*.bin")) if folder else ():
        raw = path.read_bytes()
        raw = raw if HEAD in raw else base64.b64decode(raw)
        found.append(raw[raw.find(HEAD) :])
    return found


def fuzz(target: Target, count: int, chance: random.Random) -> dict[str, Any]:
    """Try one target `count` times; how the cases ended, and what was a finding."""
    ends: collections.Counter[str] = collections.Counter()
    crashes: collections.Counter[str] = collections.Counter()
    begun = time.perf_counter()
    for _ in range(count):
        data = mutated(chance.choice(target.seeds), chance, target.seeds)
        try:
            ends[target.try_(data)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            crashes[f"{type(error).__name__}: {error}"[:120]] += 1
    seconds = time.perf_counter() - begun
    return {
        "target": target.name,
        "cases": count,
        "values": ends["value"],
        "reasons": len(ends),
        "crashes": dict(crashes),
        "seconds": round(seconds, 1),
    }


def documents(batch: Batch, count: int, chance: random.Random) -> None:
    """Documents whose chain holds but for one changed certificate, signed anew, or one changed payload."""
    made = forge()
    values = [bytes.fromhex(value) for value in VALUES]
    for number in range(count):
        depth = chance.choice((1, 2, 3, 4, 4))
        below = _reissued(made, depth, chance, values)
        kind = number % 4
        if kind < 2:
            document = below.document()
        elif kind == 2:
            payload = mutated(encode_payload(made.fields()), chance, [made.chain[-1].der])
            document = sign(payload, made.chain[-1].key)
        else:
            document = _changed_certificate(made, depth, chance)
        _judge(batch, f"document {number}", document, made.policy)


def _reissued(made: Forged, depth: int, chance: random.Random, values: list[bytes]) -> Forged:
    """The chain with extensions that nobody needs at one depth, well formed or not, below it made anew."""
    chain: list[Made] = list(made.chain[:depth])
    for spec in CHAIN[depth:]:
        extra: tuple[tuple[str, bytes], ...] = ()
        if len(chain) == depth:
            chosen = chance.sample(OIDS, chance.choice((1, 2)))
            extra = tuple((oid, mutated(chance.choice(values), chance, values)[:100]) for oid in chosen)
        chain.append(make_certificate(_with(spec, extra), chain[-1]))
    return Forged(tuple(chain))


def _with(spec: Spec, extra: tuple[tuple[str, bytes], ...]) -> Spec:
    return replace(spec, extra=extra)


def _changed_certificate(made: Forged, depth: int, chance: random.Random) -> bytes:
    """A document that holds a certificate with changed bytes, signed by the leaf all the same."""
    ders = [each.der for each in made.chain]
    others = ders + [data for _, data in cases()]
    ders[depth] = mutated(ders[depth], chance, others)[:1024] or b"0"
    return made.document(certificate=ders[-1], cabundle=ders[:-1])


def receipts(batch: Batch, count: int, chance: random.Random) -> None:
    """A saved receipt with changed bytes, or with a changed text in a member."""
    net = LittleNetwork()
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    notary = Notary(net)
    data, trust = notary.dossier(answer, index).encode(), notary.trust()
    for number in range(count):
        value = msgspec.json.decode(data)
        changed = mutated(data, chance, [data])
        if number % 2:
            changed = json.dumps(_member(value, chance)).encode()
        batch.dossier(f"receipt {number}", changed, trust, net.now)


def _member(value: Any, chance: random.Random) -> Any:
    """One text or number in it changed."""
    at, path = value, []
    while isinstance(at, dict | list) and at:
        key = chance.choice(list(at)) if isinstance(at, dict) else chance.randrange(len(at))
        path.append(key)
        at = at[key]
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if isinstance(at, str) and at:
        text = mutated(at.encode(), chance, [at.encode()]).decode("utf-8", "ignore")
        holder[path[-1]] = text
    elif path:
        holder[path[-1]] = chance.choice((0, 1, -1, None, "", 2**53, 2**63, [], {}, True))
    return value


def differences(batch: Batch) -> list[dict[str, str]]:
    """What the browser's verifier says otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        browser = batch.browser(Path(folder))
    kinds = {"dossiers": browser["marks"], "evidence": browser["evidence"]}
    return [
        {"case": name, "python": mine[:200], "browser": theirs[:200]}
        for kind, said in kinds.items()
        for name, mine, theirs in zip(batch.names[kind], batch.python[kind], said, strict=True)
        if mine != theirs
    ]


def compared(pairs: int, chance: random.Random) -> dict[str, Any]:
    """Both verifiers on the same cases, in batches; a bug of the Python one shows as an exception here."""
    found: list[dict[str, str]] = []
    left, ends = pairs, collections.Counter[str]()
    while left > 0:
        batch, size = Batch(), min(left, 400)
        documents(batch, size, chance)
        receipts(batch, size, chance)
        found += differences(batch)
        said = batch.python["evidence"]
        ends.update(
            text.removeprefix("refused ") if text.startswith("refused ") else "judged" for text in said
        )
        left -= size
    return {"documents": pairs, "receipts": pairs, "ends": dict(ends.most_common()), "differences": found}


def main() -> int:
    """Run, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.nice(10)
    made, real = forge(), recorded()
    payloads = [cbor2.loads(cbor2.loads(each)[2]) for each in real]
    chains = [each.der for each in made.chain] + [data for _, data in cases()]
    chains += [der for payload in payloads for der in (*payload["cabundle"], payload["certificate"])]
    rows = []
    for target in targets(chains, [made.document(), encode_payload(made.fields()), *real]):
        count = max(asked.cases // SLOW.get(target.name, 1), 1)
        rows.append(fuzz(target, count, random.Random(f"{asked.seed} {target.name}")))
        row = rows[-1]
        told = f"{row['values']:>8} {row['reasons']:>3} {sum(row['crashes'].values()):>7} {row['seconds']:>7}"
        print(f"{row['target']:<32} {row['cases']:>8} {told}", flush=True)
    both = compared(asked.pairs, random.Random(asked.seed)) if asked.pairs else {"differences": []}
    total, crashes = sum(row["cases"] for row in rows), sum(len(row["crashes"]) for row in rows)
    print(f"{total} cases, {crashes} kinds of crashes; pairs: {json.dumps(both, indent=1)[:3000]}")
    if asked.json:
        asked.json.write_text(json.dumps({"targets": rows, "pairs": both}, indent=1))
    return 1 if crashes or both["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
