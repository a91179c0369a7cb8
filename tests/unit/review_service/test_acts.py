"""What people do: reviews by their own keys, appeals, samples, break-glass, bulk. None of it clears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import Conflict, HallmarkError, InvalidInput, NotFound, Unauthorized
from hallmark.core.hashing import sha256
from hallmark.core.statements import Judgement
from hallmark.services.review import actions as act
from hallmark.services.review.item_changes import load
from hallmark.services.review.people import TOKEN_TAG
from hallmark.services.review.schema import COMMENTS
from hallmark.testing.network import Party, key
from hallmark.testing.review_desk import ReviewDesk, policy, reviewed_policy

HOUR = 3_600_000


@pytest.fixture
async def strict() -> AsyncIterator[ReviewDesk]:
    """A desk whose policy asks for one reviewer who is no party."""
    made = ReviewDesk(policies=(reviewed_policy(),))
    await made.start()
    yield made
    await made.stop()


async def requested(office: ReviewDesk) -> str:
    """A witnessed item whose requester is declared."""
    item = await office.answer()
    await office.witness()
    request = act.DeclareRequest(requester=hex0x(key("customer").address))
    await office.desk.declare(office.reviewer(2), "", item, request)
    return item


async def test_a_review_clears_through_the_log_alone(strict: ReviewDesk) -> None:
    """Handing in a review moves nothing; once a quorum covers it in the log, the evaluator clears."""
    item = await requested(strict)
    request = await strict.signed(item, texts=("Fine.", "Checked twice."))
    row = await strict.desk.review(strict.reviewer(), item, request)
    assert row.state == "HOLD"
    waiting = (await strict.item(item)).reviews[0]
    assert (waiting.index, waiting.witnessed) == (-1, False)
    assert "does not count" in waiting.sentence
    await strict.desk.office.submitting.round()
    await strict.settle()
    assert await strict.state(item) == "HOLD"
    await strict.witness()
    page = await strict.item(item, strict.reviewer(1))
    assert page.row.state == "CLEAR"
    review = page.reviews[0]
    assert (review.witnessed, review.judgement, review.comment) == (True, "fit", "Fine.")
    assert review.internal == "Checked twice."
    assert (await strict.item(item)).reviews[0].internal == ""
    assert [d.outcome for d in page.decisions] == ["CLEAR", "JUDGED FIT", "HOLD", "HOLD"]


async def test_comments_are_kept_salted_and_the_log_has_their_digest_alone(strict: ReviewDesk) -> None:
    """The log holds a digest that only text and salt together give; the texts stand in the desk's store."""
    item = await requested(strict)
    await strict.desk.review(strict.reviewer(), item, await strict.signed(item, texts=("Only here.", "")))
    await strict.desk.office.submitting.round()
    assert not any(b"Only here." in leaf for leaf in strict.net.leaves)
    (row,) = await strict.desk.office.store.read(sa.select(COMMENTS))
    assert act.comment_digest(row.comment, row.internal, bytes(row.salt)) == bytes(row.digest)
    assert any(bytes(row.digest) in leaf for leaf in strict.net.leaves)


async def test_four_eyes_need_two(office: ReviewDesk) -> None:
    """A policy for high values that counts two reviewers is not met by one who reviews twice."""
    office.enact(reviewed_policy("high", count=2, min_value=1_000))
    item = await requested(office)
    assert await office.state(item) == "CLEAR"
    await office.desk.declare(office.reviewer(2), "", item, act.DeclareRequest(value=1_000))
    await office.witness()
    await office.judge(item, 0)
    await office.judge(item, 0)
    page = await office.item(item)
    assert (page.row.state, page.row.reason) == ("HOLD", "reviewed:too_few_reviewers")
    await office.judge(item, 1)
    assert await office.state(item) == "CLEAR"


