"""`hallmark review`: the review desk from a terminal. Equal to the pages; nothing here can clear an item."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from hallmark.apps.cli.output import console
from hallmark.apps.cli.review_output import (
    connect,
    print_figures,
    print_item,
    print_queue,
    print_seen,
    show,
)
from hallmark.apps.cli.saved_receipt import Opened, opened, printable, text_of
from hallmark.core.errors import InvalidInput
from hallmark.services.review import actions
from hallmark.services.review.views import SavedView
from hallmark.services.sdk.review_client import JUDGEMENTS, ReviewClient

T = TypeVar("T")
HOUR = 3_600_000
F = Callable[..., Any]
WHOSE = ("node", "model", "requester", "assigned")
SWITCHES = ("overdue", "missed", "sampled", "appealed", "released")


def _at_desk(function: F) -> F:
    """The options of every command: which desk, whose key, in which form."""
    for option in (
        click.option("--url", help="The gateway's address; default: the local network's."),
        click.option("--as", "name", help="Whose key of this home: reviewer-1, node-1-owner, ..."),
        click.option("--key", "key_file", type=click.Path(path_type=Path), help="A key file: 64 hex digits."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        function = option(function)
    return click.pass_obj(function)


def _with(home: Path, options: dict[str, Any], work: Callable[[ReviewClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with connect(home, options["url"], options["name"], options["key_file"]) as desk:
            return await work(desk)

    return asyncio.run(run())


@click.group()
def review() -> None:
    """The review queue: items, decisions, reviews. Only the evaluator clears an item."""


@review.command("list")
@click.option("--state", default="HOLD", show_default=True, help="HOLD, CLEAR, FINAL, REJECTED, or all.")
@click.option("--reason", default="", help="What holds the item, first or last, as <question>:<code>.")
@click.option("--class", "klass", default="", help="Class of risk.")
@click.option("--min-value", type=int, default=0, help="Least value at risk, in atomic units.")
@click.option("--node", default="", help="Address of the node's key.")
@click.option("--model", default="", help="Label of the model.")
@click.option("--requester", default="", help="Address of whoever asked.")
@click.option("--assigned", default="", help="Address of who has it, or none.")
@click.option("--overdue", is_flag=True, help="Only those in HOLD past their time.")
@click.option("--missed", is_flag=True, help="Only those that missed a promise, whatever became of them.")
@click.option("--sampled", is_flag=True, help="Only cleared items that are looked at again.")
@click.option("--appealed", is_flag=True, help="Only those with an open appeal.")
@click.option("--released", is_flag=True, help="Only those released under break-glass now.")
@click.option("--order", default="", help="age, newest, value or due.")
@click.option("--cursor", default="", help="Where the page before ended.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@_at_desk
def list_items(home: Path, /, *, state: str, klass: str, limit: int, **options: Any) -> None:
    """List the queue under a filter."""
    filters: dict[str, str | int] = {
        "state": "" if state == "all" else state.upper(),
        "class": klass,
        **{name: options[name] for name in ("reason", "min_value", "order", *WHOSE)},
        **{name: int(options[name]) for name in SWITCHES},
    }
    page = _with(home, options, lambda desk: desk.queue(filters, cursor=options["cursor"], limit=limit))
    show(page, options, print_queue)


@review.command("show")
@click.argument("item")
@_at_desk
def show_item(home: Path, /, item: str, **options: Any) -> None:
    """Show one item: what holds it, who can mend that, its marks, its history."""
    show(_with(home, options, lambda desk: desk.item(item)), options, print_item)


@review.command("as-seen")
@click.argument("item")
@click.option("--number", type=int, default=0, help="Which decision; default: the newest.")
@_at_desk
def as_seen(home: Path, /, item: str, *, number: int, **options: Any) -> None:
    """Show the marks as they were at a decision, beside today's."""
    show(_with(home, options, lambda desk: desk.as_seen(item, number)), options, print_seen)


