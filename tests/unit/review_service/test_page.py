"""The item page: in words, in true order, and the screen that a review is signed from stays the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec
import sqlalchemy as sa

from hallmark.core.document import hex0x, unhex
from hallmark.core.documents import UpstreamRecord
from hallmark.core.receipt import Mode
from hallmark.review.screens import verify_screen
from hallmark.services.review import actions as act
from hallmark.services.review.item_views import dated
from hallmark.services.review.schema import SCREENS
from hallmark.testing.review_desk import ReviewDesk, reviewed_policy


async def test_the_timeline_is_in_true_order_with_gaps(office: ReviewDesk) -> None:
    """Asked, answered, logged, held, witnessed, cleared: by time, each with its gap from the last byte."""
    item = await office.answer()
    office.net.tick(7)
    await office.poll()
    office.net.tick(11)
    await office.witness()
    page = await office.item(item)
    times = [moment.at for moment in page.timeline]
    assert times == sorted(times)
    assert all(moment.gap == moment.at - page.answer_at for moment in page.timeline)
    kinds = [moment.kind for moment in page.timeline]
    assert [k for k in kinds if k in ("answered", "decided", "witnessed")] == [
        "answered",
        "decided",
        "witnessed",
        "decided",
    ]
    decided = [moment for moment in page.timeline if moment.kind == "decided"]
    assert decided[0].text.startswith("HOLD under witnessed: ran: state too low")
    assert decided[1].text == "CLEAR under witnessed."
    assert decided[1].link == f"/review/{item}/as-seen?number={page.decisions[0].number}"
    numbers = [decision.number for decision in page.decisions]
    assert (len(numbers), numbers) == (2, sorted(numbers, reverse=True))


async def test_the_screen_is_kept_and_does_not_change_because_time_passed(office: ReviewDesk) -> None:
    """Two looks at an unchanged item give one screen, which the desk has; a change gives another."""
    item = await office.answer()
    await office.poll()
    first = (await office.item(item)).screen
    office.net.tick(60)
    assert (await office.item(item, office.reviewer())).screen == first
    await office.witness()
    page = await office.item(item)
    assert page.screen != first
    rows = await office.desk.office.store.read(sa.select(SCREENS).where(SCREENS.c.item == unhex(item)))
    unpack = office.desk.office.store.writing.screens.unpack
    kept = {"0x" + bytes(row.digest).hex(): unpack(bytes(row.screen)) for row in rows}
    assert {first, page.screen, page.screen_open} < set(kept)
    assert len(kept) == 4
    shut, opened = (verify_screen(kept[digest], digest) for digest in (page.screen, page.screen_open))
    assert (shut.answer, opened.answer) == ("closed", "open")
    assert msgspec.structs.replace(shut, answer="open") == opened
    screen = verify_screen(kept[page.screen], page.screen)
    assert (dated(screen.sentence, page.now), screen.marks) == (page.sentence, page.row.marks)
    assert page.sentence.startswith("meets witnessed, checked ")
    assert [(fact.name, fact.value) for fact in screen.facts] == [(f.name, f.value) for f in page.facts]


async def test_every_hold_has_words(office: ReviewDesk) -> None:
    """Each lack says what, why, who can mend it, the next step, and what happens at the deadline."""
    office.watching.gateway.knows = False
    item = await office.answer()
    await office.witness()
    page = await office.item(item)
    assert page.lacks
    for lack in page.lacks:
        assert all((lack.sentence, lack.who, lack.next, lack.then, lack.reason, lack.question))


async def test_a_providers_answer_shows_no_artifact(office: ReviewDesk) -> None:
    """The label of an upstream's answer is never shown without who asserts it, nor with an artifact."""
    upstream = UpstreamRecord("example", "https://example.test", "big", "big-9", "r1")
    item = await office.answer(upstream_record=upstream)
    await office.witness()
    row = (await office.item(item)).row
    assert row.artifact == ""
    assert "asserted by" in row.model


async def test_alike_and_by_node(office: ReviewDesk) -> None:
    """An item names others that stand where it stands and others by its node, never itself."""
    mine = [await office.answer(0) for _ in range(3)]
    other = await office.answer(1)
    await office.witness()
    page = await office.item(mine[0])
    assert {row.id for row in page.by_node} == set(mine[1:])
    assert {row.id for row in page.alike} == {*mine[1:], other}


async def test_only_insiders_read_internal_comments(office: ReviewDesk) -> None:
    """A remark for the subject is public, an internal one is for reviewers and operators."""
    item = await office.answer()
    await office.witness()
    await office.desk.comment(office.reviewer(), item, act.CommentRequest("Public.", "Inside."))
    public = await office.item(item)
    assert "Public." in repr(public)
    assert "Inside." not in repr(public)
    assert "Inside." not in repr(await office.item(item, office.person(office.net.nodes[0].owner)))
    assert "Internal: Inside." in repr(await office.item(item, office.reviewer(1)))


async def test_vanilla_and_tail_pages_stand(office: ReviewDesk) -> None:
    """Receipts of a mode without evidence, and of the tail after the log went away, have pages too."""
    item = await office.answer(mode=Mode.VANILLA)
    await office.witness()
    assert (await office.item(item)).row.state == "HOLD"
    tail = await office.answer()
    await office.poll()
    office.watching.watch.tail._found.clear()
    for tell in office.watching.watch.tail.changed:
        tell()
    page = await office.item(tail)
    assert (page.row.state, page.sentence, page.screen) == (
        "HOLD",
        "not judged: the log does not show it now",
        "",
    )
    assert len(page.row.marks) == 7


async def test_running_by_itself_it_judges_submits_and_stops() -> None:
    """With all its loops running the desk makes items, submits reviews and clears without being stepped."""
    office = ReviewDesk(policies=(reviewed_policy(),))
    running = asyncio.create_task(office.desk.run())
    await office.watching.witness()
    item = await office.answer()
    await office.watching.witness()
    await until(lambda: office.state(item), "HOLD")
    requester = act.DeclareRequest(requester="0x" + "44" * 20)
    await office.desk.declare(office.reviewer(1), "", item, requester)
    size = office.net.tree.size
    await office.desk.review(office.reviewer(), item, await office.signed(item))

    async def grown() -> int:
        return office.net.tree.size

    await until(grown, size + 1)
    await office.watching.witness()
    await until(lambda: office.state(item), "CLEAR")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Return when `ask` gives what is wanted; fail after twenty seconds."""
    async with asyncio.timeout(60):
        for _ in itertools.count():
            if await ask() == wanted:
                return
            await asyncio.sleep(0)


async def test_a_label_that_moved_shows_on_every_line(office: ReviewDesk) -> None:
    """Tuesday's answer names its artifact, and where the label points on Thursday."""
    net = office.net
    tuesday = await office.answer()
    await office.witness()
    assert (await office.item(tuesday)).row.points_to == ""
    newer = net.make_manifest("2", b"artifact 2", hex0x(net.manifest.digest()))
    net.add(net.version(newer))
    await office.witness()
    page = await office.item(tuesday)
    assert (page.row.artifact, page.row.points_to) == (net.manifest.artifact, newer.artifact)
    queue = await office.desk.queue("", "", 10)
    assert [row.points_to for row in queue.rows if row.id == tuesday] == [newer.artifact]
    assert [step.now for step in page.lineage] == [False, True]
