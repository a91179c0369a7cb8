"""`hallmark offer`: what the nodes of this network ask for answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.output import clock, console, emit
from hallmark.compose import owner_terms
from hallmark.compose.home import Home
from hallmark.compose.owner_terms import Change
from hallmark.compose.plan import load_plan
from hallmark.compose.supervisor import snapshot
from hallmark.core.amounts import parse_amount, show_amount
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.money import Asset, FreeUse, Offer, Price
from hallmark.http.client import Pool

PRICES = ("--in", "--out", "--call", "--image", "--second")


class _Told(msgspec.Struct, frozen=True):
    """What the gateway tells of one offer."""

    owner: str
    asset: Asset | None
    vault: str | None
    prices: tuple[Price, ...]
    free: FreeUse
    since: int
    until: int
    digest: str
    position: int


class _Listed(msgspec.Struct, frozen=True):
    offers: tuple[_Told, ...]


class Shown(msgspec.Struct, frozen=True):
    """One node's offer as it is shown; `position` is its place in the log, None where only the home told."""

    node: str
    asset: Asset | None
    vault: str | None
    prices: tuple[Price, ...]
    free: FreeUse
    since: int
    until: int
    digest: str
    position: int | None = None


@click.group()
def offer() -> None:
    """What answers cost: prices, and what is free. Each offer is its node's owner's, signed, in the log."""