async def test_parties_do_not_review(strict: ReviewDesk) -> None:
    """Who made the answer or asked for it is refused, and the page says so before they try."""
    item = await strict.answer()
    await strict.witness()
    reviewer = strict.net.reviewers[0]
    request = act.DeclareRequest(requester=hex0x(reviewer.address))
    await strict.desk.declare(strict.reviewer(1), "", item, request)
    page = await strict.item(item, strict.reviewer())
    assert (page.may_review, page.may_not_because) == (False, "This key asked for the answer.")
    with pytest.raises(Conflict, match="reviewer_is_requester"):
        await strict.desk.review(strict.reviewer(), item, await strict.signed(item))
    owner = Party("node 0 owner", strict.net.reviewers[0].role)
    owner.key = strict.net.nodes[0].owner
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await strict.desk.review(strict.person(owner.key), item, await strict.signed(item, owner))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"screen": b"\1" * 32}, "screen_not_shown"),
        ({"policy": b"\1" * 32}, "review_other_policy"),
        ({"item": b"\1" * 32}, "review_other_item"),
        ({"subject": 0}, "review_other_item"),
        ({"comment": b"\1" * 32}, "comment_digest"),
        ({"network": b"\1" * 32}, "bad_entry"),
        ({"judgement": 9}, "bad_entry"),
        ({"reviewer": b"\1" * 20}, "review_not_yours"),
        ({"at": 1}, "review_not_now"),
    ],
)
async def test_what_a_review_must_say(strict: ReviewDesk, changes: dict[str, object], reason: str) -> None:
    """A review of another thing, under another policy, from a screen never shown, or of other words is
    refused, and nothing of it reaches the log.
    """
    item = await requested(strict)
    with pytest.raises(HallmarkError, match=reason):
        await strict.desk.review(strict.reviewer(), item, await strict.signed(item, changes=changes))
    assert await strict.desk.office.submitting.round()
    assert strict.log.calls == 0


async def test_a_review_by_another_key_than_the_one_signed_in_is_refused(strict: ReviewDesk) -> None:
    """Nobody hands in somebody else's review."""
    item = await requested(strict)
    with pytest.raises(InvalidInput, match="review_not_yours"):
        await strict.desk.review(strict.reviewer(1), item, await strict.signed(item))


async def test_a_receipt_of_the_tail_cannot_be_reviewed_yet(strict: ReviewDesk) -> None:
    """A review refers to a place in the log, so it waits for a quorum."""
    item = await strict.answer()
    await strict.poll()
    with pytest.raises(Conflict, match="item_not_witnessed_yet"):
        await strict.desk.review(strict.reviewer(), item, await strict.signed(item))


async def test_reviews_survive_the_log_being_away(strict: ReviewDesk) -> None:
    """A review that the log cannot take now is submitted again, once; one that it refuses says so."""
    item = await requested(strict)
    request = await strict.signed(item)
    strict.log.down = True
    await strict.desk.review(strict.reviewer(), item, request)
    assert not await strict.desk.office.submitting.round()
    await strict.desk.review(strict.reviewer(), item, request)
    strict.log.down = False
    assert await strict.desk.office.submitting.round()
    assert await strict.desk.office.submitting.round()
    assert len(strict.log.taken) == 1
    strict.log.refuses = "reviewer_not_registered"
    strict.net.tick(5)
    await strict.desk.review(strict.reviewer(1), item, await strict.signed(item, strict.net.reviewers[1]))
    await strict.desk.office.submitting.round()
    await strict.witness()
    refused = (await strict.item(item)).reviews[-1]
    assert "the log refused it (reviewer_not_registered)" in refused.sentence


