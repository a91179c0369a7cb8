"""Saved receipts of requests that came sealed, whole and broken, for both verifiers to judge."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.integration.browser_code.verifier_batch import Batch
from tests.integration.browser_code.verifier_cases import PLACED, Case, add, replace

from hallmark.attestation import verify as verify_evidence
from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.crypto.secp256k1 import sign_statement
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.network import SEALING, sealed_path

OBJECTED = "by a second bundle of an epoch, objected"
"""A receipt of keys that its host registered beside others for one epoch."""


def sealed(batch: Batch) -> None:
    """Requests that came sealed, with and without ticket, and records that say what cannot be."""
    net = DevelopmentNetwork(sealing=SEALING)
    upstream = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")
    shapes: dict[str, dict[str, Any]] = {
        "with a ticket": {},
        "without": {"direct": True},
        "to an upstream": {"upstream_record": upstream},
        "no relay": {"sealed": sealed_path(relay="")},
        "x25519": {"sealed": sealed_path(suite="x25519/hkdf-sha256/chacha20-poly1305", size=1 << 40)},
        "suite": {"sealed": sealed_path(suite="rot13")},
        "size": {"sealed": sealed_path(size=0)},
        "relay with space": {"sealed": sealed_path(relay="a relay")},
        "relay with newline": {"sealed": sealed_path(relay="relay\n")},
        "relay with accent": {"sealed": sealed_path(relay="relais-\u00e9")},
        "longest relay": {"sealed": sealed_path(relay="r" * 200)},
        "longer relay": {"sealed": sealed_path(relay="r" * 201)},
        "last window": {"sealed": sealed_path(window=239)},
        "no window": {"sealed": sealed_path(window=2**63 - 1)},
        "long after": {"started": 2**63 - 1},
    }
    begin, end = SEALING.since - 120_000, SEALING.since + SEALING.every + 120_000
    shapes |= {f"started {at - net.now}": {"started": at} for at in (begin - 1, begin, end - 1, end)}
    for name, shape in shapes.items():
        case = Case(net, **{"sealed": sealed_path(), **shape})
        dossier = case.dossier()
        documents = dossier.documents
        add(batch, f"sealed {name}", case, dossier)
        add(batch, f"sealed {name}, early", case, replace(dossier, **dict.fromkeys(PLACED)))
        absent: tuple[dict[str, Any], ...] = (
            {"bundle": ""},
            {"candidates": None},
            {"bundle": "", "candidates": None},
        )
        for lacking in absent:
            add(
                batch,
                f"sealed {name} without {[*lacking]}",
                case,
                replace(dossier, documents=replace(documents, **lacking)),
            )
        record = case.answer.route
        for what, changes in {
            "plain": {"path": "plain"},
            "unsaid": {"sealed": msgspec.UNSET},
            "seen by gateway": {"saw_prompt": ("gateway", "enclave")},
            "seen by upstream": {"saw_prompt": ("enclave", "upstream")},
            "seen by enclave": {"saw_prompt": ("enclave",)},
        }.items():
            other = replace(record, **changes)
            receipt = replace(case.answer.receipt, route=other.digest())
            changed = replace(
                dossier,
                receipt=receipt.to_json(),
                id=hex0x(receipt.digest()),
                signature=hex0x(sign_statement(receipt, net.genesis.chain_id, net.nodes[0].key)),
                documents=replace(documents, route=other.encode().decode()),
                **dict.fromkeys(PLACED),
            )
            add(batch, f"sealed {name} {what}", case, changed)
    _second_bundle(batch)
    keyless = Case(DevelopmentNetwork(), sealed=sealed_path())
    add(batch, "sealed to no keys", keyless, keyless.dossier())


def _second_bundle(batch: Batch) -> None:
    """A host that registers two bundles for one epoch, and an answer by the second."""
    net = DevelopmentNetwork(sealing=SEALING)
    index = net.restart(net.nodes[0], epoch=1)
    for author in net.full_nodes:
        net.add(net.verdict(author, index, "epoch_taken"))
    case = Case(net, sealed=sealed_path())
    assert net.replica(verify_evidence).failures(case.index) == ("node_not_registered",)
    add(batch, "by a second bundle, not logged", case, replace(case.dossier(), **dict.fromkeys(PLACED)))
    for author in net.full_nodes:
        net.add(net.verdict(author, case.index, "node_not_registered"))
    add(batch, OBJECTED, case, case.followed())
    add(batch, "by a second bundle, not followed", case, case.dossier())
