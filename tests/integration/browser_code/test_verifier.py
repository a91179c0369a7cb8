"""The browser's verifier derives what Python derives, byte for byte: from receipts whole, broken and forged.

One node process judges the whole batch. What it must say was said by Python before; nothing here knows the
answers.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.integration.browser_code import (
    verifier_cases,
    verifier_evidence,
    verifier_mutations,
    verifier_payments,
    verifier_sealed,
)
from tests.integration.browser_code.verifier_batch import Batch
from tests.integration.browser_code.verifier_mutations import TWO_MEANINGS
from tests.unit.attestation.conftest import Development, Recorded, development, recorded, vectors

from hallmark.attestation import INTEL_SGX_ROOT
from hallmark.core.answer import DONE, hallmark_event, join_hallmark
from hallmark.core.documents import ClearingPolicy, Requirement
from hallmark.core.evidence import Evidence
from hallmark.core.marks import Mark, Question, State
from hallmark.testing.answers import PATH, REQUEST
from hallmark.verification.dossier import Dossier
from hallmark.verification.reasons import REASONS
from hallmark.verification.trust import read_trust

__all__ = ["development", "recorded", "vectors"]
RECORDED = (
    "og_evm", "oyster_bin", "dstack_nsmqvl", "dstack_attest_debug", "evervault_beta_valid",
    "evervault_ga_debug",
)  # fmt: skip
DECISIONS = 2_000
VECTORS = Path(__file__).parents[2] / "vectors"


pytestmark = pytest.mark.integration


class Judged(NamedTuple):
    """The batch, and what the browser's verifier said of it."""

    batch: Batch
    browser: Mapping[str, list[Any]]