async def test_declarations_only_tighten(office: ReviewDesk) -> None:
    """A class with a policy holds until it is met; a value is never lowered; strangers do not declare."""
    item = await office.answer()
    await office.witness()
    row = await office.desk.declare(office.reviewer(), "", item, act.DeclareRequest("payment", 500))
    assert (row.state, row.klass, row.value) == ("CLEAR", "payment", 500)
    with pytest.raises(Conflict, match="value_lowered"):
        await office.desk.declare(office.reviewer(), "", item, act.DeclareRequest(value=499))
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await office.desk.declare(office.person(key("stranger")), "", item, act.DeclareRequest("x"))
    with pytest.raises(InvalidInput, match="nothing_changed"):
        await office.desk.declare(office.reviewer(), "", item, act.DeclareRequest())
    office.enact(reviewed_policy("payments", classes=("payment",)))
    await office.witness()
    assert await office.state(item) == "HOLD"


async def test_an_api_token_declares_and_nothing_else(tmp_path: object) -> None:
    """A program with a token of the settings declares under the token's name; a wrong token does not."""
    path = f"{tmp_path}/tokens.json"
    digest = hex0x(sha256(TOKEN_TAG, b"secret"))
    Path(path).write_bytes(msgspec.json.encode({"tokens": [{"name": "shop", "sha256": digest}]}))
    office = ReviewDesk(api_tokens_file=path)
    await office.start()
    item = await office.answer()
    await office.witness()
    with pytest.raises(Unauthorized, match="bad_api_token"):
        await office.desk.declare(None, "guess", item, act.DeclareRequest("payment"))
    await office.desk.declare(None, "secret", item, act.DeclareRequest("payment"))
    declared = [m for m in (await office.item(item)).timeline if m.kind == "declared"]
    assert [(m.by, m.text) for m in declared] == [("token shop", "Declared: class payment.")]
    await office.stop()


async def test_appeals_reopen_and_are_answered_by_somebody_else(office: ReviewDesk) -> None:
    """A node's owner appeals: CLEAR returns to HOLD; a reviewer dismisses: CLEAR again, on record."""
    item = await office.answer()
    await office.witness()
    owner = office.person(office.net.nodes[0].owner)
    with pytest.raises(Conflict, match="not_a_party"):
        await office.desk.appeal(office.person(key("stranger")), item, act.AppealRequest("Why?"))
    row = await office.desk.appeal(owner, item, act.AppealRequest("This was not mine."))
    assert (row.state, row.reason, row.appealed) == ("HOLD", "item:appeal_open", True)
    assert (await office.desk.queue("appealed=1", "", 10)).total == 1
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await office.desk.answer_appeal(owner, item, act.AnswerAppealRequest("Yes it was.", False))
    row = await office.desk.answer_appeal(office.reviewer(), item, act.AnswerAppealRequest("It was.", False))
    assert (row.state, row.appealed) == ("CLEAR", False)
    page = await office.item(item)
    assert [(a.text, a.open) for a in page.appeals] == [("This was not mine.", False)]
    with pytest.raises(Conflict, match="no_open_appeal"):
        await office.desk.answer_appeal(office.reviewer(), item, act.AnswerAppealRequest("Again.", True))


async def test_an_upheld_appeal_counts_as_overturned(office: ReviewDesk) -> None:
    """Upholding an appeal against a CLEAR keeps the item in HOLD and shows in the figures."""
    item = await office.answer()
    await office.witness()
    await office.desk.appeal(
        office.person(office.net.nodes[0].owner), item, act.AppealRequest("Not mine at all.")
    )
    request = act.AnswerAppealRequest("Indeed.", True)
    row = await office.desk.answer_appeal(office.reviewer(), item, request)
    assert (row.state, row.reason) == ("HOLD", "item:appeal_upheld")
    assert (await office.desk.figures()).overturned == 1


