"""What a saved receipt of the mode replay may be read as: never more than its documents show."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.hashing import sha256
from hallmark.core.marks import Mark, Question, State
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification import wording
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier

TRACED = {"trace_root": hex0x(sha256(b"trace")), "trace_leaves": 7}
NOBODY = "nobody did so here"


class Saved:
    """A receipt, by default of the mode replay, of a node so confined, and the file that was saved of it."""

    def __init__(
        self,
        mode: Mode = Mode.REPLAY,
        *,
        confined: Mode = Mode.TEE,
        form: str = "integer-exact",
        traced: bool = True,
    ) -> None:
        self.net = LittleNetwork(found=False)
        self.net.manifest = msgspec.structs.replace(self.net.manifest, format=form)
        self.net.found()
        node = self.net.nodes[0]
        if confined != Mode.TEE:
            node = Party("another", Role.NODE)
            node.bundle = self.net.bundle(node, confined)
            self.net.register(node)
        answer = self.net.answer(node, mode=mode, applied=TRACED if traced else {})
        index = self.net.add(answer.entry)
        self.notary = Notary(self.net)
        self.dossier: Dossier = self.notary.dossier(answer, index)

    def mark(self, question: Question = Question.RAN, **documents: str | None) -> Mark:
        """One mark of the file; `documents` stand in it otherwise than they were saved."""
        shown = msgspec.structs.replace(self.dossier.documents, **documents)
        trust = self.notary.trust()
        return verify_dossier(
            msgspec.structs.replace(self.dossier, documents=shown),
            trust,
            self.net.now,
            verify_evidence=verify_stub_evidence,
            verify_proof=proof_verifier(trust),
        ).marks[question]


def test_a_replay_receipt_says_what_can_be_done_and_that_nobody_did() -> None:
    """What confines its node stands before it, and the mark proved names the command."""
    ran = Saved().mark()
    assert ran.state is State.WITNESSED
    assert "enclave" in ran.shows
    assert NOBODY in ran.shows
    assert wording.MODE_NOT_COMPARED not in ran.shows
    assert "can, by hallmark replay" in Saved().mark(Question.PROVED).shows


def test_a_replay_receipt_of_a_node_without_an_enclave_names_none() -> None:
    """Its bundle says vanilla, and so does the sentence."""
    shows = Saved(confined=Mode.VANILLA).mark().shows
    assert "without an enclave" in shows
    assert NOBODY in shows


@pytest.mark.parametrize("left", ["manifest", "parameters"])
def test_what_is_not_shown_was_not_compared(left: str) -> None:
    """Without manifest or parameters the mark says that the mode was not compared in full."""
    assert wording.MODE_NOT_COMPARED in Saved().mark(**{left: None}).shows


def test_without_its_bundle_no_enclave_is_named() -> None:
    """The mode says nothing of the node, so a file without the bundle knows nothing of an enclave."""
    mark = Saved().mark(bundle="")
    assert "whether it ran in an enclave is not known here" in mark.shows
    assert not mark.state.reaches(State.CHECKED)


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        (Saved(form="onnx"), "mode_not_of_artifact"),
        (Saved(traced=False), "trace_missing"),
        (Saved(Mode.ZKML), "mode_not_supported"),
        (Saved(Mode.TEE, confined=Mode.VANILLA), "mode_mismatch"),
        (Saved(confined=Mode.REPLAY), "mode_not_supported"),
    ],
)
def test_a_mode_that_the_documents_do_not_allow_fails(saved: Saved, reason: str) -> None:
    """By its reason, and whatever a quorum cosigned."""
    mark = saved.mark()
    assert (mark.state, mark.reason) == (State.FAILED, reason)