@pytest.fixture(scope="module")
def judged(
    development: Development, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Judged:
    """Everything judged by both."""
    batch = Batch()
    case = verifier_cases.whole(batch)
    verifier_cases.seconds(batch)
    verifier_cases.objections(batch)
    verifier_cases.reviews(batch)
    verifier_cases.withheld(batch)
    verifier_sealed.sealed(batch)
    verifier_payments.payments(batch)
    verifier_cases.remade(batch, case)
    verifier_cases.trusts(batch, case)
    verifier_cases.anchors(batch, case)
    verifier_mutations.broken(batch, case)
    verifier_evidence.sound(batch, development)
    verifier_evidence.forged(batch)
    verifier_evidence.unread(batch)
    verifier_evidence.flipped(batch, development)
    if (Path(__file__).parents[3].parent / "shared" / "vectors").is_dir():
        read: Callable[[str], Recorded] = request.getfixturevalue("recorded")
        verifier_evidence.recorded(batch, map(read, RECORDED))
    published = json.loads((VECTORS / "network.json").read_text())
    saved = msgspec.json.encode(published["dossier"])
    batch.dossier("published", saved, read_trust(published["trust"]), published["now"])
    unchecked(batch, case)
    decide(batch)
    answer(batch, case)
    return Judged(batch, batch.browser(tmp_path_factory.mktemp("batch")))


KINDS = ("tdx", "sgx", "snp")


def unchecked(batch: Batch, case: verifier_cases.Case) -> None:
    """A sound receipt with evidence of each kind that a browser cannot judge, which the policy takes."""
    policy = case.trust.attestation
    intel = ("0x" + INTEL_SGX_ROOT.hex(),)
    roots = dict(policy.roots) | {"tdx": intel, "sgx": intel, "snp": ("0x" + "07" * 32,)}
    attestation = msgspec.structs.replace(policy, kinds=(*policy.kinds, *KINDS), roots=roots)
    trust = msgspec.structs.replace(case.trust, attestation=attestation)
    for kind in KINDS:
        evidence = base64.b64encode(Evidence(kind, b"quote", b"collateral").encode()).decode()
        placed: dict[str, Any] = dict.fromkeys(("entry", "registration", "version"))
        early = msgspec.structs.replace(case.dossier(), evidence=evidence, **placed)
        batch.unchecked(kind, early.encode(), trust, case.net.now)


def decide(batch: Batch) -> None:
    """Random marks under random policies."""
    chance = random.Random(11)
    words = ("hardware", "simulated", "none", "")
    for number in range(DECISIONS):
        marks = {}
        for question in Question:
            state = chance.choice(tuple(State) if number % 4 else tuple(State)[:5])
            reviewers = " ".join(chance.choice(("0x01", "0x02", "0x03")) for _ in range(chance.randrange(4)))
            detail = {"what": "x", "reviewers": reviewers} if chance.random() < 0.5 else {}
            by = chance.choice(("3 of 4 full nodes", "this verifier", "the node"))
            since, word = chance.randrange(1000), chance.choice(words)
            reason = "r" if state.is_negative else ""
            marks[question] = Mark(
                question, state, since, by, b"\x01", "s", "d", reason=reason, assurance=word, detail=detail
            )
        needs = tuple(
            Requirement(
                question.value,
                chance.choice(tuple(State)[:5]).value,
                ("3 of 4 full nodes",) if chance.random() < 0.2 else (),
                chance.choice((0, 0, 500, 999)),
                chance.choice((("hardware",), ("hardware", "simulated"), words)),
                chance.choice((0, 0, 1, 2)),
            )
            for question in (*Question, *Question)
            if chance.random() < 0.3
        )
        waived = tuple(q.value for q in Question if chance.random() < 0.8)
        batch.decision(str(number), ClearingPolicy("p", 1, needs, waived), marks, chance.randrange(2000))
    for asked, least in (("rain", "claimed"), ("ran", "clamed"), ("", "")):
        wrong = (Requirement("ran", "anchored"), Requirement(asked, least))
        batch.decision("no such", ClearingPolicy("p", 1, wrong), marks, 1)


def answer(batch: Batch, case: verifier_cases.Case) -> None:
    """Answers of both shapes with their receipts, broken ones, and the dossiers that they begin."""
    dossier = case.dossier()
    kept: dict[str, Any] = json.loads(dossier.encode())
    names = (
        "id",
        "network",
        "chain_id",
        "receipt",
        "signature",
        "salts",
        "documents",
        "ticket",
        "evidence",
        "insecure",
    )
    made = msgspec.json.encode({name: kept[name] for name in names} | {"marks": {"new": [1.5, True, None]}})
    content = case.answer.response
    chunk = b'{"id":"a","choices":[{"index":0,"delta":{"content":"Seven."}}],"usage":{"n":1,"m":[1,2.5]}}'
    frames = (
        b'{"id":"a","choices":[]}', b'{"id":"a","choices":[],"usage":{"m":[1.0,2.5],"n":true}}',
        b'{"id":"a","choices":[],"usage":{"n":2}}',
        b'{"id":"a","choices":[{"index":0.0,"delta":{},"text":""}]}',
        b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}', b'{"id":"a","choices":[1]}',
        b'{"id":"a"}',
        b'{"id":"a","choices":[],"more":1}', b'{"id":"a","choices":[],"usage":null}',
    )  # fmt: skip
    whole = join_hallmark(content, made)
    bodies = [
        (whole, False),
        (content, False),
        (whole[:-1], False),
        (whole + b" ", False),
        (b"{}", False),
        (b"", False),
    ]
    bodies += [
        (whole.replace(b"Seven", b'","hallmark":{', 1), False),
        (b'{"a":{"hallmark":1},"hallmark":{}}', False),
    ]
    for frame in frames:
        for before in (b"data: " + chunk + b"\n\n", b"", b": note\n\n"):
            event = hallmark_event(frame, made)
            tails = (b"", b'data: {"choices":[],"usage":{"n":1}}\n\n', b"data: {}\n\n", b": note\n\n", event)
            bodies += [(before + event + tail + DONE, True) for tail in tails]
    stream = bodies[8][0]
    bodies += [(stream[:-1], True), (stream.replace(DONE, b""), True), (DONE, True), (b"\n\n" + DONE, True)]
    bodies += [
        (stream.replace(b'"id"', b'"hallmark":1,"id"'), True),
        (stream.replace(b"data: {", b"data:{"), True),
    ]
    for number, (body, streamed) in enumerate(bodies):
        batch.answer(str(number), body, stream=streamed)
    early = Dossier.parse(case.dossier().encode())
    theirs = msgspec.structs.replace(early, request=None, response=None, salts=type(early.salts)())
    for other in (None, theirs, msgspec.structs.replace(theirs, evidence=None, ticket=None), _another(case)):
        batch.draft("draft", whole, REQUEST, other, stream=False)
    batch.draft("stream", stream, REQUEST, theirs, stream=True)
    batch.draft("no text", whole, b"\xff", theirs, stream=False)
    twice = whole.replace(b'"chain_id":', b'"chain_id":1,"chain_id":', 1)
    batch.draft("named twice", twice, REQUEST, None, stream=False)
    batch.draft("answer names twice", whole.replace(b"{", b'{"id":"b",', 1), REQUEST, None, stream=False)
    batch.draft("no receipt", whole.replace(b'"network"', b'"net"'), REQUEST, None, stream=False)
    assert PATH == "/v1/chat/completions"


