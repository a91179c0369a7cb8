"""A saved receipt whose request pinned its model to an artifact: met, not met, not compared."""

from __future__ import annotations

import json

import msgspec
import pytest

from hallmark.core.documents import UpstreamRecord
from hallmark.core.marks import Mark, Question, State
from hallmark.core.model_names import pinned
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier

OTHER = "0x" + "07" * 32
PROVIDER = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")


class Asked:
    """A network, and an answer to a request for `model`."""

    def __init__(self, model: str, upstream: UpstreamRecord | None = None) -> None:
        self.net = LittleNetwork()
        name = model.replace("RIGHT", self.net.manifest.artifact)
        body = json.dumps({"model": name}).encode()
        answer = self.net.answer(self.net.nodes[0], asked=body, upstream_record=upstream)
        self.notary = Notary(self.net)
        self.dossier = self.notary.dossier(answer, self.net.add(answer.entry))

    def model(self, dossier: Dossier | None = None) -> Mark:
        """The mark `model`."""
        trust = self.notary.trust()
        verified = verify_dossier(
            dossier or self.dossier,
            trust,
            self.net.now,
            verify_evidence=verify_stub_evidence,
            verify_proof=proof_verifier(trust),
        )
        return verified.marks[Question.MODEL]


def test_a_pin_that_was_met_is_told() -> None:
    """The mark says that the request asked for this very artifact."""
    mark = Asked("digits@RIGHT").model()
    assert mark.state is State.WITNESSED
    assert mark.shows.count("the request pinned its model to this artifact") == 1
    assert "pinned" not in Asked("digits").model().shows


@pytest.mark.parametrize("upstream", [None, PROVIDER])
@pytest.mark.parametrize("model", [f"digits@{OTHER}", pinned("digits", OTHER)])
def test_another_artifact_than_the_pinned_fails(model: str, upstream: UpstreamRecord | None) -> None:
    """Also when a provider answered: then no artifact did."""
    mark = Asked(model, upstream).model()
    assert (mark.state, mark.reason) == (State.FAILED, "model_pin_mismatch")


def test_what_is_not_compared_pins_nothing() -> None:
    """Without the salt nobody knows whether this was the request; the mark then says nothing of a pin."""
    asked = Asked(f"digits@{OTHER}")
    hidden = msgspec.structs.replace(asked.dossier.salts, request=None)
    mark = asked.model(msgspec.structs.replace(asked.dossier, salts=hidden))
    assert mark.state is State.WITNESSED
    assert "pinned" not in mark.shows


@pytest.mark.parametrize("model", ["digits@20240229", f"@{OTHER}", f"digits@{OTHER[:-1]}"])
def test_what_only_looks_like_a_pin_is_a_name(model: str) -> None:
    """It names no artifact, so none can differ from it."""
    assert Asked(model).model().state is State.WITNESSED
