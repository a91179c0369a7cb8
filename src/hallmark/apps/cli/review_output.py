"""What `hallmark review` and `hallmark policy` share: connecting with a key, printing what the desk shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.key_files import named_key, read_key
from hallmark.apps.cli.output import clock, console, emit, marks_in_full, strike
from hallmark.core.marks import Mark, Question, State
from hallmark.core.shown import ShownMark
from hallmark.services.review.views import AsSeen, Figures, ItemPage, QueuePage
from hallmark.services.sdk.network import find
from hallmark.services.sdk.review_client import ReviewClient

T = TypeVar("T")


def connect(home: Path, url: str | None, name: str | None, key_file: Path | None) -> ReviewClient:
    """A client of the desk. Raises InvalidInput `no_network`, `no_such_key`, `bad_key_file`."""
    place = find(url, None, None if url else home)
    path = key_file or (named_key(home, name) if name else None)
    return ReviewClient(place.base_url, read_key(path) if path else None)


def show(value: T, options: dict[str, Any], printer: Callable[[T], None]) -> None:
    """Print as JSON or in words."""
    if options["as_json"]:
        emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    else:
        printer(value)


def mark_of(shown: ShownMark) -> Mark:
    """The mark behind what the desk shows of it."""
    return Mark(
        Question(shown.question),
        State(shown.state),
        shown.since,
        shown.by,
        bytes.fromhex(shown.evidence.removeprefix("0x")),
        shown.shows,
        shown.does_not_show,
        shown.reason,
        shown.assurance,
        shown.detail,
    )


def print_queue(page: QueuePage) -> None:
    """The queue as a table: state, marks, what holds the item, value, since when."""
    out = console()
    out.print(f"{page.total} items")
    for count in page.reasons:
        out.print(f"  {count.count:>6}  {count.name}  {count.sentence}")
    for row in page.rows:
        line = Text(f"\n{row.state:<9}", style="bold")
        line.append_text(Text(" ").join([strike(mark_of(mark)) for mark in row.marks]))
        about = [row.model or "no label", f"value {row.value}", f"born {clock(row.born)}"]
        about += [f"class {row.klass}"] if row.klass else []
        about += [f"due {clock(row.due)}{', past' if row.overdue else ''}"] if row.due else []
        about += [f"missed its promise {clock(row.missed)}"] if row.missed and not row.overdue else []
        line.append("  " + ", ".join(about))
        out.print(line, soft_wrap=True)
        out.print(Text(f"         {row.id}  {', '.join(row.reasons)}"), soft_wrap=True)
    if page.next:
        out.print(f"More: --cursor {page.next}", soft_wrap=True)


def print_item(page: ItemPage) -> None:
    """One item in words."""
    out, row = console(), page.row
    out.print(Text(f"{row.state}   {page.sentence}", style="bold"))
    if row.released_until:
        out.print(f"Released under break-glass until {clock(row.released_until)}; it stays {row.state}.")
    if row.missed:
        out.print(f"Missed the promise to decide by {clock(row.missed)}.")
    for lack in page.lacks:
        out.print(f"  {lack.question}: {lack.sentence} ({lack.reason})")
        out.print(f"      {lack.who}: {lack.next}" + (f" By {clock(lack.due)}." if lack.due else ""))
    out.print()
    out.print(marks_in_full({mark.question: mark for mark in map(mark_of, row.marks)}))
    for fact in page.facts:
        out.print(f"{fact.name:<18} {fact.value}", soft_wrap=True)
    out.print()
    for moment in page.timeline:
        out.print(f"{moment.gap:>+12,} ms  {moment.kind:<10} {moment.text}", soft_wrap=True)
    for said in page.reviews:
        told = f"review by {said.name or said.reviewer}: {said.judgement} ({said.reason}) {said.comment}"
        out.print(Text(f"{told} {said.answer}".rstrip()), soft_wrap=True)
    for decision in page.decisions:
        out.print(f"decision {decision.number}: {decision.outcome} by {decision.by}, {clock(decision.at)}")


def print_seen(seen: AsSeen) -> None:
    """A screen as it was, beside today's."""
    out = console()
    out.print(Text(seen.sentence, style="bold"))
    out.print(
        "The stored screen " + ("has" if seen.holds else "does NOT have") + " the digest of the decision."
    )
    if seen.answer:
        out.print(seen.answer)
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("mark", f"decision {seen.number}, {clock(seen.at)}", f"now, {clock(seen.now_at)}"):
        table.add_column(heading)
    for then, now in zip(seen.then, seen.now, strict=True):
        table.add_row(then.question, _word(then), _word(now))
    out.print(table)


def print_figures(figures: Figures) -> None:
    """Aggregates, a line each."""
    for name, value in msgspec.structs.asdict(figures).items():
        if isinstance(value, int):
            console().print(f"{name.replace('_', ' '):<28} {value:>10,}")
    for count in figures.hold_reasons:
        console().print(f"  {count.count:>6}  {count.name}  {count.sentence}")


def _word(mark: ShownMark) -> str:
    assurance = f", {mark.assurance}" if mark.assurance == "simulated" else ""
    return mark.state.replace("_", " ") + assurance + (f" ({mark.reason})" if mark.reason else "")