def _another(case: verifier_cases.Case) -> Dossier:
    return verifier_cases.Case(case.net, case.net.nodes[1]).dossier()


def _differences(judged: Judged, kind: str, told: str) -> list[tuple[str, str, str]]:
    batch, found = judged.batch, judged.browser[told]
    assert len(found) == len(batch.python[kind]) > 0
    rows = zip(batch.names[kind], batch.python[kind], found, strict=True)
    return [row for row in rows if row[1] != row[2]]


def test_marks_are_equal_byte_for_byte(judged: Judged) -> None:
    """Hundreds of receipts, whole and broken: the same refusals, the same marks, every member of them."""
    assert _differences(judged, "dossiers", "marks") == []
    said = judged.batch.python["dossiers"]
    assert len(said) > 700
    assert len(set(said)) > 220


def test_proved_says_in_both_that_nobody_ran_the_model_again(judged: Judged) -> None:
    """Of a witnessed replay receipt both add that anybody can, of a tee receipt neither does."""
    names = judged.batch.names["dossiers"]
    replay = next(
        at for at, name in enumerate(names) if "integer-exact" in name and name.endswith("REPLAY 2")
    )
    tee = names.index("admitted 0 ms into a second")
    for told in (judged.batch.python["dossiers"], judged.browser["marks"]):
        for at, can in ((replay, True), (tee, False)):
            proved = next(mark for mark in json.loads(told[at]) if mark["question"] == "proved")
            assert proved["state"] == "witnessed"
            assert "full nodes checked its papers and did not run the model again" in proved["shows"]
            assert ("anybody who has artifact and prompt can, by hallmark replay" in proved["shows"]) is can


def test_files_with_two_meanings_are_refused_by_both(judged: Judged) -> None:
    """Repeated members, newlines behind a text that has a form, and second spellings: no dossier."""
    names = judged.batch.names["dossiers"]
    wrong = [at for at, name in enumerate(names) if name.removeprefix("form: ").startswith(TWO_MEANINGS)]
    assert len(wrong) >= 11
    assert {judged.batch.python["dossiers"][at] for at in wrong} == {"refused bad_dossier"}
    assert {judged.browser["marks"][at] for at in wrong} == {"refused bad_dossier"}


def test_no_mark_is_witnessed_before_the_log_took_the_answer(judged: Judged) -> None:
    """A cosignature's whole second before the admission reads as the admission, in both."""
    at = judged.batch.names["dossiers"].index("admitted 882 ms into a second")
    for told in (judged.batch.python["dossiers"][at], judged.browser["marks"][at]):
        witnessed = [mark for mark in json.loads(told) if mark["state"] == "witnessed"]
        assert [mark["since"] % 1000 for mark in witnessed] == [882] * 5


def test_a_receipt_by_a_second_bundle_of_an_epoch_fails(judged: Judged) -> None:
    """Full nodes do not know its key and object to the answer: both verifiers see that beside it."""
    at = judged.batch.names["dossiers"].index(verifier_sealed.OBJECTED)
    for told in (judged.batch.python["dossiers"][at], judged.browser["marks"][at]):
        found = {mark["question"]: (mark["state"], mark["reason"]) for mark in json.loads(told)}
        assert found["ran"] == found["proved"] == ("failed", "node_not_registered")


