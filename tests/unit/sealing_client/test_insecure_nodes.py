"""A node that says that it runs without a check: refused unless that is allowed by name, and named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hallmark import AsyncClient
from hallmark.core.document import unhex
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import Question, State
from hallmark.ledger.policy import Policy
from hallmark.ledger.proof import ProofVerifier
from hallmark.services.relay.info import TO_NODE
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sealing.known_bundles import KnownBundles
from hallmark.services.sealing.node_check import NodeChecker
from hallmark.services.sealing.refusals import CLEAR, NothingSent
from hallmark.services.sealing.ticket_check import Choice
from hallmark.testing.sealed_network import SealedNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.trust import Trust

OFF = ("no-landlock", "no-seccomp")
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sealing.json").read_text(encoding="utf-8"))


@pytest.fixture
async def insecure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SealedNetwork]:
    """A network whose nodes run without some of what keeps others out, as their configurations say."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    network = SealedNetwork()
    network.net.insecure = OFF
    async with network:
        yield network


def client_of(network: SealedNetwork, *, unsafe: bool) -> AsyncClient:
    """A client on the sealed way."""
    verifier = Verifier(network.trust, verify_stub_evidence)
    return AsyncClient(
        privacy="sealed", relay=network.relay_url, verifier=verifier, unsafe_insecure_nodes=unsafe
    )


async def test_nothing_is_sealed_to_it(insecure: SealedNetwork) -> None:
    """The refusal names what is off, and how to allow it."""
    async with client_of(insecure, unsafe=False) as client:
        with pytest.raises(NothingSent) as refused:
            await client.ask("Which?", model="digits")
    assert refused.value.reason == "node_insecure"
    assert ", ".join(OFF) in refused.value.message
    assert "--insecure-nodes" in refused.value.hint
    assert CLEAR in refused.value.hint
    assert not [path for path, _, _ in insecure.honest.seen if path.startswith(TO_NODE + "0x")]


async def test_who_allows_it_sees_it_on_the_receipt(insecure: SealedNetwork) -> None:
    """The mark `ran` names what is off, and rises no higher than the node's word."""
    async with client_of(insecure, unsafe=True) as client:
        draft = await client.ask("Which?", model="digits")
    assert draft.receipt.sealed is not None
    assert draft.receipt.sealed.node.insecure == OFF
    ran = draft.receipt.marks()[Question.RAN]
    assert ran.state is State.CLAIMED
    assert ", ".join(OFF) in f"{ran.shows} {ran.does_not_show}"


def test_a_plain_client_takes_no_such_word() -> None:
    """It chooses no node, so it could not keep it."""
    with pytest.raises(InvalidInput, match="insecure_for_plain"):
        AsyncClient("http://127.0.0.1:1", unsafe_insecure_nodes=True)


@pytest.mark.parametrize("case", VECTORS["nodes"], ids=lambda case: case["why"])
def test_the_shared_vectors(case: dict[str, Any]) -> None:
    """What the browser's client is held to as well (web/test/privacy-vectors.test.ts)."""
    trust = msgspec.json.decode(case["trust_json"], type=Trust)
    choice = Choice(*(unhex(case["candidate"][name]) for name in ("node", "bundle")))

    def check(*, unsafe: bool) -> None:
        proofs = ProofVerifier(Policy.parse(trust.tlog_policy))
        checker = NodeChecker(trust, proofs, verify_stub_evidence, KnownBundles(), unsafe_insecure=unsafe)
        checker.check(case["shown"].encode(), choice, case["now"])

    if not case["reason"]:
        check(unsafe=False)
        return
    with pytest.raises(NothingSent) as refused:
        check(unsafe=False)
    assert refused.value.reason == case["reason"]
    if case["reason"] == "node_insecure":
        assert ", ".join(case["insecure"]) in refused.value.message
        check(unsafe=True)
