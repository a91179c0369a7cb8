"""How answers turned out, on a real log: what a word lands on, whose words make a record, where it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.statements import Said
from hallmark.crypto.secp256k1 import Key
from hallmark.discovery.attribution import NOTHING_ENTERED
from hallmark.services.explorer.outcome_views import RecordRow
from hallmark.services.explorer.outcomes import SILENT
from hallmark.testing.explorer import ExplorerFixture
from hallmark.testing.outcomes import NAMED, TOLD, outcome

STRANGER = Key(b"\x31" * 32)


def said(row: RecordRow) -> tuple[int, int, int]:
    """Right, wrong, partly."""
    return row.right, row.wrong, row.partly


async def page_of(exploring: ExplorerFixture, answer: Any) -> Any:
    """The outcomes on a receipt's page."""
    return (await exploring.explorer.receipt(hex0x(answer.receipt.digest()))).outcomes


async def test_a_word_lands_on_each_thing_separately(exploring: ExplorerFixture) -> None:
    """Artifact, node, route; parameters where the speaker shows those that the receipt names. A bound is of
    that thing's own words.
    """
    net = exploring.net
    for reviewer in net.reviewers[:2]:
        net.register(reviewer)
    first, second = net.answer(net.nodes[0]), net.answer(net.nodes[1])
    places = [net.add(answer.entry) for answer in (first, second)]
    shown = msgspec.structs.replace(NAMED, parameters=first.parameters.encode().decode())
    net.add(outcome(net, net.reviewers[0].key, places[0], Said.RIGHT, shown))
    net.add(outcome(net, net.reviewers[1].key, places[1], Said.WRONG, shown))
    await exploring.witness()
    found = await page_of(exploring, first)
    records = {row.scope: row for row in found.records}
    assert list(records) == ["artifact", "node", "route", "template", "parameters"]
    assert said(records["artifact"]) == said(records["route"]) == (1, 1, 0)
    assert said(records["node"]) == said(records["parameters"]) == (1, 0, 0)
    assert said(records["template"]) == (1, 0, 0)
    assert hex0x(first.receipt.artifact) in records["template"].what
    assert [one.scope for one in found.unknown] == ["data"]
    assert records["node"].bound is not None
    assert records["artifact"].bound is not None
    assert records["node"].bound > records["artifact"].bound
    assert found.words[0].rests_on.startswith("evaluation digits-1000")
    # What was shown with the second word is another receipt's: it lands on nothing.
    other = await page_of(exploring, second)
    assert not {"parameters", "template"} & {row.scope for row in other.records}
    why = {one.scope: one.why for one in other.unknown}
    assert list(why) == ["template", "parameters", "data"]
    assert "nobody who spoke showed them" in why["parameters"]
    assert why["data"] == NOTHING_ENTERED


async def test_nothing_said_is_unknown(exploring: ExplorerFixture) -> None:
    """Never a pass, never a zero."""
    net = exploring.net
    answer = net.answer(net.nodes[0])
    net.add(answer.entry)
    await exploring.witness()
    assert (await page_of(exploring, answer)).sentence == SILENT
    card = await exploring.explorer.model_card("digits")
    assert card.quality == "unknown"
    assert card.records[0].record.bound is None


async def test_one_word_counts_for_each_speaker_and_receipt(exploring: ExplorerFixture) -> None:
    """A later one stands in the place of an earlier one, and one that is withdrawn in nobody's."""
    net = exploring.net
    net.register(net.reviewers[0])
    answer = net.answer(net.nodes[0])
    at, by = net.add(answer.entry), net.reviewers[0].key
    for word, counts in (
        (Said.WRONG, (0, 1, 0)),
        (Said.WRONG, (0, 1, 0)),
        (Said.PARTLY, (0, 0, 1)),
        (Said.WITHDRAWN, (0, 0, 0)),
        (Said.RIGHT, (1, 0, 0)),
    ):
        net.tick(1)
        net.add(outcome(net, by, at, word))
        await exploring.witness()
        found = await page_of(exploring, answer)
        assert all(said(row) == counts for row in found.records)
        assert sum(one.counts for one in found.words) == (word is not Said.WITHDRAWN)
        assert (found.records[0].bound is None) is (word is Said.WITHDRAWN)


async def test_only_registered_reviewers_make_a_record(exploring: ExplorerFixture) -> None:
    """A stranger is shown, and counted beside it; so is a reviewer who owns the label."""
    net = exploring.net
    answer = net.answer(net.nodes[0])
    at = net.add(answer.entry)
    net.add(outcome(net, STRANGER, at, Said.RIGHT))
    await exploring.witness()
    found = await page_of(exploring, answer)
    assert found.words[0].speaker == hex0x(STRANGER.address)
    assert not found.words[0].registered
    assert all((row.count, row.others, row.bound) == (0, 1, None) for row in found.records)
    assert "1 other speaker" in found.sentence


async def test_a_label_inherits_nothing(
    exploring: ExplorerFixture, restarted: Callable[[ExplorerFixture], ExplorerFixture]
) -> None:
    """Of each artifact its own record, from where it begins; where the label points elsewhere it begins
    anew, and a new explorer over the same rows knows the same.
    """
    net = exploring.net
    net.register(net.reviewers[0])
    at = net.add(net.receipt_entry(net.nodes[0]))
    word = net.add(outcome(net, net.reviewers[0].key, at, Said.RIGHT, TOLD))
    thursday = net.make_manifest("2", b"another artifact", hex0x(net.manifest.digest()))
    moved = net.add(net.version(thursday))
    await exploring.witness()
    after = restarted(exploring)
    await after.witness()
    for explorer in (exploring.explorer, after.explorer):
        card = await explorer.model_card("digits")
        new, old = card.records
        assert (new.version, new.now, new.begins, new.first_word) == ("2", True, moved, -1)
        assert (old.version, old.now, old.first_word) == (net.manifest.version, False, word)
        assert said(new.record) == (0, 0, 0)
        assert said(old.record) == (1, 0, 0)
        assert [row.scope for row in old.parts] == ["node", "route"]
        assert card.quality == "unknown"
        assert "takes nothing over" in card.quality_told


async def test_what_does_not_hold_counts_nowhere(exploring: ExplorerFixture) -> None:
    """Neither a word that breaks a rule, nor one on a receipt that does."""
    net = exploring.net
    net.register(net.reviewers[0])
    bad = net.answer(net.nodes[0], charged=1)
    at = net.add(bad.entry)
    net.add(outcome(net, net.reviewers[0].key, at))
    good = net.answer(net.nodes[1])
    place = net.add(good.entry)
    net.add(outcome(net, net.nodes[1].owner, place, Said.RIGHT))
    await exploring.witness()
    for answer in (bad, good):
        assert (await page_of(exploring, answer)).words == ()
