"""Receipts become items; the evaluator alone clears them; what takes marks back takes items back."""

from __future__ import annotations

import re

import pytest

from hallmark.core.document import unhex
from hallmark.core.documents import Requirement
from hallmark.core.errors import VerificationFailed
from hallmark.core.marks import Question
from hallmark.services.review.schema import ITEMS
from hallmark.testing.review_desk import NEEDED, ReviewDesk, policy


async def test_a_witnessed_receipt_is_cleared(office: ReviewDesk) -> None:
    """A receipt that a quorum covers and whose marks meet the policy is CLEAR, and the page says why."""
    item = await office.answer()
    await office.witness()
    page = await office.item(item)
    assert (page.row.state, page.row.reason, page.row.policy) == ("CLEAR", "", "witnessed")
    assert re.fullmatch(
        r"meets witnessed, checked \d\d:\d\d:\d\d UTC \(asks for ran, model, route, proved\)", page.sentence
    )
    assert [d.outcome for d in page.decisions] == ["CLEAR"]
    assert [m.question for m in page.row.marks] == [question.value for question in Question]


async def test_with_full_nodes_stopped_nothing_moves_past_hold(office: ReviewDesk) -> None:
    """A receipt of the tail is an item at once, HOLD and claimed, index -1; the quorum's return clears it."""
    item = await office.answer()
    await office.poll()
    page = await office.item(item)
    assert (page.row.state, page.row.index, page.may_not_because) == ("HOLD", -1, "Nobody is signed in.")
    assert {m.state for m in page.row.marks} == {"claimed", "absent", "not_required"}
    assert {lack.reason for lack in page.lacks} == {"state_too_low"}
    await office.poll()
    assert await office.state(item) == "HOLD"
    await office.witness()
    page = await office.item(item)
    assert (page.row.state, page.row.index) == ("CLEAR", office.net.tree.size - 1)
    assert [d.outcome for d in page.decisions] == ["CLEAR", "HOLD"]


async def test_a_revoked_measurement_takes_it_back(office: ReviewDesk) -> None:
    """A revocation that reaches back turns CLEAR into HOLD, names the mark, and counts as a false clear."""
    item = await office.answer()
    await office.witness()
    office.net.add(office.net.revocation(office.net.measurement, 0))
    await office.witness()
    page = await office.item(item)
    assert (page.row.state, page.row.reason) == ("HOLD", "ran:measurement_revoked")
    assert (await office.desk.figures()).false_clears == 1


async def test_a_compromised_key_takes_back_its_items_alone(office: ReviewDesk) -> None:
    """Items of the compromised key return to HOLD; those of another node are not even looked at."""
    mine, other = await office.answer(0), await office.answer(1)
    await office.witness()
    versions = (await office.desk.office.store.record(unhex(other))).version
    office.net.add(office.net.compromise(office.net.nodes[0], 0))
    await office.watching.witness()
    await office.desk.intake.step()
    woken = await office.desk.office.store.records(ITEMS.select().where(ITEMS.c.wake == 0))
    assert [record.id for record in woken] == [unhex(mine)]
    await office.settle()
    assert (await office.state(mine), await office.state(other)) == ("HOLD", "CLEAR")
    assert (await office.desk.office.store.record(unhex(other))).version == versions


async def test_an_objection_holds_and_its_refutation_clears_again(office: ReviewDesk) -> None:
    """One verdict disputes an item, also a CLEAR one; when f+1 refute it, the item is CLEAR again."""
    net = office.net
    item = await office.answer()
    await office.witness()
    position = net.tree.size - 1
    verdict = net.add(net.verdict(net.full_nodes[0], position, "bad_signature"))
    await office.witness()
    assert (await office.item(item)).row.reason.endswith(":bad_signature")
    assert await office.state(item) == "HOLD"
    for author in net.full_nodes[1:3]:
        net.add(net.fault(author, net.full_nodes[0].address, "refuted_verdict", verdict, verdict))
    await office.witness()
    assert await office.state(item) == "CLEAR"


async def test_marks_that_grow_too_old_hold_by_themselves() -> None:
    """Without any entry in the log, an item is HOLD when a mark's greatest age is over."""
    need = Requirement("ran", "witnessed", max_age=60_000, assurance=("simulated",))
    rest = tuple(r for r in policy().requires if r.question != "ran")
    office = ReviewDesk(policies=(policy(requires=(need, *rest)),))
    await office.start()
    item = await office.answer()
    await office.witness()
    assert await office.state(item) == "CLEAR"
    office.net.tick(60_000)
    await office.settle()
    assert await office.state(item) == "CLEAR"
    office.net.tick(1)
    await office.settle()
    assert (await office.item(item)).row.reason == "ran:mark_too_old"
    assert await office.state(item) == "HOLD"
    await office.stop()