@review.command("open")
@click.argument("item")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def open_item(item: str, file: Path, as_json: bool) -> None:
    """Show the request and the answer that FILE holds, if they are those of ITEM's receipt. Asks nobody."""
    show(opened(item, file), {"as_json": as_json}, _print_opened)


@review.command("figures")
@_at_desk
def figures(home: Path, /, **options: Any) -> None:
    """Show the desk's aggregates."""
    show(_with(home, options, lambda desk: desk.figures()), options, print_figures)


@review.command("sign-in")
@_at_desk
def sign_in(home: Path, /, **options: Any) -> None:
    """Print a link that signs a browser in with your key, once, within five minutes."""
    link = _with(home, options, lambda desk: desk.sign_in_link())
    show({"link": link}, options, lambda told: console().print(told["link"], soft_wrap=True))


@review.command("judge")
@click.argument("item")
@click.argument("judgement", type=click.Choice(tuple(JUDGEMENTS)))
@click.option("--reason", required=True, help="A reason code, at most 32 characters.")
@click.option("--comment", default="", help="Told to the subject.")
@click.option("--internal", default="", help="Never told to the subject.")
@click.option(
    "--opened",
    "file",
    type=click.Path(path_type=Path),
    help="The saved receipt that you have open: the review then says that the answer was open.",
)
@_at_desk
def judge(
    home: Path, /, item: str, judgement: str, *, reason: str, file: Path | None, **options: Any
) -> None:
    """Sign a review of what the desk shows of ITEM now, and hand it in. It becomes an entry of the log."""
    texts = {"comment": options["comment"], "internal": options["internal"]}
    with_answer = file is not None and bool(opened(item, file))
    row = _with(home, options, lambda desk: desk.review(item, judgement, reason, opened=with_answer, **texts))
    show(row, options, lambda r: console().print(f"Review handed in. The item stands at {r.state}."))


@review.command("declare")
@click.argument("item")
@click.option("--class", "klass", default="", help="Class of risk.")
@click.option("--value", type=int, help="Value at risk, in atomic units; may only rise.")
@click.option("--requester", default="", help="Address of whoever asked.")
@_at_desk
def declare(home: Path, /, item: str, *, klass: str, value: int | None, **options: Any) -> None:
    """Say what ITEM is about. A declaration may only tighten."""
    _act(home, options, item, "declare", actions.DeclareRequest(klass, value, options["requester"]))


@review.command("assign")
@click.argument("item")
@click.option("--to", default="", help="A reviewer's address; empty gives the item back.")
@_at_desk
def assign(home: Path, /, item: str, *, to: str, **options: Any) -> None:
    """Give ITEM to a reviewer, or back to the queue."""
    _act(home, options, item, "assign", actions.AssignRequest(to))


@review.command("comment")
@click.argument("item")
@click.option("--comment", default="", help="Told to the subject.")
@click.option("--internal", default="", help="Never told to the subject.")
@_at_desk
def comment(home: Path, /, item: str, *, comment: str, internal: str, **options: Any) -> None:
    """Remark on ITEM without judging it."""
    _act(home, options, item, "comment", actions.CommentRequest(comment, internal))


@review.command("appeal")
@click.argument("item")
@click.argument("text")
@_at_desk
def appeal(home: Path, /, item: str, text: str, **options: Any) -> None:
    """Ask, as the node's owner or the requester, that ITEM be looked at again."""
    _act(home, options, item, "appeal", actions.AppealRequest(text))


@review.command("answer-appeal")
@click.argument("item")
@click.argument("text")
@click.option("--upheld/--dismissed", required=True, help="Whether the appeal is right.")
@_at_desk
def answer_appeal(home: Path, /, item: str, text: str, *, upheld: bool, **options: Any) -> None:
    """Answer the open appeal of ITEM."""
    _act(home, options, item, "answer-appeal", actions.AnswerAppealRequest(text, upheld))


