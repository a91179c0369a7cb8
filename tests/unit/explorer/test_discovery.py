"""The list of models: found by what it is, in an order that anybody can make again, and counted as shown."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, NotFound
from hallmark.core.statements import Said
from hallmark.discovery.exposure import Exposure
from hallmark.discovery.ranking import PERIOD_MS, seed_of
from hallmark.services.explorer.model_filter import filter_of
from hallmark.services.explorer.model_search import modes_now, offered
from hallmark.services.explorer.network import GatewayNetwork
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.network import LittleNetwork
from hallmark.testing.outcomes import outcome

HOUR = PERIOD_MS


def publish(net: LittleNetwork, label: str, task: str = "chat") -> None:
    """One more label, of which nothing is served."""
    card = msgspec.structs.replace(net.card, label=label, task=task)
    net.add(net.publication(card))


async def labels(exploring: ExplorerFixture, query: str = "") -> list[str]:
    """What is found, in its order."""
    return [line.row.label for line in (await exploring.explorer.model_list(query, "", 50)).rows]


async def test_what_is_known_stands_before_what_is_not(exploring: ExplorerFixture) -> None:
    """A word makes a record, and the record the first place; how often a label is used makes nothing."""
    net = exploring.net
    net.register(net.reviewers[0])
    for number in range(5):
        publish(net, f"other-{number}")
    places = [net.add(net.receipt_entry(net.nodes[0])) for _ in range(3)]
    await exploring.witness()
    before = await exploring.explorer.model_list("", "", 50)
    assert before.total == 6
    assert all(line.bound is None for line in before.rows)
    net.add(outcome(net, net.reviewers[0].key, places[0], Said.RIGHT))
    await exploring.witness()
    after = await exploring.explorer.model_list("", "", 50)
    assert after.rows[0].row.label == "digits"
    assert after.rows[0].bound is not None
    assert after.rows[0].words == 1
    assert [line.place for line in after.rows if line.drawn] == [3]


async def test_the_order_follows_from_the_log(exploring: ExplorerFixture) -> None:
    """The seed is of the log's root over what was there before this hour; it stays while the hour does, and
    another explorer has the same.
    """
    net = exploring.net
    for number in range(30):
        publish(net, f"model-{number}")
    net.tick(HOUR - net.now % HOUR)
    taken = net.tree.size
    publish(net, "late")
    await exploring.witness()
    found = await exploring.explorer.model_list("", "", 50)
    assert (found.seed_size, found.period) == (taken, net.now // HOUR)
    assert found.seed == hex0x(seed_of(net.genesis.network, taken, net.tree.root(taken)))
    order = await labels(exploring)
    net.tick(HOUR // 2)
    await exploring.witness()
    assert await labels(exploring) == order
    net.tick(HOUR)
    publish(net, "later")
    await exploring.witness()
    assert [label for label in await labels(exploring) if label != "later"] != order


async def test_a_search_by_task_words_and_size(exploring: ExplorerFixture) -> None:
    """Only what has all of it; while the gateway is silent, nothing passes for available."""
    net = exploring.net
    publish(net, "me/speech", "speech-recognition")
    publish(net, "me/shapes", "text-to-image")
    await exploring.witness()
    assert await labels(exploring, "modality=image") == ["me/shapes"]
    assert await labels(exploring, "modality=audio") == ["me/speech"]
    assert await labels(exploring, "q=spee&task=speech-recognition") == ["me/speech"]
    assert await labels(exploring, f"max_size={net.manifest.size}") == ["digits"]
    assert await labels(exploring, "max_price=0.01") == ["digits"]
    found = await exploring.explorer.model_list("mode=any", "", 50)
    assert (found.total, found.available_known) == (0, False)


async def test_what_can_be_answered_now_needs_both_words(exploring: ExplorerFixture) -> None:
    """The gateway's, that a slot is free in that mode; the log's, that a node of that mode may be asked."""
    await exploring.witness()
    await exploring.explorer.model_list("", "", 1)
    watch, catalogue = exploring.watch, exploring.explorer.showing.discovery.catalogue

    def modes(now: int, only: frozenset[str] | None = None, **changes: object) -> dict[str, set[str]]:
        slots = [{"model": "digits", "mode": "tee", "idle": 5, "busy": 0, "reasons": {}} | changes]
        counts = {"ineligible": 0, "offline": 0}
        told = msgspec.convert({"slots": [slot | counts for slot in slots]}, GatewayNetwork)
        return modes_now(watch, offered(watch, catalogue), told, now, only)

    now = exploring.net.now
    assert modes(now) == modes(now, frozenset(("digits",))) == {"digits": {"tee"}}
    assert modes(now, frozenset()) == {}
    assert modes(now, idle=0) == {}
    assert modes(now, mode="zkml") == {"digits": set()}
    assert modes(now + 10**12) == {"digits": set()}


@pytest.mark.parametrize("query", ["colour=red", "task=a&task=b", "max_size=-1", "mode=magic", "max_price=a"])
def test_a_filter_that_cannot_be_meant_is_refused(query: str) -> None:
    """By a stable reason."""
    with pytest.raises(InvalidInput, match="bad_filter"):
        filter_of(query)


async def test_what_was_shown_is_counted(
    exploring: ExplorerFixture, restarted: Callable[[ExplorerFixture], ExplorerFixture]
) -> None:
    """By hour, label and place; an hour that is over has a digest that names the one before; a restart loses
    nothing of it.
    """
    net = exploring.net
    for number in range(11):
        publish(net, f"model-{number}")
    await exploring.witness()
    for _ in range(3):
        shown = await exploring.explorer.model_list("", "", 5)
    first = shown.period
    page = await exploring.explorer.exposure(7)
    assert (page.total, {row.shown for row in page.rows}) == (15, {3})
    assert {row.label for row in page.rows} == {line.row.label for line in shown.rows}
    assert [row.drawn for row in page.rows if row.label == shown.rows[2].row.label] == [3]
    assert [one.digest for one in page.periods] == [""]
    net.tick(HOUR)
    await exploring.explorer.model_list("", "", 50)
    page = await exploring.explorer.exposure(7)
    assert page.total == 15 + 12
    open_one, closed = page.periods
    assert (closed.period, open_one.digest) == (first, "")
    table = await exploring.explorer.exposure_of(first)
    assert hex0x(Exposure.decode(table.document.encode()).digest()) == closed.digest
    after = restarted(exploring)
    await after.witness()
    assert (await after.explorer.exposure_of(first)).period.digest == closed.digest
    assert (await after.explorer.exposure_of(open_one.period)).before == closed.digest
    with pytest.raises(NotFound, match="unknown_period"):
        await after.explorer.exposure_of(first - 1)
