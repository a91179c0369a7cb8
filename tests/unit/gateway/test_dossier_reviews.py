"""Reviews travel with the dossier: each with its own proof, so that a stranger verifies them offline."""

from __future__ import annotations

import json
from typing import Any

from hallmark.core.marks import Question, State
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.local_network import LocalNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier


async def test_the_dossier_carries_every_review_with_its_proof(ask: Any, local: LocalNetwork) -> None:
    """A review that a quorum covers is in the dossier, and makes the mark reviewed witnessed offline."""
    net = local.net
    net.register(net.reviewers[0])
    _, headers, _ = await ask.chat()
    path = f"/v1/hallmark/receipts/{headers['hallmark-receipt']}"
    _, before = await ask.get(f"{path}?wait=witnessed")
    assert before["reviews"] == []
    net.add(net.review(net.reviewers[0], before["entry"]["index"]))
    local.log.witness()
    assert await local.gateway.follower.reached(net.tree.size, 5)
    _, found = await ask.get(path)
    assert [part["index"] for part in found["reviews"]] == [net.tree.size - 1]
    assert found["marks"]["reviewed"]["state"] == "witnessed"
    assert (await ask.get(path))[1]["marks"] == found["marks"]
    file = json.dumps({name: found[name] for name in Dossier.__struct_fields__}).encode()
    verified = verify_dossier(
        Dossier.parse(file),
        local.trust,
        net.now,
        verify_evidence=verify_stub_evidence,
        verify_proof=proof_verifier(local.trust),
    )
    assert verified.marks[Question.REVIEWED].state is State.WITNESSED


async def test_a_log_that_serves_another_leaf_gives_no_review(ask: Any, local: LocalNetwork) -> None:
    """A leaf from the log that does not hash to what was folded is left out of the dossier."""
    net = local.net
    net.register(net.reviewers[0])
    _, headers, _ = await ask.chat()
    path = f"/v1/hallmark/receipts/{headers['hallmark-receipt']}"
    _, before = await ask.get(f"{path}?wait=witnessed")
    net.add(net.review(net.reviewers[0], before["entry"]["index"]))
    local.log.witness()
    assert await local.gateway.follower.reached(net.tree.size, 5)
    net.leaves[-1] = net.leaves[-2]
    local.gateway.proofs._recent.clear()
    _, found = await ask.get(path)
    assert found["reviews"] == []