@review.command("release")
@click.argument("item")
@click.option("--reason", required=True, help="A reason code.")
@click.option("--text", required=True, help="Why, in words; everybody will read it.")
@click.option("--hours", type=click.FloatRange(0.01, 24), default=1.0, show_default=True)
@_at_desk
def release(home: Path, /, item: str, *, reason: str, text: str, hours: float, **options: Any) -> None:
    """Break glass: ITEM stays HOLD, and you answer by name for its use until then."""
    until = time.time_ns() // 1_000_000 + int(hours * HOUR)
    _act(home, options, item, "release", actions.ReleaseRequest(reason, text, until))


@review.command("reject")
@click.argument("item")
@click.option("--reason", required=True, help="A reason code.")
@click.option("--comment", default="", help="Told to the subject.")
@click.option("--internal", default="", help="Never told to the subject.")
@_at_desk
def reject(home: Path, /, item: str, *, reason: str, comment: str, internal: str, **options: Any) -> None:
    """End ITEM, which is in HOLD."""
    _act(home, options, item, "reject", actions.RejectRequest(reason, comment, internal))


@review.command("bulk")
@click.argument("act", type=click.Choice(("assign", "reject", "comment")))
@click.argument("items", nargs=-1, required=True)
@click.option("--held-for", required=True, help="The one reason that holds all of them, <question>:<code>.")
@click.option("--to", default="", help="assign: a reviewer's address.")
@click.option("--reason", default="", help="reject: a reason code.")
@click.option("--comment", default="", help="reject, comment: told to the subjects.")
@_at_desk
def bulk(home: Path, /, act: str, items: tuple[str, ...], *, held_for: str, **options: Any) -> None:
    """One act on many ITEMS that are all held for the same reason."""
    acts: dict[str, Any] = {
        "assign": lambda: actions.AssignRequest(options["to"]),
        "reject": lambda: actions.RejectRequest(options["reason"], options["comment"]),
        "comment": lambda: actions.CommentRequest(options["comment"]),
    }
    if act == "reject" and not options["reason"]:
        raise InvalidInput("reason_missing", "Rejecting needs a reason code.", "Give one with --reason.")
    request = actions.BulkRequest(held_for, items, **{act: acts[act]()})
    done = _with(home, options, lambda desk: desk.call("POST", "/bulk", actions.BulkDone, request))
    show(done, options, _print_bulk)


@review.command("views")
@click.option("--save", "saved", help="Name under which to keep a filter.")
@click.option("--query", default="state=HOLD", show_default=True, help="The filter, as in a page's address.")
@click.option("--shared", is_flag=True, help="For everybody.")
@_at_desk
def views(home: Path, /, *, saved: str | None, query: str, shared: bool, **options: Any) -> None:
    """List the saved views, or save one."""
    if saved:
        request = actions.SaveViewRequest(saved, query, shared)
        kept = _with(home, options, lambda desk: desk.call("POST", "/views", SavedView, request))
        show((kept,), options, _print_views)
        return
    show(_with(home, options, lambda desk: desk.queue(limit=1)).views, options, _print_views)


def _act(home: Path, options: dict[str, Any], item: str, verb: str, request: object) -> None:
    row = _with(home, options, lambda desk: desk.act(item, verb, request))
    show(row, options, lambda r: console().print(f"Done. The item stands at {r.state}."))


def _print_views(found: tuple[SavedView, ...]) -> None:
    for view in found:
        console().print(f"{view.name}   {view.query}   {'yours' if view.owner else 'everybody'}")


def _print_opened(found: Opened) -> None:
    out = console()
    out.print("The digests are those of the item's receipt.")
    texts = [(f"Request to {found.path}", found.request), ("Answer", found.answer)]
    said = text_of(found.answer)
    for name, text in [*texts, ("Answer, its text alone", said)] if said else texts:
        out.print(Text(f"\n{name}", style="bold"))
        out.print(Text(printable(text)), soft_wrap=True)


def _print_bulk(done: actions.BulkDone) -> None:
    console().print(f"Done to {len(done.done)}.")
    for item, reason in done.refused.items():
        console().print(f"  refused {item}: {reason}")
