"""Lists and pages of receipts: newest first, filtered, the tail included, dossiers that verify offline."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.documents import UpstreamRecord
from hallmark.core.entries import Entry
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.marks import Question, State
from hallmark.testing.dossiers import proof_verifier
from hallmark.testing.stub_evidence import verify_stub_evidence
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import Verified, verify_dossier


def verified(exploring: Any, file: bytes) -> Verified:
    """The dossier as a stranger examines it."""
    trust = exploring.notary.trust()
    return verify_dossier(
        Dossier.parse(file),
        trust,
        exploring.net.now,
        verify_evidence=verify_stub_evidence,
        verify_proof=proof_verifier(trust),
    )


async def test_receipts_are_listed_newest_first_page_by_page(exploring: Any) -> None:
    """Every receipt once, newest first, and the last page has no next."""
    net = exploring.net
    answers = [net.answer(net.nodes[n % 2]) for n in range(5)]
    for answer in answers:
        net.add(answer.entry)
    await exploring.witness()
    seen, cursor = [], ""
    while True:
        page = await exploring.explorer.receipts("", cursor, 2)
        assert page.total == 5
        seen += [row.id for row in page.rows]
        cursor = page.next
        if not cursor:
            break
    assert seen == [hex0x(a.receipt.digest()) for a in reversed(answers)]


async def test_receipts_are_filtered_by_node_artifact_and_label(exploring: Any) -> None:
    """Each filter gives what it names, and totals count what matches."""
    net = exploring.net
    for number in range(3):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    record = UpstreamRecord("example", "https://api.example", "digits", "x", "r")
    net.add(net.receipt_entry(net.nodes[1], upstream_record=record))
    await exploring.witness()
    explorer = exploring.explorer

    async def total(query: str) -> tuple[int, int]:
        page = await explorer.receipts(query, "", 50)
        return page.total, len(page.rows)

    node = hex0x(net.nodes[1].address)
    assert await total(f"node={node}") == (2, 2)
    assert await total(f"artifact={net.manifest.artifact}") == (3, 3)
    assert await total("model=digits") == (4, 4)
    assert await total(f"node={node}&artifact={net.manifest.artifact}") == (1, 1)
    assert await total("model=other") == (0, 0)
    for bad in ("node=0x12", "artifact=zz", "state=HOLD", "node=" + node + "&node=" + node):
        with pytest.raises(InvalidInput, match="bad_filter"):
            await explorer.receipts(bad, "", 10)
    with pytest.raises(InvalidInput, match="bad_cursor"):
        await explorer.receipts("", "-1", 10)


async def test_the_tail_stands_first_and_claims(exploring: Any) -> None:
    """With full nodes stopped new receipts are listed at index -1, with nothing above claimed."""
    net = exploring.net
    net.add(net.receipt_entry(net.nodes[0]))
    await exploring.witness()
    answers = [net.answer(net.nodes[0]) for _ in range(3)]
    for answer in answers:
        net.add(answer.entry)
    await exploring.watch.tail.poll()
    page = await exploring.explorer.receipts("", "", 2)
    assert (page.total, [row.index for row in page.rows]) == (4, [-1, -1])
    rest = await exploring.explorer.receipts("", page.next, 2)
    assert [row.index >= 0 for row in rest.rows] == [False, True]
    assert (await exploring.explorer.receipts("model=other", "", 9)).rows == ()
    found = await exploring.explorer.receipt(hex0x(answers[0].receipt.digest()))
    assert {mark.state for mark in found.row.marks} == {"claimed", "absent"}
    assert found.row.gap_ms == -1
    assert "No quorum of full nodes covers it yet" in found.sentence
    bare = verified(exploring, await exploring.explorer.dossier(found.row.id))
    assert bare.marks[Question.PROVED].state is not State.WITNESSED
    await exploring.witness()
    again = await exploring.explorer.receipt(found.row.id)
    assert again.row.index >= 0
    assert (await exploring.explorer.receipts("", "", 9)).total == 4


async def test_a_receipt_page_says_what_the_judge_says(exploring: Any) -> None:
    """The page's marks are the judge's, its sentence quotes what is proved, its failures have sentences."""
    net = exploring.net
    await exploring.witness()
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    net.tick(20)
    await exploring.witness()
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    assert {m.question: m.state for m in page.row.marks}["proved"] == "witnessed"
    assert page.row.gap_ms == 30
    assert "4 of 4 full nodes checked" in page.sentence
    assert page.failures == ()
    assert (page.row.index, page.row.mode, page.row.asserted_by) == (index, "tee", "")


async def test_what_speaks_against_a_receipt_leads_its_sentence(exploring: Any) -> None:
    """A receipt that fails says so first, and names every negative mark."""
    net = exploring.net
    answer = net.answers.make(net.nodes[0], beacon_size=10_000)
    net.add(answer.entry)
    await exploring.witness()
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    assert "Against it: model failed, proved failed." in page.sentence
    assert "The beacon names a checkpoint that did not exist yet." in page.failures


async def test_a_moved_label_is_in_the_sentence(exploring: Any) -> None:
    """Tuesday's receipt says on Thursday that its label points elsewhere now."""
    net = exploring.net
    answer = net.answer(net.nodes[0])
    net.add(answer.entry)
    net.add(net.version(net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))))
    await exploring.witness()
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    assert "points to another artifact now" in page.sentence
    assert [step.now for step in page.lineage] == [False, True]


