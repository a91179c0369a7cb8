"""`hallmark wallet tokens`: money that nobody can link to who bought it, for sealed questions."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.ask import client_of
from hallmark.apps.cli.output import console, emit
from hallmark.core.amounts import show_amount
from hallmark.core.money import Asset
from hallmark.services.sdk.tokens import WAIT_S

as_json = click.option("--json", "as_data", is_flag=True, help="Print JSON.")
NOW = (0.0, 0.0)


@click.group()
def tokens() -> None:
    """Tokens pay for sealed questions without saying who pays: buy them, see what is left."""


@tokens.command()
@click.argument("amount")
@click.option("--now", is_flag=True, help="Let them be spent at once: who sees both moments may guess.")
@as_json
@click.pass_obj
def buy(home: Path, /, amount: str, *, now: bool, as_data: bool) -> None:
    """Buy tokens for AMOUNT of the wallet's money, such as 1.00.

    The issuer knows who buys, and cannot recognise what it sold when it is spent. Bought tokens wait for some
    minutes, a random number, before they are spent.
    """
    with client_of(home, None, None) as client:
        units = client.tokens.buy(amount, NOW if now else WAIT_S)
        held = client.tokens.balance()
    if as_data:
        _print({"bought": str(units), **_json(held)})
        return
    assert held.asset is not None
    console().print(Text(f"bought tokens for {show_amount(units, held.asset)}"))
    if held.waiting:
        console().print(Text(f"{show_amount(held.waiting, held.asset)} wait for some minutes"))
    _say_development(held.asset)


@tokens.command(name="list")
@as_json
@click.pass_obj
def list_tokens(home: Path, /, *, as_data: bool) -> None:
    """Show the tokens of this home, and what is with requests whose end is not known."""
    with client_of(home, None, None) as client:
        held, found = client.tokens.balance(), client.tokens.held()
    if as_data:
        rows = [{"worth": str(one.worth), "count": one.count, "until": one.until} for one in found]
        _print({**_json(held), "tokens": rows})
        return
    if held.asset is None:
        console().print(Text("no tokens; buy some: hallmark wallet tokens buy 1.00"))
        return
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("each worth", "how many", "to be spent before"):
        table.add_column(heading, no_wrap=True)
    for one in found:
        until = datetime.datetime.fromtimestamp(one.until / 1000, datetime.UTC).astimezone()
        table.add_row(
            Text(show_amount(one.worth, held.asset)), Text(str(one.count)), Text(f"{until:%Y-%m-%d %H:%M}")
        )
    console().print(table)
    for name in ("ready", "waiting", "away", "ended"):
        amount = getattr(held, name)
        if amount:
            console().print(Text(f"{name:<8} {show_amount(amount, held.asset)}"))
    if held.ending or held.ended:
        amount = show_amount(held.ending + held.ended, held.asset)
        console().print(
            Text(f"{amount} ends within a week or has ended, and is lost 29 days after its end.", "yellow")
        )
        console().print(Text("Get as much that lasts: hallmark wallet tokens exchange", "yellow"))
    if held.away:
        console().print(Text("What is away: hallmark wallet tokens recover", "bright_black"))
    _say_development(held.asset)


@tokens.command()
@click.option("--now", is_flag=True, help="Let them be spent at once: who sees both moments may guess.")
@as_json
@click.pass_obj
def exchange(home: Path, /, *, now: bool, as_data: bool) -> None:
    """Get new tokens for those that end within a week or ended up to 29 days ago; no money moves.

    The issuer learns that this machine's address had so many of them, and cannot recognise the new ones.
    """
    with client_of(home, None, None) as client:
        units = client.tokens.exchange(NOW if now else WAIT_S)
        held = client.tokens.balance()
    if as_data:
        _print({"exchanged": str(units), **_json(held)})
        return
    if not units or held.asset is None:
        console().print(Text("no token ends within a week"))
        return
    console().print(Text(f"exchanged tokens for {show_amount(units, held.asset)}"))
    _say_development(held.asset)


@tokens.command()
@as_json
@click.pass_obj
def recover(home: Path, /, *, as_data: bool) -> None:
    """Ask the issuer for what was bought and never came, and what became of tokens that are away.

    This tells the issuer that this machine's address spent them, though not on what.
    """
    with client_of(home, None, None) as client:
        orders = client.tokens.finish_orders()
        found = {"orders": orders, **client.tokens.recover()}
        held = client.tokens.balance()
    if as_data:
        _print({**found, **_json(held)})
        return
    console().print(
        Text(
            f"{found['orders']} purchases finished; of requests with tokens {found['good']} gave them back, "
            f"{found['spent']} were charged and their change is here, {found['held']} are not over"
        )
    )


def _json(held: Any) -> dict[str, Any]:
    names = ("ready", "waiting", "away", "ended", "ending")
    return {**{name: str(getattr(held, name)) for name in names}, "asset": msgspec.to_builtins(held.asset)}


def _say_development(asset: Asset) -> None:
    if asset.development:
        console().print(Text("This is development money: it is worth nothing anywhere.", "yellow"))


def _print(value: Any) -> None:
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