def test_the_batch_reaches_every_reason_of_a_dossier(judged: Judged) -> None:
    """Each reason that examining a saved receipt can give is given somewhere in the batch."""
    found = {
        mark["reason"]
        for text in judged.batch.python["dossiers"]
        if text[0] == "["
        for mark in json.loads(text)
    }
    expected = {
        "anchor_mismatch", "checkpoint_conflict", "artifact_and_upstream", "artifact_mismatch",
        "artifact_missing",
        "attachments_malformed",
        "bad_signature", "bundle_mismatch", "candidates_mismatch", "chain_mismatch",
        "configuration_mismatch", "entry_mismatch", "equivocation",
        "evidence_rejected", "evidence_stale", "evidence_unexpected",
        "evidence_unreadable", "gateway_not_registered",
        "id_mismatch", "inputs_mismatch", "insecure_mismatch", "judged_unfit", "judgement_unknown",
        "key_compromised",
        "manifest_mismatch", "measurement_revoked", "mode_mismatch", "mode_not_supported",
        "mode_not_of_artifact", "trace_missing",
        "parameters_mismatch", "proof_invalid",
        "receipt_version", "registration_mismatch", "registration_proof", "request_mismatch",
        "response_mismatch", "review_proof",
        "review_subject", "reviewer_is_executor", "reviewer_not_registered", "reviewers_disagree",
        "route_mismatch",
        "ticket_expired", "ticket_mismatch", "ticket_unsigned", "unknown_cosigner", "upstream_mismatch",
        "version_mismatch",
        "version_proof", "wrong_network", "after_mismatch", "artifact_not_in_bundle", "node_not_candidate",
        "candidate_bundle",
        "key_mismatch", "route_other_node", "route_unreadable",
        "sealed_unsaid", "sealed_unexpected", "sealed_suite_unknown", "sealed_malformed",
        "sealed_seen_by_other", "sealed_without_keys", "sealed_other_window",
    }  # fmt: skip
    assert sorted(expected - found) == []


@pytest.mark.parametrize("at", range(len(KINDS)))
def test_evidence_that_is_not_checked_here_never_passes(judged: Judged, at: int) -> None:
    """TDX, SGX and SEV-SNP evidence leaves everything at claimed, with a reason and a plain sentence."""
    marks = {mark["question"]: mark for mark in json.loads(judged.browser["unchecked"][at])}
    ran = marks["ran"]
    assert (ran["state"], ran["reason"], ran["assurance"]) == ("claimed", "evidence_not_checked_here", "none")
    assert f"its {KINDS[at]} evidence cannot be checked in a browser" in ran["shows"]
    assert {mark["state"] for mark in marks.values()} == {"claimed", "absent"}


def test_evidence_is_judged_alike(judged: Judged) -> None:
    """Documents sound, forged, recorded and with changed bytes: the same verdict, the same first reason."""
    assert _differences(judged, "evidence", "evidence") == []
    found = {text for text in judged.batch.python["evidence"] if text.startswith("refused")}
    assert len(found) > 35


def test_decisions_are_equal_byte_for_byte(judged: Judged) -> None:
    """Two thousand policies over random marks: outcome, shortfalls, sentence, and the marks as waived."""
    assert _differences(judged, "decisions", "decisions") == []


def test_answers_are_split_alike(judged: Judged) -> None:
    """Covered bytes and receipt of an answer are the same, and the same answers are refused."""
    assert _differences(judged, "answers", "answers") == []
    assert sum(not text.startswith("refused") for text in judged.batch.python["answers"]) > 5


def test_dossiers_begin_and_grow_alike(judged: Judged) -> None:
    """A dossier out of an answer, and one grown by the network's part, is the same file."""
    assert _differences(judged, "drafts", "drafts") == []


def test_reasons_are_the_same_table(judged: Judged) -> None:
    """Every reason code has the same mark and the same sentence in both."""
    table = [[code, reason.question.value, reason.sentence] for code, reason in REASONS.items()]
    assert judged.browser["reasons"] == table