async def test_a_providers_receipt_is_never_shown_as_an_artifact(exploring: Any) -> None:
    """No artifact, and the one who asserts stands beside the label."""
    net = exploring.net
    record = UpstreamRecord("example", "https://api.example", "digits", "x", "r")
    answer = net.answers.make(net.nodes[0], upstream_record=record)
    net.add(answer.entry)
    await exploring.witness()
    row = (await exploring.explorer.receipts("", "", 1)).rows[0]
    assert (row.artifact, row.model, row.asserted_by) == ("", "digits", "an upstream provider")
    page = await exploring.explorer.receipt(row.id)
    assert "asserted by an upstream provider" in page.sentence


@pytest.mark.parametrize("wanted", ["", "0x12", "0x" + "ab" * 32, "0X" + "AB" * 32, "../etc"])
async def test_unknown_receipts(exploring: Any, wanted: str) -> None:
    """What names no receipt is not found."""
    await exploring.witness()
    with pytest.raises(NotFound, match="unknown_receipt"):
        await exploring.explorer.receipt(wanted)


async def test_a_dossier_from_the_log_alone_verifies_offline(exploring: Any) -> None:
    """The gateway forgot the receipt; what was followed is enough for a stranger."""
    net = exploring.net
    net.register(net.reviewers[0])
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    await exploring.witness()
    exploring.gateway.knows = False
    net.tick(1_000)
    net.register(net.nodes[0])
    net.add(net.review(net.reviewers[0], index))
    await exploring.witness()
    receipt_id = hex0x(answer.receipt.digest())
    file = await exploring.explorer.dossier(receipt_id)
    found = verified(exploring, file)
    states = {q: m.state for q, m in found.marks.items()}
    assert {states[q] for q in (Question.RAN, Question.MODEL, Question.ROUTE)} == {State.WITNESSED}
    assert (states[Question.PROVED], states[Question.REVIEWED]) == (State.WITNESSED, State.WITNESSED)
    assert Dossier.parse(file).registration.index < index  # type: ignore[union-attr]  # it is there
    net.add(net.receipt_entry(net.nodes[1]))
    await exploring.witness()
    assert await exploring.explorer.dossier(receipt_id) == file


async def test_a_dossier_brings_the_objection_that_came_later(exploring: Any) -> None:
    """When full nodes object after the first checkpoint, the file holds their verdicts."""
    net = exploring.net
    answer = net.answer(net.nodes[0])
    index = net.add(answer.entry)
    await exploring.witness()
    for number in range(100):
        net.add(net.receipt_entry(net.nodes[number % 2]))
    for number in range(2):
        net.add(net.verdict(net.full_nodes[number], index, "label_moved"))
    await exploring.witness()
    file = await exploring.explorer.dossier(hex0x(answer.receipt.digest()))
    assert verified(exploring, file).marks[Question.PROVED].state is State.FAILED


async def test_a_receipt_that_its_node_did_not_sign_is_nobodys(exploring: Any) -> None:
    """An entry with another's signature is an entry, and no receipt of the node that it names."""
    net = exploring.net
    good = net.answers.make(net.nodes[0], advance=False).entry
    other = net.answers.make(net.nodes[1], advance=False).entry
    index = net.add(Entry(good.statement, other.signatures, good.attachments))
    net.add(net.verdict(net.full_nodes[0], index, "bad_signature"))
    await exploring.witness()
    page = await exploring.explorer.receipts("", "", 10)
    assert (page.total, page.rows) == (0, ())
    assert (await exploring.explorer.figures()).receipts_by_node == {}
    entry = await exploring.explorer.entry(index)
    assert "The signature is not by the key that the statement names." in entry.failures


async def test_structs_are_json(exploring: Any) -> None:
    """Every page has its twin: the same struct in JSON."""
    net = exploring.net
    answer = net.answer(net.nodes[0])
    net.add(answer.entry)
    await exploring.witness()
    page = await exploring.explorer.receipt(hex0x(answer.receipt.digest()))
    told = msgspec.json.decode(msgspec.json.encode(page))
    assert told["row"]["id"] == page.row.id
    assert [mark["question"] for mark in told["row"]["marks"]] == [q.value for q in Question]
