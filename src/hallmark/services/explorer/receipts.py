"""Receipts as lines and as pages."""

from __future__ import annotations

from hallmark.core.document import hex0x
from hallmark.core.evidence import Assurance
from hallmark.core.marks import Question, State
from hallmark.core.shown import ShownMark, shown
from hallmark.services.explorer import receipt_story, wording
from hallmark.services.explorer.receipt_context import ReceiptContext, asserted_by, called, label
from hallmark.services.explorer.views import ReceiptPage, ReceiptRow
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.reasons import sentence_of
from hallmark.verification.wording import short


def row(watch: FollowedLog, told: ReceiptContext, now: int) -> ReceiptRow:
    """A receipt as a line, with its marks at `now`."""
    receipt = told.receipt
    marks = watch.judge.marks(told.index, now) if told.index >= 0 else watch.judge.claimed(told.entry, now)
    return ReceiptRow(
        id=hex0x(told.id),
        index=told.index,
        admitted=told.admitted,
        finished=receipt.finished,
        node=hex0x(receipt.node),
        model=label(watch, told),
        artifact="" if told.asserted else hex0x(receipt.artifact),
        asserted_by=asserted_by(watch, told),
        mode=wording.mode(receipt.mode),
        tokens_in=receipt.tokens_in,
        tokens_out=receipt.tokens_out,
        gap_ms=gap(watch, told),
        marks=shown(marks),
        called=called(watch, watch.replica.registry.members.get(receipt.node)),
    )


def gap(watch: FollowedLog, told: ReceiptContext) -> int:
    """From the answer's last byte, by the node's clock, to when a checkpoint that covers it was verified;
    -1: none was yet, or it was read while catching up. A node's clock that is ahead gives 0.
    """
    seen = watch.heads.first(told.index) if told.index >= 0 else None
    return max(seen.at - told.receipt.finished, 0) if seen is not None and seen.live else -1


def page(watch: FollowedLog, told: ReceiptContext, now: int) -> ReceiptPage:
    """A receipt as a page."""
    line = row(watch, told, now)
    inputs, note = receipt_story.inputs(told)
    failures = watch.replica.failures(told.index) if told.index >= 0 else ()
    return ReceiptPage(
        now=now,
        row=line,
        sentence=sentence(watch, told, line),
        facts=receipt_story.facts(watch, told),
        timeline=receipt_story.timeline(watch, told),
        route=receipt_story.route(watch, told),
        inputs=inputs,
        inputs_note=note,
        lineage=receipt_story.lineage(watch, told),
        failures=tuple(sentence_of(reason) for reason in failures),
        dossier=f"/explore/receipts/{line.id}.hallmark.json",
    )


def _said(mark: ShownMark) -> str:
    """A mark's name and state; simulated hardware is named wherever its mark is."""
    simulated = " (simulated)" if mark.assurance == Assurance.SIMULATED.value else ""
    return f"{mark.question}{simulated} {mark.state}"


def sentence(watch: FollowedLog, told: ReceiptContext, line: ReceiptRow) -> str:
    """What the page is, and the one thing that a reader must not miss about it."""
    node = f"node {line.called or short(line.node)}"
    if line.asserted_by:
        who = f"model {line.model}, asserted by {line.asserted_by}" if line.model else "a model of a provider"
        what = f"A provider's answer through {node}: {who}."
    else:
        what = f"An answer by {node} under label {line.model or 'unknown'}."
    proved = next(mark for mark in line.marks if mark.question == Question.PROVED)
    against = [mark for mark in line.marks if State(mark.state).is_negative]
    if against:
        return f"{what} Against it: {', '.join(_said(mark) for mark in against)}."
    if told.index < 0:
        return f"{what} No quorum of full nodes covers it yet; what follows the node alone says."
    if receipt_story.moved(receipt_story.lineage(watch, told)):
        what += " Its label points to another artifact now."
    return f"{what} {proved.shows}"
