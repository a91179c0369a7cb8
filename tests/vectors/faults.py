"""Vectors of faults: `python tests/vectors/faults.py` writes faults.json. One valid and at least three that
show no fault for each form, each with what comes of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import KeyBundle
from hallmark.core.errors import HallmarkError
from hallmark.core.receipt import Receipt
from hallmark.core.statements import AnchoredCheckpoint
from hallmark.core.typed import TypedStruct
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.faults.checks import Terms, verify_fault
from hallmark.faults.evidence import Evidence, Form, signed
from hallmark.testing.log_entries import CHAIN_ID, receipt
from hallmark.testing.network import LittleNetwork

HERE = Path(__file__).parent
NODE, OTHER = Key(bytes([1]) * 32), Key(bytes([2]) * 32)
NETWORK = bytes([7]) * 32
TERMS = Terms(NETWORK, CHAIN_ID)
replace = msgspec.structs.replace
Case = tuple[str, Form, bytes, bytes]


def part(statement: TypedStruct, by: Key = NODE, chain_id: int = CHAIN_ID) -> bytes:
    """A signed part."""
    return signed(statement, sign_statement(statement, chain_id, by))


def receipts() -> Iterator[Case]:
    """Form 1: the first one shows a fault, the others do not."""
    first, second = (receipt(NETWORK, NODE.address, 3, bytes(32), salt) for salt in (1, 2))
    rows: tuple[tuple[str, Receipt, Key, int], ...] = (
        ("two receipts for one sequence number", second, NODE, CHAIN_ID),
        ("the same receipt twice", first, NODE, CHAIN_ID),
        ("another sequence number", replace(second, sequence=4), NODE, CHAIN_ID),
        ("another network", replace(second, network=bytes(32)), NODE, CHAIN_ID),
        ("signed by another key", second, OTHER, CHAIN_ID),
        ("another node's receipt", replace(second, node=OTHER.address), OTHER, CHAIN_ID),
        ("signed for another chain", second, NODE, CHAIN_ID + 1),
        ("another version", replace(second, version=2), NODE, CHAIN_ID),
    )
    for name, changed, by, chain_id in rows:
        yield name, Form.TWO_RECEIPTS, part(first), part(changed, by, chain_id)


def checkpoints() -> Iterator[Case]:
    """Form 2: the first one shows a fault, the others do not."""
    first = AnchoredCheckpoint(NETWORK, bytes([8]) * 32, 100, bytes([9]) * 32)
    second = replace(first, root=bytes([10]) * 32)
    rows = (
        ("two roots of one size", second, NODE),
        ("the same checkpoint twice", first, NODE),
        ("another size", replace(second, size=101), NODE),
        ("another log", replace(second, origin=bytes(32)), NODE),
        ("another network", replace(second, network=bytes(32)), NODE),
        ("signed by another key", second, OTHER),
    )
    for name, changed, by in rows:
        yield name, Form.TWO_CHECKPOINTS, part(first), part(changed, by)


def bundles() -> Iterator[Case]:
    """Form 3: the first two show a fault, the others do not."""
    net = LittleNetwork()
    made = net.bundle(net.nodes[0])
    foreign = replace(made, network=hex0x(NETWORK), signing_key=hex0x(OTHER.address)).encode()
    own = replace(made, network=hex0x(NETWORK), signing_key=hex0x(NODE.address)).encode()

    def under(document: bytes, **changes: Any) -> Receipt:
        bundle = digest_of(KeyBundle, document)
        made: Receipt = replace(receipt(NETWORK, NODE.address, 0, bytes(32)), bundle=bundle, **changes)
        return made

    form = Form.RECEIPT_AND_BUNDLE
    yield "another key's bundle", form, part(under(foreign)), foreign
    elsewhere = replace(made, network=hex0x(bytes(32)), signing_key=hex0x(NODE.address)).encode()
    yield "its own bundle of another network", form, part(under(elsewhere)), elsewhere
    yield "its own bundle", form, part(under(own)), own
    yield "a bundle that the receipt does not name", form, part(under(own)), foreign
    yield "signed by another key", form, part(under(foreign), OTHER), foreign
    yield "another network", form, part(under(foreign, network=bytes(32))), foreign
    yield "no bundle", form, part(under(b"{}")), b"{}"


def case(name: str, data: bytes) -> dict[str, str]:
    """One vector: the evidence, and the fault's id and culprit or the reason why it shows none."""
    said = {"name": name, "evidence": hex0x(data)}
    try:
        found = verify_fault(data, TERMS)
    except HallmarkError as error:
        return {**said, "reason": error.reason}
    return {**said, "fault": f"F{found.number.value}", "culprit": hex0x(found.culprit), "id": hex0x(found.id)}


def text() -> str:
    """The file."""
    cases: dict[str, list[dict[str, str]]] = {}
    for make in (receipts, checkpoints, bundles):
        for name, form, first, second in make():
            cases.setdefault(form.name.lower(), []).append(case(name, Evidence(form, first, second).encode()))
    terms = {"network": hex0x(NETWORK), "chain_id": CHAIN_ID}
    return json.dumps({"terms": terms, "forms": cases}, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "faults.json").write_text(text())
