"""`hallmark wallet`: a payer's key, its account in the vault, and what was spent."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.ask import client_of
from hallmark.apps.cli.output import console, emit
from hallmark.apps.cli.wallet_tokens import tokens
from hallmark.core.amounts import show_amount
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.core.money import Asset
from hallmark.services.chain.vault import EVERYTHING
from hallmark.services.sdk.chain_account import Balance
from hallmark.services.sdk.sync_client import Client
from hallmark.services.sdk.wallet import Wallet

DEVELOPMENT = "This is development money: it is worth nothing anywhere."
as_json = click.option("--json", "as_data", is_flag=True, help="Print JSON.")


@click.group()
def wallet() -> None:
    """A wallet that pays for answers: make one, fill its account, take money back."""


@wallet.command()
@as_json
@click.pass_obj
def new(home: Path, /, *, as_data: bool) -> None:
    """Make a wallet in this home.

    It is one file: who has it has the money, and without it the money is gone.
    """
    made = Wallet.new(home)
    if as_data:
        _print({"address": made.address, "file": str(made.path)})
        return
    console().print(Text(f"address   {made.address}\nkept in   {made.path}, for you alone; keep a copy"))
    console().print(Text("Next: hallmark wallet fund (development money), hallmark wallet deposit 5.00"))


@wallet.command()
@as_json
@click.pass_obj
def balance(home: Path, /, *, as_data: bool) -> None:
    """Show what the wallet has, what is in its account, and how much of that enclaves have leased."""
    with _client(home) as client:
        found = client.balance()
        payer = client.wallet.address
    if as_data:
        _print(_balance_json(found, payer))
        return
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    said = _meanings(found)
    for name, amount in found.words().items():
        table.add_row(Text(name), Text(amount, justify="right"), Text(said[name], "bright_black"))
    console().print(Text(f"payer  {payer}"))
    console().print(table)
    if found.hidden:
        console().print(Text(f"{found.hidden} more leases are open that are not known here.", "yellow"))
    _say_others(found)
    _say_development(found.asset)


@wallet.command()
@click.argument("amount")
@as_json
@click.pass_obj
def deposit(home: Path, /, amount: str, *, as_data: bool) -> None:
    """Put AMOUNT of the wallet's tokens into its account in the vault, such as 5.00."""
    with _client(home) as client:
        transaction = client.deposit(amount)
        found = client.balance()
    if as_data:
        _print({"transaction": hex0x(transaction), **_balance_json(found)})
        return
    console().print(
        Text(f"deposited; the account has {found.words()['deposited']}, {found.words()['free']} free")
    )
    _say_development(found.asset)


@wallet.command()
@click.argument("amount", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything that is not charged.")
@click.option("--finish", is_flag=True, help="Have what was asked back paid out, once its time has come.")
@click.option("--cancel", is_flag=True, help="Ask nothing back any more.")
@as_json
@click.pass_obj
def withdraw(
    home: Path, /, amount: str | None, *, everything: bool, finish: bool, cancel: bool, as_data: bool
) -> None:
    """Ask AMOUNT (or --all) back from the account; after the vault's delay --finish pays it to the wallet.

    The delay lets every lease end first. Nobody has to agree.
    """
    if sum((amount is not None, everything, finish, cancel)) != 1:
        raise InvalidInput(
            "bad_withdrawal",
            "Say one of: an amount, --all, --finish, --cancel.",
            "hallmark wallet withdraw 1.50",
        )
    with _client(home) as client:
        if finish:
            paid = client.finish_withdrawal()
            found = client.balance()
            asset = found.asset
            told, data = f"{show_amount(paid, asset)} came back to the wallet", {"paid": str(paid)}
        else:
            asked = client.withdraw("0" if cancel else amount)
            found = client.balance()
            asset = found.asset
            what = "everything" if asked.amount == EVERYTHING else show_amount(asked.amount, asset)
            told = f"{what} is asked back, payable from {_moment(asked.ready_at)} with --finish"
            told = "nothing is asked back any more" if cancel else told
            data = {"asked": str(asked.amount), "ready_at": str(asked.ready_at)}
    if as_data:
        _print(data)
        return
    console().print(Text(told))
    _say_others(found)
    _say_development(asset)


@wallet.command()
@click.option("--most", type=click.IntRange(1), default=20, show_default=True, help="How many of each.")
@as_json
@click.pass_obj
def history(home: Path, /, most: int, *, as_data: bool) -> None:
    """Show what happened to the account on the chain, and what this home paid for requests."""
    with _client(home) as client:
        found = client.history(most)
        asset = client.balance().asset
    if as_data:
        _print(msgspec.to_builtins(found))
        return
    out = console()
    movements = _table("on the chain", "", "amount", "with")
    for one in found.movements:
        movements.add_row(
            Text(_moment(one.at)), Text(one.kind), Text(show_amount(one.amount, asset)), Text(one.party)
        )
    payments = _table("requests", "model", "charged", "at most", "receipt")
    for paid in found.payments:
        charged = "not known" if paid.charged is None else show_amount(paid.charged, asset)
        payments.add_row(
            Text(_moment(paid.at // 1000)),
            Text(paid.model),
            Text(charged),
            Text(show_amount(paid.maximum, asset)),
            Text(paid.receipt[:18]),
        )
    out.print(movements)
    out.print(payments)
    _say_development(asset)


@wallet.command()
@click.argument("amount", default="100")
@as_json
@click.pass_obj
def fund(home: Path, /, amount: str, *, as_data: bool) -> None:
    """Make AMOUNT of development money for the wallet, where the chain is a development chain."""
    with _client(home) as client:
        units = client.fund(amount)
        found = client.balance()
    if as_data:
        _print({"made": str(units), **_balance_json(found)})
        return
    console().print(Text(f"made {show_amount(units, found.asset)}; the wallet has {found.words()['wallet']}"))
    _say_development(found.asset)


wallet.add_command(tokens)


def _client(home: Path) -> Client:
    return client_of(home, None, None)


def _meanings(found: Balance) -> Mapping[str, str]:
    ready = f"payable from {_moment(found.ready_at)}" if found.ready_at else "nothing is asked back"
    return {
        "wallet": "outside the vault",
        "deposited": "in the vault",
        "free": "of it, in no lease",
        "leased": "of it, held for answers; what they do not cost comes back",
        "withdrawing": f"of it, asked back; {ready}",
        "spent": "paid to nodes' owners so far",
    }


def _balance_json(found: Balance, payer: str = "") -> dict[str, Any]:
    names = ("wallet", "deposited", "free", "leased", "withdrawing", "spent")
    amounts = {name: str(getattr(found, name)) for name in names}
    asset = msgspec.to_builtins(found.asset)
    return {
        **({"payer": payer} if payer else {}),
        **amounts,
        "ready_at": found.ready_at,
        "hidden": found.hidden,
        "others": [
            {
                "vault": one.address,
                "put": str(one.put),
                "back": str(one.back),
                "free": None if one.free is None else str(one.free),
                "reason": one.reason,
            }
            for one in found.others
        ],
        "asset": asset,
    }


def _say_others(found: Balance) -> None:
    for one in found.others:
        console().print(Text(one.words, "yellow"))


def _say_development(asset: Asset) -> None:
    if asset.development:
        console().print(Text(DEVELOPMENT, "yellow"))


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _moment(seconds: int) -> str:
    if not seconds:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print(value: Any) -> None:
    emit(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
