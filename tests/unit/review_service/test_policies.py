"""Policies at the desk: in force by the log, tried on past items, proposed; and figures."""

from __future__ import annotations

import pytest

from hallmark.core.documents import Requirement
from hallmark.core.errors import InvalidInput, NotFound, Unauthorized
from hallmark.review.files import read_policy, write_policy
from hallmark.services.review import actions as act
from hallmark.testing.network import key
from hallmark.testing.review_desk import NEEDED, ReviewDesk, policy, reviewed_policy


async def test_policies_in_force_are_the_logs_newest(office: ReviewDesk) -> None:
    """Versions of a name stand behind one another, newest first, each with its place; its file reads back."""
    office.net.tick(50)
    office.enact(policy(version=2, sla=60_000))
    await office.witness()
    (row,) = await office.desk.policies()
    assert (row.name, row.version, row.source, row.at) == ("witnessed", 2, "log", office.net.now)
    page = await office.desk.policy("witnessed")
    assert [version.version for version in page.history] == [2, 1]
    assert read_policy(page.toml) == policy(version=2, sla=60_000)
    assert [need.question for need in page.requires] == list(NEEDED)
    with pytest.raises(NotFound, match="policy_unknown"):
        await office.desk.policy("nothing")


async def test_a_dry_run_says_what_would_have_been(office: ReviewDesk) -> None:
    """A stricter policy would have held what is CLEAR; the run changes nothing and looks back as told."""
    items = [await office.answer(node) for node in (0, 1)]
    await office.witness()
    before = [await office.state(item) for item in items]
    strict = policy(requires=tuple(Requirement(q, "witnessed") for q in NEEDED), version=2)
    run = await office.desk.dry_run(write_policy(strict), 0)
    assert (run.judged, run.newly_held, run.newly_cleared) == (2, 2, 0)
    assert set(run.held_examples) == set(items)
    assert run.reasons[0].name == "ran:assurance_not_allowed"
    assert run.sentence.startswith("witnessed would have held 2, released 0")
    assert [await office.state(item) for item in items] == before == ["CLEAR", "CLEAR"]
    assert (await office.desk.dry_run(write_policy(strict), office.net.now + 1)).judged == 0


async def test_a_dry_run_of_a_looser_policy_releases(office: ReviewDesk) -> None:
    """What the policy in force holds for a missing review a looser one would have let go."""
    office.enact(reviewed_policy("witnessed", 2))
    item = await office.answer()
    await office.witness()
    run = await office.desk.dry_run(write_policy(policy(version=3)), 0)
    assert (run.newly_cleared, run.cleared_examples) == (1, (item,))


async def test_a_proposal_is_listed_until_the_authority_signs_it(office: ReviewDesk) -> None:
    """A proposal gates nothing; once the log has it, it is in force and no proposal any more."""
    newer = policy(version=2, requires=tuple(Requirement(q, "witnessed") for q in NEEDED))
    item = await office.answer()
    await office.witness()
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await office.desk.propose(office.person(key("stranger")), act.ProposeRequest(write_policy(newer)))
    for _ in range(2):
        await office.desk.propose(office.reviewer(), act.ProposeRequest(write_policy(newer)))
    await office.settle()
    assert await office.state(item) == "CLEAR"
    assert [row.source for row in await office.desk.policies()] == ["log", "proposal"]
    fresh = await office.desk.propose(
        office.reviewer(), act.ProposeRequest(write_policy(policy("new", classes=("new",))))
    )
    assert (await office.desk.policy("new")).row == fresh
    office.enact(newer)
    await office.witness()
    assert [(row.name, row.source) for row in await office.desk.policies()] == [
        ("witnessed", "log"),
        ("new", "proposal"),
    ]
    assert await office.state(item) == "HOLD"
    with pytest.raises(InvalidInput, match="version_not_newer"):
        await office.desk.propose(office.reviewer(), act.ProposeRequest(write_policy(newer)))


async def test_figures_count_what_happened(office: ReviewDesk) -> None:
    """Time to clear is from birth, by nearest rank; what cleared without a person; what a policy let go."""
    for wait in (100, 300, 200):
        item = await office.answer()
        await office.poll()
        office.net.tick(wait)
        await office.witness()
        assert await office.state(item) == "CLEAR"
    figures = await office.desk.figures()
    assert (figures.items, figures.cleared, figures.cleared_without_person) == (3, 3, 3)
    assert (figures.time_to_clear_p50, figures.time_to_clear_p95) == (200, 300)
    assert (figures.false_holds, figures.false_clears) == (0, 0)
    office.enact(reviewed_policy("witnessed", 2))
    await office.witness()
    held = {count.name: count.count for count in (await office.desk.figures()).hold_reasons}
    assert held["reviewed:state_too_low"] == 3
    office.enact(policy(version=3))
    await office.witness()
    figures = await office.desk.figures()
    # The marks said the same all along: holding them was the policy's doing.
    assert (figures.held, figures.cleared, figures.false_holds) == (0, 3, 3)
    assert figures.hold_reasons == ()


async def test_the_sla_shows_as_overdue(office: ReviewDesk) -> None:
    """An item that a policy promised to decide in time is overdue after it, stays HOLD, and can be found."""
    office.enact(reviewed_policy("witnessed", 2, sla=1_000))
    item = await office.answer()
    await office.witness()
    page = await office.item(item)
    assert (page.row.due, page.row.overdue) == (page.row.born + 1_000, False)
    assert {lack.due for lack in page.lacks} == {page.row.due}
    office.net.tick(1_000)
    assert (await office.item(item)).row.overdue
    queue = await office.desk.queue("state=HOLD&overdue=1&order=due", "", 10)
    assert [row.id for row in queue.rows] == [item]


async def test_a_missed_promise_stays_missed(office: ReviewDesk) -> None:
    """What was decided late was decided late: cleared or promised anew, the miss shows and is found."""
    office.enact(reviewed_policy("witnessed", 2, sla=1_000))
    late, punctual = await office.answer(), ""
    await office.witness()
    due = (await office.item(late)).row.due
    assert (await office.item(late)).row.missed == 0
    office.net.tick(1_500)
    assert (await office.item(late)).row.missed == due
    punctual = await office.answer()
    await office.witness()
    office.enact(policy("witnessed", version=3, sla=60_000))
    await office.witness()
    rows = {row.id: row for row in (await office.desk.queue("state=CLEAR", "", 10)).rows}
    assert set(rows) == {late, punctual}
    assert (rows[late].missed, rows[late].overdue, rows[punctual].missed) == (due, False, 0)
    assert [row.id for row in (await office.desk.queue("missed=1", "", 10)).rows] == [late]
    office.enact(reviewed_policy("witnessed", 4))
    await office.witness()
    assert (await office.item(late)).row.missed == due
