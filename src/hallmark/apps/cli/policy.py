"""`hallmark policy`: clearing policies as files. Read, try, propose; as the authority, bring into force."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hallmark.apps.cli.output import console
from hallmark.apps.cli.review_output import connect, show
from hallmark.compose import authority
from hallmark.compose.home import Home
from hallmark.core.errors import InvalidInput
from hallmark.core.policy import Decision, Outcome
from hallmark.review.files import read_policy
from hallmark.services.review.views import DryRun, PolicyPage, PolicyRow
from hallmark.services.sdk.verifying import Verifier
from hallmark.verification.dossier import Dossier

DAY = 86_400_000


@click.group()
def policy() -> None:
    """Clearing policies: when an item may be cleared."""


@policy.command("list")
@click.option("--url", help="The gateway's address; default: the local network's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_policies(home: Path, /, *, url: str | None, **options: Any) -> None:
    """List the policies in force and those proposed."""

    async def work() -> tuple[PolicyRow, ...]:
        async with connect(home, url, None, None) as desk:
            return await desk.policies()

    show(asyncio.run(work()), options, _print_rows)


@policy.command("show")
@click.argument("name")
@click.option("--url", help="The gateway's address; default: the local network's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_policy(home: Path, /, name: str, *, url: str | None, **options: Any) -> None:
    """Show the policy NAME: what it requires, its versions, its file."""

    async def work() -> PolicyPage:
        async with connect(home, url, None, None) as desk:
            return await desk.policy(name)

    show(asyncio.run(work()), options, _print_page)


@policy.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("dossiers", nargs=-1, type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(0, 3650), default=7, show_default=True, help="How far back.")
@click.option("--trust", type=click.Path(path_type=Path), help="The trust file, for saved receipts.")
@click.option("--url", help="The gateway's address; default: the local network's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def test(home: Path, /, file: Path, dossiers: tuple[Path, ...], *, days: int, **options: Any) -> None:
    """Try the policy in FILE: on saved receipts offline, or on the desk's past items.

    With DOSSIERS each is verified here and judged; exit code 1 when one of them is held. Without any, the
    desk judges its items of the last days again and says what would have come out differently. Nothing
    changes.
    """
    text = _read(file)
    if dossiers:
        _offline(home, text, dossiers, options)
        return

    async def work() -> DryRun:
        async with connect(home, options["url"], None, None) as desk:
            return await desk.dry_run(text, time.time_ns() // 1_000_000 - days * DAY if days else 0)

    show(asyncio.run(work()), options, _print_run)


@policy.command("propose")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", default="", help="Why.")
@click.option("--url", help="The gateway's address; default: the local network's.")
@click.option("--as", "name", help="Whose key of this home signs in.")
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="A key file: 64 hex digits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def propose(home: Path, /, file: Path, *, text: str, **options: Any) -> None:
    """Ask the authority to bring the policy in FILE into force."""
    toml = _read(file)

    async def work() -> PolicyRow:
        async with connect(home, options["url"], options["name"], options["key_file"]) as desk:
            return await desk.propose(toml, text)

    show(asyncio.run(work()), options, lambda row: _print_rows((row,)))


@policy.command("sign")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def sign(home: Path, /, file: Path) -> None:
    """As the authority of the local network, bring the policy in FILE into force. It becomes a log entry."""
    declared = authority.enact_policy(Home(home), read_policy(_read(file)))
    console().print(f"{declared.kind}: {declared.subject} from log position {declared.since}")


def _offline(home: Path, text: str, dossiers: Sequence[Path], options: dict[str, Any]) -> None:
    verifier = Verifier.read(options["trust"] or home / "trust.toml")
    candidate, now = read_policy(text), time.time_ns() // 1_000_000
    found: dict[str, Decision] = {}
    for path in dossiers:
        verified = verifier.verify(Dossier.parse(_bytes(path)), now)
        found[str(path)] = verified.judge(candidate)
    for name, decision in found.items():
        lacks = ", ".join(f"{s.question.value}:{s.reason}" for s in (*decision.failed, *decision.missing))
        console().print(f"{decision.outcome.value:<6} {name}  {decision.sentence()}  {lacks}", soft_wrap=True)
    if any(decision.outcome is Outcome.HOLD for decision in found.values()):
        raise click.exceptions.Exit(1)


def _print_rows(rows: tuple[PolicyRow, ...]) -> None:
    for row in rows:
        console().print(f"{row.name} version {row.version}  {row.enforcement}  by {row.source}  {row.digest}")
        console().print(f"    {row.sentence}")


def _print_page(page: PolicyPage) -> None:
    _print_rows((page.row,))
    for need in page.requires:
        console().print(f"  {need.question:<9} {need.state:<10} {need.sentence}")
    console().print(f"  not required: {', '.join(page.not_required) or 'nothing'}")
    console().print(f"  held now: {page.held_now}, clear now: {page.cleared_now}")


def _print_run(run: DryRun) -> None:
    console().print(run.sentence)
    for count in run.reasons:
        console().print(f"  {count.count:>6}  {count.name}  {count.sentence}")
    for name, examples in (("held", run.held_examples), ("released", run.cleared_examples)):
        for example in examples:
            console().print(f"  would be {name}: {example}")


def _read(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("bad_policy", f"{path} is not text.") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{path} cannot be read.") from error