async def test_the_dispute_window_makes_it_final() -> None:
    """A CLEAR item is FINAL when its dispute window closes, and not a millisecond before."""
    office = ReviewDesk(policies=(policy(dispute_window=5_000),))
    await office.start()
    item = await office.answer()
    await office.witness()
    office.net.tick(4_999)
    await office.settle()
    assert await office.state(item) == "CLEAR"
    office.net.tick(1)
    await office.settle()
    assert await office.state(item) == "FINAL"
    await office.stop()


async def test_a_new_policy_judges_everything_again(office: ReviewDesk) -> None:
    """A stricter version in the log holds what was CLEAR; a policy that only warns changes nothing."""
    item = await office.answer()
    await office.witness()
    office.enact(policy("trial", requires=_hardware(), enforcement="warn"))
    await office.witness()
    assert await office.state(item) == "CLEAR"
    office.enact(policy(version=2, requires=_hardware()))
    await office.witness()
    assert (await office.item(item)).row.reason == "ran:assurance_not_allowed"
    assert await office.state(item) == "HOLD"


async def test_the_trust_files_policies_count_where_the_log_has_none() -> None:
    """A log without clearing policies leaves those of the trust file in force."""
    office = ReviewDesk(policies=())
    await office.start()
    rows = await office.desk.policies()
    assert {row.source for row in rows} == {"trust file"}
    item = await office.answer()
    await office.witness()
    # One of the trust file's three policies asks for hardware, and all that tie must be met.
    assert (await office.item(item)).row.reason == "ran:assurance_not_allowed"
    await office.stop()


async def test_a_configuration_that_comes_late_clears(office: ReviewDesk) -> None:
    """While nobody shows the node's configuration its item stays HOLD; it clears when the document comes."""
    office.watching.gateway.knows = False
    item = await office.answer()
    await office.witness()
    assert (await office.item(item)).row.reason == "ran:state_too_low"
    configuration = office.net.nodes[0].configuration
    assert configuration is not None
    office.watching.watch.configurations.put(configuration.encode())
    await office.settle()
    assert await office.state(item) == "CLEAR"


async def test_at_rest_nothing_is_judged(office: ReviewDesk) -> None:
    """New checkpoints over other receipts do not have old items looked at."""
    for _ in range(20):
        await office.answer()
    await office.witness()
    judged = office.metrics.registry.get_sample_value
    before = judged("hallmark_review_judged_total")
    for _ in range(3):
        office.net.tick(1_000)
        await office.answer()
        await office.witness()
    assert judged("hallmark_review_judged_total") == before + 3


async def test_nothing_is_judged_while_the_log_is_distrusted(office: ReviewDesk) -> None:
    """When the log breaks its own rules the desk lets nothing go and says why it stands still."""
    item = await office.answer()
    await office.watching.witness()
    office.watching.follower.distrust = "log_root_differs"
    await office.settle()
    assert await office.state(item) in ("", "HOLD")
    assert office.desk.health.state == "failed"


async def test_an_item_whose_history_was_changed_is_held(office: ReviewDesk) -> None:
    """A stored history that is not the one that was kept decides nothing: HOLD, with that reason."""
    item, other = await office.answer(0), await office.answer(1)
    await office.witness()
    store = office.desk.office.store
    record = await store.record(unhex(item))
    await store.write(
        lambda c: c.execute(ITEMS.update().where(ITEMS.c.id == record.id).values(head=bytes(32)))
    )
    office.enact(policy(version=2, requires=_hardware()))
    await office.witness()
    assert (await store.record(record.id)).held_for == ("item:history_broken",)
    assert (await office.desk.queue("state=HOLD&reason=item:history_broken", "", 5)).total == 1
    assert (await office.state(item), (await store.record(unhex(other))).reason) == (
        "HOLD",
        "ran:assurance_not_allowed",
    )
    with pytest.raises(VerificationFailed, match="history_broken"):
        await office.item(item)


def _hardware() -> tuple[Requirement, ...]:
    return tuple(Requirement(question, "witnessed") for question in NEEDED)
