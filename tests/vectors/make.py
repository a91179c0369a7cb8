"""Make the test vectors and the published schemas: python tests/vectors/make.py [--check].

For every signed statement, document and entry kind: one valid encoding and at least three that must be
refused,
each with the reason code. For receipts and entries as a whole: what a full node finds. Everything follows
from
fixed names and counters, so running this again changes nothing; `--check` says whether it would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.vectors.certificates import certificate_vectors, key_vectors
from tests.vectors.payments import payment_vectors
from tests.vectors.sealing import sealing_vectors
from tests.vectors.signatures import signature_vectors

from hallmark.core import documents
from hallmark.core.derivations import Making
from hallmark.core.document import Document, digest_of
from hallmark.core.entries import STATEMENTS, Entry, Kind
from hallmark.core.marks import State
from hallmark.core.money import Offer, Payment
from hallmark.core.outcomes import Basis
from hallmark.core.receipt import Receipt
from hallmark.core.statements import AnchoredCheckpoint, SignIn, Ticket
from hallmark.core.tokens import IssuerKeys
from hallmark.core.typed import TypedStruct
from hallmark.testing.derivations import MADE, derivation
from hallmark.testing.dossiers import Notary, clearing_policy
from hallmark.testing.network import CHAIN_ID, LittleNetwork
from hallmark.testing.outcomes import NAMED, outcome
from hallmark.testing.payments import (
    issuer_epoch,
    keys_of_issuer,
    offer,
    payment,
    price_offer,
    spend_bytes,
)
from hallmark.verification.schema import DOSSIER_FILE, RECEIPT_FILE, dossier_schema, receipt_schema, text

HERE = Path(__file__).parent
SCHEMAS = HERE.parents[1] / "docs" / "schema"
TYPED: tuple[type[TypedStruct], ...] = (*STATEMENTS.values(), Ticket, AnchoredCheckpoint, SignIn)
DOCUMENTS: tuple[type[Document], ...] = (
    *(c for c in vars(documents).values() if isinstance(c, type) and issubclass(c, Document) and c.TAG),
    Offer,
    Payment,
    IssuerKeys,
    Basis,
    Making,
)

KEPT = frozenset(
    (
        documents.KeyBundle,
        documents.Measurement,
        documents.Manifest,
        documents.ClearingPolicy,
        documents.AttestationPolicy,
    )
)
"""Documents that the folded log keeps: their numbers have 63 bits."""


def typed_vectors(net: LittleNetwork) -> dict[str, Any]:
    """Each statement: packed bytes, struct hash, signing digest; and packed bytes that are refused."""
    found = {}
    for cls in TYPED:
        packed = bytes((number * 7 + len(cls.__name__)) % 256 for number in range(cls.packed_size()))
        statement = cls.unpack(packed)
        found[cls.__name__] = {
            "type": cls.type_string(),
            "valid": {
                "packed": packed.hex(),
                "json": statement.to_json(),
                "struct_hash": statement.struct_hash().hex(),
                "chain_id": CHAIN_ID,
                "signing_digest": statement.signing_digest(CHAIN_ID).hex(),
            },
            "invalid": [
                {"why": "empty", "packed": "", "reason": "statement_length"},
                {"why": "one byte short", "packed": packed[:-1].hex(), "reason": "statement_length"},
                {"why": "one byte long", "packed": (packed + b"\0").hex(), "reason": "statement_length"},
            ],
        }
    return found


def document_vectors(net: LittleNetwork) -> dict[str, Any]:
    """Each document: exact bytes and digest; and bytes that are refused."""
    found = {}
    examples = sample_documents(net)
    for cls in DOCUMENTS:
        data = examples[cls].encode()
        first = next(iter(msgspec.json.decode(data)))
        wrong = {
            "white space": b" " + data,
            "an unknown member": data[:-1] + b',"unknown":1}',
            "a missing member": b"{}",
            "a float": data.replace(b"{", b'{"' + first.encode() + b'":1.5,', 1),
            "not JSON": data[:-1],
        }
        if cls in KEPT:
            numbers = {name: n for name, n in msgspec.json.decode(data).items() if type(n) is int}
            for name, number in numbers.items():
                for bad in (-1, 1 << 63):
                    old, new = (f'"{name}":{value}'.encode() for value in (number, bad))
                    wrong[f"{name} is {bad}"] = data.replace(old, new, 1)
        found[cls.__name__] = {
            "tag": cls.TAG,
            "valid": {"bytes": data.decode(), "digest": digest_of(cls, data).hex()},
            "invalid": [
                {"why": why, "bytes": bad.decode(), "reason": "bad_document"} for why, bad in wrong.items()
            ],
        }
    for document in sealed_documents(net):
        data = document.encode()
        found[type(document).__name__]["sealed"] = {"bytes": data.decode(), "digest": document.digest().hex()}
    return found


def sealed_documents(net: LittleNetwork) -> tuple[Document, Document]:
    """The two documents that say more where requests are sealed: a key bundle and a route record."""
    bundle, route = net.nodes[0].bundle, net.answer(net.nodes[0]).route
    assert bundle is not None
    sealing = documents.Sealing("0x" + "11" * 32, net.now, 10_800_000, 240)
    path = documents.SealedPath("0x" + "22" * 32, 3, "a suite", 4096, "https://relay.test")
    return (
        msgspec.structs.replace(bundle, sealing=sealing),
        msgspec.structs.replace(route, path="sealed", saw_prompt=("enclave",), sealed=path),
    )


def sample_documents(net: LittleNetwork) -> dict[type[Document], Document]:
    """A document of each type, from the little network where it has one."""
    node = net.nodes[0]
    assert node.bundle is not None
    assert node.configuration is not None
    answer = net.answer(node)
    assert answer.candidates is not None
    zero32, zero20 = "0x" + "00" * 32, "0x" + "00" * 20
    listed: list[Document] = [
        node.bundle,
        node.configuration,
        net.profile(net.gateway),
        net.measurement,
        net.card,
        net.manifest,
        net.attestation,
        answer.parameters,
        answer.route,
        answer.candidates,
        offer(net),
        payment(answer.receipt, offer(net), spend_bytes(net, bytes(20), 9)),
        keys_of_issuer(net),
        NAMED,
        MADE,
        documents.UpstreamRecord("example", "https://example.test", "big", "big-9", "r1"),
        documents.InputRecord("tool", zero32, "client", 1),
        clearing_policy("witnessed", State.WITNESSED, "hardware"),
        documents.AnchorRecord(CHAIN_ID, zero20, zero32, 7, 11, zero32, 2),
    ]
    return {type(document): document for document in listed}


def entry_vectors(net: LittleNetwork) -> dict[str, Any]:
    """Each kind of entry: bytes; and bytes that are refused before anything is judged."""
    found = {}
    for kind, entry in sample_entries(net).items():
        data = entry.encode()
        wrong = {
            "another entry version": b"\x02" + data[1:],
            "a kind that does not exist": data[:1] + b"\x63" + data[2:],
            "cut off": data[:-1],
            "bytes behind the end": data + b"\0",
        }
        found[kind.name] = {
            "kind": int(kind),
            "valid": {"bytes": data.hex(), "signatures": len(entry.signatures)},
            "invalid": [
                {"why": why, "bytes": bad.hex(), "reason": "bad_entry"} for why, bad in wrong.items()
            ],
        }
    return found


def sample_entries(net: LittleNetwork) -> dict[Kind, Entry]:
    """An entry of each kind."""
    node = net.nodes[0]
    subject = net.add(net.receipt_entry(node))
    made = {
        Kind.REGISTRATION: net.registration(node),
        Kind.RETIREMENT: net.retirement(node),
        Kind.COMPROMISE: net.compromise(node, 1),
        Kind.APPROVAL: net.approval(net.measurement),
        Kind.REVOCATION: net.revocation(net.measurement, 1),
        Kind.PUBLICATION: net.publication(net.card),
        Kind.VERSION: net.version(net.manifest),
        Kind.RECEIPT: net.receipt_entry(node),
        Kind.VERDICT: net.verdict(net.full_nodes[0], 0, "bad_signature"),
        Kind.FAULT: net.fault(net.full_nodes[0], node.address, "equivocation", 0, 1),
        Kind.REVIEW: net.review(net.reviewers[0], subject),
        Kind.POLICY: net.policy_entry("attestation", net.attestation),
        Kind.OFFER: price_offer(net, offer(net)),
        Kind.ISSUER_EPOCH: issuer_epoch(net, keys_of_issuer(net)),
        Kind.OUTCOME: outcome(net, net.reviewers[0].key, subject),
        Kind.DERIVATION: derivation(net, net.reviewers[0].key, bytes(32), b"\x07" * 32),
    }
    assert set(made) == set(Kind)
    return made


def judged_vectors() -> list[dict[str, Any]]:
    """Whole logs whose last entry is a receipt, and what a full node finds about it."""
    lies: dict[str, Callable[[LittleNetwork], Entry]] = {
        "": lambda net: net.receipt_entry(net.nodes[0]),
        "payment_record_absent": lambda net: net.receipt_entry(net.nodes[0], charged=1),
        "chain_broken": lambda net: net.receipt_entry(net.nodes[0], previous=b"\x07" * 32),
        "beacon_in_future": lambda net: net.receipt_entry(net.nodes[0], beacon_size=10_000),
        "foreign_bundle": lambda net: net.receipt_entry(net.nodes[0], bundle=b"\x07" * 32),
        "ticket_expired": lambda net: net.receipt_entry(net.nodes[0], ticket_changes={"expires": 1}),
    }
    found = []
    for reason, lie in lies.items():
        net = LittleNetwork()
        index = net.add(lie(net))
        found.append(
            {
                "reason": reason,
                "index": index,
                "receipt": net.replica().failures(index),
                "leaves": [leaf.hex() for leaf in net.leaves],
                "root": net.tree.root().hex(),
            }
        )
    return found


def network_vector() -> dict[str, Any]:
    """The genesis that the judged logs belong to, and a saved receipt with its trust file."""
    net = LittleNetwork()
    answer = net.answer(net.nodes[0])
    notary = Notary(net)
    index = net.add(answer.entry)
    assert isinstance(answer.receipt, Receipt)
    return {
        "origin": net.genesis.origin,
        "chain_id": net.genesis.chain_id,
        "authority": [address.hex() for address in net.genesis.authority],
        "threshold": net.genesis.threshold,
        "now": net.now,
        "dossier": msgspec.json.decode(notary.dossier(answer, index).encode()),
        "trust": notary.trust().to_toml(),
        "trust_json": msgspec.json.encode(notary.trust()).decode(),
    }


def files() -> Iterator[tuple[Path, bytes]]:
    """Every file that this makes, and its bytes."""
    made: dict[str, object] = {
        "typed.json": typed_vectors(LittleNetwork()),
        "documents.json": document_vectors(LittleNetwork()),
        "entries.json": entry_vectors(LittleNetwork()),
        "judged.json": judged_vectors(),
        "network.json": network_vector(),
        "certificates.json": certificate_vectors(),
        "keys.json": key_vectors(),
        "signatures.json": signature_vectors(),
        "payments.json": payment_vectors(),
        "sealing.json": sealing_vectors(),
    }
    for name, value in made.items():
        yield HERE / name, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
    yield SCHEMAS / RECEIPT_FILE, text(receipt_schema())
    yield SCHEMAS / DOSSIER_FILE, text(dossier_schema())


def main() -> None:
    """Write the files, or with --check exit 1 when one would change."""
    changed = [path for path, data in files() if not path.exists() or path.read_bytes() != data]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"would change: {path.name}" for path in changed) or 0)
    for path, data in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