async def test_break_glass_does_not_clear(strict: ReviewDesk) -> None:
    """A release keeps HOLD, names the person, ends by itself, is counted, and is bounded to 24 hours."""
    item = await strict.answer()
    await strict.witness()
    until = strict.net.now + HOUR
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await strict.desk.release(
            strict.person(key("stranger")), item, act.ReleaseRequest("urgent", "We need it now.", until)
        )
    late = act.ReleaseRequest("urgent", "We need it now.", strict.net.now + 25 * HOUR)
    with pytest.raises(InvalidInput, match="release_too_long"):
        await strict.desk.release(strict.reviewer(), item, late)
    row = await strict.desk.release(
        strict.reviewer(), item, act.ReleaseRequest("urgent", "We need it now.", until)
    )
    assert (row.state, row.released_until) == ("HOLD", until)
    assert (await strict.desk.figures()).released_under_glass == 1
    released = [m.text for m in (await strict.item(item)).timeline if m.kind == "released"]
    assert released[0].startswith("HOLD, released under break-glass by reviewer 0 until")
    strict.net.tick(HOUR)
    await strict.settle()
    page = await strict.item(item)
    assert (page.row.state, page.row.released_until) == ("HOLD", 0)


async def test_rejecting_ends_an_item(strict: ReviewDesk) -> None:
    """A reviewer ends a held item; it stays so, with the screen that it was decided on."""
    item = await strict.answer()
    await strict.witness()
    page = await strict.item(item, strict.reviewer())
    request = act.RejectRequest("wrong_answer", "It is wrong.", "Told by phone.", page.screen)
    row = await strict.desk.reject(strict.reviewer(), item, request)
    assert row.state == "REJECTED"
    seen = await strict.desk.as_seen(item, 0)
    assert (seen.digest, seen.holds, seen.by) == (page.screen, True, strict.reviewer().address)
    with pytest.raises(Conflict, match="item_is_rejected"):
        await strict.desk.reject(strict.reviewer(), item, request)
    assert "Told by phone." not in repr(await strict.item(item))


async def test_as_seen_shows_the_screen_again_beside_today(office: ReviewDesk) -> None:
    """The marks at a decision stand as they were though today's differ; unknown numbers are refused."""
    item = await office.answer()
    await office.poll()
    await office.witness()
    first = (await office.item(item)).decisions[-1]
    seen = await office.desk.as_seen(item, first.number)
    assert seen.holds
    assert {m.state for m in seen.then} == {"claimed", "absent", "not_required"}
    assert {m.state for m in seen.now} == {"witnessed", "not_required"}
    with pytest.raises(NotFound, match="unknown_decision"):
        await office.desk.as_seen(item, 99)
    with pytest.raises(NotFound, match="unknown_item"):
        await office.desk.as_seen("0x" + "00" * 32, 0)


@pytest.mark.parametrize("open_", [False, True], ids=["closed", "open"])
async def test_a_review_says_whether_the_answer_was_open(strict: ReviewDesk, open_: bool) -> None:
    """The screen that a review commits to says it, wherever the review or its screen is shown again."""
    item = await requested(strict)
    page = await strict.item(item)
    screen = unhex(page.screen_open if open_ else page.screen)
    await strict.desk.review(strict.reviewer(), item, await strict.signed(item, changes={"screen": screen}))
    told = {
        True: "The answer was open when judged, by the reviewer's own word.",
        False: "The answer was not open when judged.",
    }[open_]
    assert (await strict.item(item)).reviews[0].answer == told
    await strict.desk.office.submitting.round()
    await strict.witness()
    page = await strict.item(item)
    assert page.reviews[0].answer == told
    (judged,) = (decision for decision in page.decisions if decision.outcome == "JUDGED FIT")
    assert (await strict.desk.as_seen(item, judged.number)).answer == told
    by_evaluator = next(d for d in page.decisions if d.by == "evaluator")
    assert (await strict.desk.as_seen(item, by_evaluator.number)).answer == ""


