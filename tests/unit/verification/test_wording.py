"""No sentence says more than the state behind it (the table of forbidden words)."""

from __future__ import annotations

import re

import msgspec
import pytest

from hallmark.core.documents import UpstreamRecord
from hallmark.core.marks import Mark, Question, State, derive_marks
from hallmark.core.receipt import Mode
from hallmark.core.statements import Role
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork, Party
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification import wording
from hallmark.verification.dossier import Dossier
from hallmark.verification.live import Inclusion, live_findings
from hallmark.verification.offline import verify_dossier
from hallmark.verification.reasons import REASONS

NEVER = r"\b(secure|safe|trusted|guaranteed|covered)\b"
RAN_BELOW_WITNESSED = r"\b(attested|verified|proven|confidential)\b"
RAN_SIMULATED = r"\b(secure enclave|TEE)\b"
PROVED_BELOW_WITNESSED = r"\b(settled|final|proven|on the ledger)\b"
PROVED_BELOW_ANCHORED = r"\b(on-chain|chain)\b"
ROUTE_PLAIN = r"\b(private|sealed|end-to-end)\b"


def _vanilla(net: LittleNetwork) -> Party:
    party = Party("vanilla", Role.NODE)
    party.bundle = net.bundle(party, Mode.VANILLA)
    net.register(party)
    return party


def _situations() -> dict[str, dict[Question, Mark]]:
    found: dict[str, dict[Question, Mark]] = {}
    record = UpstreamRecord("example", "https://example.test", "big", "big-9", "r")
    for name in ("witnessed", "early", "insecure", "vanilla", "upstream", "broken", "live", "live disputed"):
        net = LittleNetwork(insecure=("no-seccomp",) if name == "insecure" else ())
        node = _vanilla(net) if name == "vanilla" else net.nodes[0]
        answer = net.answer(node, upstream_record=record if name == "upstream" else None)
        index = net.add(answer.entry)
        notary = Notary(net)
        dossier: Dossier = notary.dossier(answer, index)
        if name == "early":
            dossier = msgspec.structs.replace(dossier, entry=None, registration=None, version=None)
        if name == "broken":
            dossier = msgspec.structs.replace(dossier, id="0x" + "00" * 32)
        if name.startswith("live"):
            if name == "live disputed":
                net.add(net.verdict(net.full_nodes[0], index, "equivocation"))
            inclusion = Inclusion(net.tree.size, net.tree.root(), ("a", "b", "c"), 4, net.now)
            assert node.configuration is not None
            live = live_findings(
                net.replica(),
                index,
                answer.entry,
                inclusion,
                by="this gateway",
                now=net.now,
                configuration=node.configuration.encode(),
            )
            found[name] = derive_marks(live)
        else:
            trust = notary.trust()
            found[name] = dict(
                verify_dossier(
                    dossier,
                    trust,
                    net.now,
                    verify_evidence=verify_stub_evidence,
                    verify_proof=proof_verifier(trust),
                ).marks
            )
    return found


SITUATIONS = _situations()


@pytest.mark.parametrize("name", SITUATIONS)
def test_no_mark_wears_another_marks_words(name: str) -> None:
    """In every situation, every sentence of every mark keeps to the words that its state allows."""
    for question, mark in SITUATIONS[name].items():
        texts = [mark.shows, mark.does_not_show, *mark.detail.values()]
        text = " ".join(texts)
        assert not re.search(NEVER, text, re.IGNORECASE), text
        if question is Question.RAN and not mark.state.reaches(State.WITNESSED):
            assert not re.search(RAN_BELOW_WITNESSED, text, re.IGNORECASE), text
        if question is Question.RAN and mark.assurance == "simulated":
            assert "simulated" in mark.shows
            assert not re.search(RAN_SIMULATED, text), text
        if question is Question.PROVED and not mark.state.reaches(State.WITNESSED):
            assert not re.search(PROVED_BELOW_WITNESSED, text, re.IGNORECASE), text
        if question is Question.PROVED and not mark.state.reaches(State.ANCHORED):
            assert not re.search(PROVED_BELOW_ANCHORED, text, re.IGNORECASE), text
        if question is Question.ROUTE and mark.detail.get("path") == "plain":
            assert not re.search(ROUTE_PLAIN, mark.shows, re.IGNORECASE), text
            assert "gateway" in mark.shows


@pytest.mark.parametrize("mode", list(Mode))
def test_proved_says_that_nobody_ran_the_model_again(mode: Mode) -> None:
    """Each sentence of the mark says so, with full nodes only where they checked, and who can."""
    said = {
        (True, wording.proved(1, 2, mode)),
        (True, wording.silent(1, 2, mode)),
        (True, wording.clean(1, 2, mode, quorum=True)),
        (False, wording.clean(1, 2, mode, quorum=False)),
    }
    for quorum, sentence in said:
        assert ("full nodes checked its papers and did not run the model again" in sentence) is quorum
        assert ("the model was not run again" in sentence) is not quorum
        assert ("can, by hallmark replay" in sentence) is (mode is Mode.REPLAY)


def test_the_mark_proved_takes_the_sentence_of_its_receipts_mode() -> None:
    """Offline and live, of vanilla and tee receipts."""
    for name in ("witnessed", "vanilla", "live"):
        assert "full nodes checked its papers" in SITUATIONS[name][Question.PROVED].shows
        assert "hallmark replay" not in SITUATIONS[name][Question.PROVED].shows


def test_situations_cover_the_states() -> None:
    """The table above is about something: claimed, checked, witnessed, disputed and failed all occur."""
    states = {mark.state for marks in SITUATIONS.values() for mark in marks.values()}
    assert {
        State.ABSENT,
        State.CLAIMED,
        State.CHECKED,
        State.WITNESSED,
        State.DISPUTED,
        State.FAILED,
    } <= states


def test_upstream_models_are_asserted() -> None:
    """A provider's model never stands without 'asserted by', and never with an artifact."""
    mark = SITUATIONS["upstream"][Question.MODEL]
    assert "asserted by example" in mark.shows
    assert not mark.detail.get("artifact")
    assert "upstream example" in SITUATIONS["upstream"][Question.ROUTE].shows


def test_reason_sentences_keep_to_the_words_too() -> None:
    """The sentences of reason codes stand under negative marks, where none of the proud words may stand."""
    for reason in REASONS.values():
        assert not re.search(f"{NEVER}|{RAN_BELOW_WITNESSED}|{PROVED_BELOW_WITNESSED}", reason.sentence), (
            reason
        )