@offer.command("show")
@click.option("--node", "name", help="Only this node (its name in the plan).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_offers(home_path: Path, /, *, name: str | None, as_json: bool) -> None:
    """Show the offers in force, from the log; where no network runs, what this home said last."""
    home = Home(home_path)
    shown = _in_force(home) or _said(home)
    if name is not None:
        shown = tuple(one for one in shown if one.node == name)
        if not shown:
            raise NotFound("no_offer", f"{name} has no offer in force.", "See `hallmark offer show`.")
    if as_json:
        emit(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
        return
    for one in shown:
        _print(one)


@offer.command("set")
@click.option("--node", "name", required=True, help="The node (its name in the plan).")
@click.option("--model", "label", help="The model whose price is set; its price is all of what follows.")
@click.option("--in", "tokens_in", metavar="AMOUNT", help="For a million tokens read, for example 0.15.")
@click.option("--out", "tokens_out", metavar="AMOUNT", help="For a million tokens written.")
@click.option("--call", metavar="AMOUNT", help="For each call.")
@click.option("--image", metavar="AMOUNT", help="For each image.")
@click.option("--second", metavar="AMOUNT", help="For each started second of work.")
@click.option("--free-in", type=click.IntRange(0), help="Free up to so many bytes read; with --free-out.")
@click.option("--free-out", type=click.IntRange(0), help="Free up to so many tokens written; with --free-in.")
@click.option("--free-model", "free_models", multiple=True, metavar="LABEL", help="This model becomes free.")
@click.option("--paid-model", "paid_models", multiple=True, metavar="LABEL", help="It ceases to be.")
@click.pass_obj
def set_offer(
    home_path: Path,
    /,
    *,
    name: str,
    label: str | None,
    free_in: int | None,
    free_out: int | None,
    free_models: tuple[str, ...],
    paid_models: tuple[str, ...],
    **amounts: str | None,
) -> None:
    """Change a node's offer, from now on. A request that runs keeps the offer that it began under."""
    if (free_in is None) is not (free_out is None):
        raise InvalidInput("bad_free_use", "--free-in and --free-out belong together.", "Both 0: nothing.")
    small = (free_in, free_out) if free_in is not None and free_out is not None else None
    price = _price(Home(home_path), name, label, amounts)
    change = Change(price, small, free_models, paid_models)
    if change == Change():
        raise InvalidInput("nothing_to_set", "Nothing is to be changed.", "See hallmark offer set --help.")
    said = owner_terms.change_offer(Home(home_path), name, change)
    _print(_shown(said))
    when = "The log has it; it counts for requests that begin from now on."
    console().print(when if said.running else "Nothing runs from this home; it counts from the next start.")


def _price(home: Home, node: str, label: str | None, amounts: dict[str, str | None]) -> Price | None:
    """The price that the options name. Raises InvalidInput `bad_price` and what `parse_amount` raises."""
    given = {name: text for name, text in amounts.items() if text is not None}
    if label is None and not given:
        return None
    if label is None or not given:
        raise InvalidInput(
            "bad_price",
            "A price is of one model, and counts something.",
            f"--model with {', '.join(PRICES)}.",
        )
    decimals = _decimals(home, node)
    units = {name: parse_amount(text, decimals) for name, text in given.items()}
    fields = {"tokens_in": "million_tokens_in", "tokens_out": "million_tokens_out"}
    return Price(label, **{fields.get(name, name): value for name, value in units.items()})


def _decimals(home: Home, node: str) -> int:
    """Of the asset that the node's offer is in. Raises NotFound `no_offer`."""
    for said in owner_terms.said_offers(home):
        if said.node == node and said.offer.asset is not None:
            return said.offer.asset.decimals
    raise NotFound("no_offer", f"{node} has no offer yet.", "The next `hallmark up` makes one.")


def _said(home: Home) -> tuple[Shown, ...]:
    return tuple(_shown(said) for said in owner_terms.said_offers(home))


def _shown(said: owner_terms.Said) -> Shown:
    offer: Offer = said.offer
    return Shown(
        said.node,
        offer.asset,
        offer.vault,
        offer.prices,
        offer.free,
        offer.since,
        offer.until,
        hex0x(offer.digest()),
    )


def _in_force(home: Home) -> tuple[Shown, ...]:
    """As the gateway reads them from the log; empty when nothing runs from this home, or it does not
    answer.
    """
    if snapshot(home) is None:
        return ()
    names = owner_terms.names_by_owner(home)
    try:
        told = asyncio.run(_asked(f"http://127.0.0.1:{load_plan(home).gateway_port}/v1/hallmark/offers"))
    except HallmarkError:
        return ()
    return tuple(
        Shown(
            node=names.get(one.owner, one.owner), **{n: getattr(one, n) for n in Shown.__struct_fields__[1:]}
        )
        for one in told.offers
    )


async def _asked(url: str) -> _Listed:
    pool = Pool()
    try:
        async with pool.request("GET", url) as response:
            return await response.json(_Listed, 1 << 20)
    finally:
        await pool.aclose()


def _print(shown: Shown) -> None:
    out, place = console(), f", log position {shown.position}" if shown.position is not None else ""
    out.print(Text(f"{shown.node}: offer {shown.digest[:18]}..., until {clock(shown.until)}{place}", "bold"))
    for sentence in _free(shown.free):
        out.print(Text(f"  {sentence}"))
    if shown.asset is not None and shown.asset.development:
        out.print(Text(f"  {shown.asset.symbol} is development money: it is worth nothing."))
    out.print(_table(shown.prices, shown.asset))


def _free(free: FreeUse) -> Iterable[str]:
    if free.everything:
        yield "Everything is free."
        return
    if free.tokens_in or free.tokens_out:
        yield (
            f"Free: requests of at most {free.tokens_in:,} bytes whose answer can have at most "
            f"{free.tokens_out:,} tokens, without images."
        )
    if free.models:
        yield f"Free: {', '.join(free.models)}."
    if free == FreeUse():
        yield "Nothing is free."


def _table(prices: tuple[Price, ...], asset: Asset | None) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("  model", "million in", "million out", "call", "image", "second"):
        table.add_column(heading, justify="left" if heading == "  model" else "right")
    for price in prices:
        amounts = (price.million_tokens_in, price.million_tokens_out, price.call, price.image, price.second)
        table.add_row(Text(f"  {price.label}"), *(_amount(amount, asset) for amount in amounts))
    return table


def _amount(units: int, asset: Asset | None) -> str:
    if not units:
        return "-"
    return show_amount(units, asset) if asset is not None else f"{units:,}"