async def test_bulk_is_over_one_reason(strict: ReviewDesk) -> None:
    """Items that are held for different reasons are not acted on together, not one of them."""
    strict.enact(policy("hardware", classes=("chip",)))
    items = [await strict.answer() for _ in range(3)]
    await strict.witness()
    reason = (await strict.item(items[0])).row.reason
    await strict.desk.appeal(
        strict.person(strict.net.nodes[0].owner), items[2], act.AppealRequest("Look again.")
    )
    mixed = act.BulkRequest(reason, tuple(items), assign=act.AssignRequest(strict.reviewer().address))
    with pytest.raises(InvalidInput, match="bulk_mixed_reasons"):
        await strict.desk.bulk(strict.reviewer(), mixed)
    assert {(await strict.item(item)).row.assigned for item in items} == {""}
    unknown = "0x" + "11" * 32
    alike = msgspec.structs.replace(mixed, items=(*items[:2], unknown))
    done = await strict.desk.bulk(strict.reviewer(), alike)
    assert (set(done.done), done.refused) == (set(items[:2]), {unknown: "unknown_item"})
    with pytest.raises(InvalidInput, match="bulk_one_act"):
        await strict.desk.bulk(strict.reviewer(), msgspec.structs.replace(mixed, assign=None))
    rejected = act.BulkRequest(reason, tuple(items[:2]), reject=act.RejectRequest("unused"))
    await strict.desk.bulk(strict.reviewer(), rejected)
    assert {await strict.state(item) for item in items[:2]} == {"REJECTED"}


async def test_a_sampled_clear_is_looked_at_by_somebody_new() -> None:
    """With every CLEAR drawn, who judged it before answers no sample; somebody else's unfit reopens it."""
    office = ReviewDesk(policies=(reviewed_policy(resample=1_000_000),))
    await office.start()
    item = await requested(office)
    await office.judge(item, 0)
    page = await office.item(item)
    assert (page.row.state, page.row.sampled) == ("CLEAR", True)
    assert (await office.desk.queue("sampled=1", "", 10)).total == 1
    await office.judge(item, 0)
    assert (await office.item(item)).row.sampled
    await office.judge(item, 1, Judgement.UNFIT)
    page = await office.item(item)
    assert (page.row.state, page.row.sampled) == ("HOLD", False)
    assert {lack.reason for lack in page.lacks} >= {"reviewers_disagree", "sample_disagreed"}
    assert (await office.desk.figures()).overturned == 1
    await office.stop()


async def test_only_reviewers_take_items(office: ReviewDesk) -> None:
    """Items are assigned by reviewers to reviewers, and given back."""
    item = await office.answer()
    await office.witness()
    with pytest.raises(InvalidInput, match="not_a_reviewer"):
        await office.desk.assign(office.reviewer(), item, act.AssignRequest("0x" + "11" * 20))
    with pytest.raises(Unauthorized, match="reviewers_only"):
        await office.desk.assign(office.operator, item, act.AssignRequest())
    row = await office.desk.assign(office.reviewer(), item, act.AssignRequest(office.reviewer(1).address))
    assert row.assigned == office.reviewer(1).address
    assert (await office.desk.queue(f"assigned={row.assigned}", "", 10)).total == 1
    assert (await office.desk.assign(office.reviewer(), item, act.AssignRequest())).assigned == ""


async def test_two_acts_at_once_both_count(office: ReviewDesk) -> None:
    """Acts that meet on one item are made one after the other, none is lost."""
    item = await office.answer()
    await office.witness()
    said = [act.CommentRequest(internal=f"note {n}") for n in range(5)]
    await asyncio.gather(*(office.desk.comment(office.reviewer(), item, request) for request in said))
    loaded = await office.desk.office.items.load(unhex(item))
    assert loaded.item.comments == 5


async def test_an_item_is_read_as_of_one_moment(office: ReviewDesk) -> None:
    """Events that are appended between reading an item's row and reading its events are left out."""
    item = unhex(await office.answer())
    await office.witness()
    store = office.desk.office.store
    record = await store.record(item)
    assert record is not None
    await office.desk.comment(office.reviewer(), hex0x(item), act.CommentRequest(internal="meanwhile"))
    later = (await store.events([item]))[item]
    assert later[-1].number > record.version
    assert load(record, later).item.version == record.version
