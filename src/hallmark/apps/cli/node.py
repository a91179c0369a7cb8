"""`hallmark node`: run one inference node in the foreground; what it was paid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.node_rails import rail_words
from hallmark.apps.cli.output import clock, console, emit
from hallmark.apps.cli.services import take_over
from hallmark.compose.home import Home
from hallmark.compose.plan import known_plan
from hallmark.core.amounts import show_amount
from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import HallmarkError, InvalidInput, NotFound
from hallmark.core.money import Asset, Offer
from hallmark.http.client import Pool, Timeouts
from hallmark.services.chain.rpc import RPC
from hallmark.services.node.earnings import Earnings, read_earnings
from hallmark.services.node.offer_file import read_offer
from hallmark.services.node.rail_earnings import HostEarnings, Paid, read_paid
from hallmark.services.node.settings import Settings

T = TypeVar("T")
BLOCKS = 50_000
ASKED = Timeouts(connect=2.0, head=3.0, idle=3.0)
UNKNOWN = "The node's host does not answer, so what it has charged and not settled is not known here."


class _Settling(msgspec.Struct, frozen=True):
    next: int = 0
    unsettled: str = "0"
    too_late: str = "0"
    problem: str = ""


class _Paid(msgspec.Struct, frozen=True):
    settlement_key: str | None = None
    settlement: _Settling | None = None


class _Health(msgspec.Struct, frozen=True):
    payments: _Paid | None = None


class Shown(msgspec.Struct, frozen=True):
    """One node's earnings as they are shown; `host` and `rails` are what its host says, None when it does not
    answer, and `paid` what the chain says of the same rails.
    """

    node: str
    payee: str
    asset: Asset
    vault: str
    earnings: Earnings
    host: _Paid | None
    rails: HostEarnings | None
    paid: Paid


@click.group(invoke_without_command=True)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE")
@click.pass_context
def node(context: click.Context, /, config: Path | None) -> None:
    """Run an inference node: the host and its enclave.

    FILE holds its settings; docs/operate.md names them.
    """
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise click.UsageError("Missing option '--config'.", context)
    take_over("hallmark.services.node", config)


@node.command("serve")
@click.argument("label")
@click.option("--node", "names", multiple=True, help="Only this node (its name in the plan); repeat it.")
@click.option(
    "--store", default="", metavar="URL", help="Where the artifact is fetched; default: the home's."
)
@click.pass_obj
def serve(home_path: Path, /, *, label: str, names: tuple[str, ...], store: str) -> None:
    """Have this network's nodes serve what LABEL points to now.

    The artifact is fetched by its blob ID and computed again before it is used. Nodes start anew, one after
    the other; the next `hallmark up` serves it as well.
    """
    from hallmark.compose.serving import serve as serve_label

    out = console(stderr=True)
    done = serve_label(
        Home(home_path),
        label,
        names,
        store=store,
        say=lambda text: out.print(Text(f"  {text}", "bright_black")),
    )
    console().print(Text(f"{done.label}  version {done.version}, served by {', '.join(done.nodes)}"))
    console().print(Text(f"  {done.artifact}"))


@node.command("earnings")
@click.option("--node", "name", help="Only this node (its name in the plan).")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="A node's settings instead.")
@click.option("--blocks", type=click.IntRange(1), default=BLOCKS, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; amounts are atomic units.")
@click.pass_obj
def earnings(
    home_path: Path, /, *, name: str | None, config: Path | None, blocks: int, as_json: bool
) -> None:
    """Show what a node was paid, by each rail: the vault's settlements and collections, x402, tokens."""
    found = {str(config): config} if config is not None else _settings_of(Home(home_path), name)
    shown = asyncio.run(_shown({one: _read(path) for one, path in found.items()}, blocks))
    if as_json:
        emit(
            msgspec.json.format(msgspec.json.encode([_plain(one) for one in shown]), indent=2).decode() + "\n"
        )
        return
    for one in shown:
        _print(one)


def _settings_of(home: Home, name: str | None) -> dict[str, Path]:
    """The settings files of this home's nodes. Raises NotFound `no_network`, `node_unknown`."""
    plan = known_plan(home)
    if plan is None:
        raise NotFound("no_network", f"There is no network in {home.path}.", "Start one with: hallmark up")
    names = [each.name for each in plan.nodes if name in (None, each.name)]
    if not names:
        known = ", ".join(each.name for each in plan.nodes)
        raise NotFound("node_unknown", f"There is no node {name} in this home.", f"There are: {known}.")
    return {each: home.file("services", each, "settings.json") for each in names}


def _read(path: Path) -> Settings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput("bad_settings", f"{path} cannot be read.", "See docs/operate.md.") from error


async def _shown(found: dict[str, Settings], blocks: int) -> tuple[Shown, ...]:
    pool = Pool(timeouts=ASKED)
    try:
        return tuple([await _one(pool, name, settings, blocks) for name, settings in found.items()])
    finally:
        await pool.aclose()


async def _one(pool: Pool, name: str, settings: Settings, blocks: int) -> Shown:
    """Raises NotFound `not_paid`, and what reading the chain raises."""
    offer = _offer(name, settings)
    paid = settings.payments
    if paid is None or not paid.rpc_url or offer.asset is None or offer.vault is None:
        raise NotFound("not_paid", f"{name} takes no payments.", "Its settings name no offer or no chain.")
    told = await _asked(pool, settings, "healthz", _Health)
    rails = await _asked(pool, settings, "earnings", HostEarnings)
    if rails is not None and rails.token != offer.asset.address:
        rails = None  # of another offer than the one on disk
    rpc = RPC(paid.rpc_url)
    try:
        vault, payee = unhex(offer.vault), unhex(offer.payee)
        read = await read_earnings(rpc, vault, payee, blocks=blocks)
        issuer = unhex(rails.issuer) if rails is not None and rails.issuer else b""
        seen = range(read.first, read.last + 1)
        paid_so = await read_paid(rpc, unhex(offer.asset.address), payee, issuer, seen)
    finally:
        await rpc.aclose()
    host = told.payments if told is not None else None
    return Shown(name, offer.payee, offer.asset, offer.vault, read, host, rails, paid_so)


def _offer(name: str, settings: Settings) -> Offer:
    try:
        if settings.payments is not None:
            return read_offer(Path(settings.payments.offer).read_bytes())
    except OSError:
        pass
    raise NotFound("not_paid", f"{name} takes no payments.", "Its settings name no offer that is there.")


async def _asked(pool: Pool, settings: Settings, path: str, kind: type[T]) -> T | None:
    """What the node's host says; None when it does not answer, or knows nothing of this."""
    url = f"http://{settings.health.host}:{settings.health.port}/{path}"
    try:
        async with pool.request("GET", url) as response:
            return await response.json(kind, 1 << 20)
    except HallmarkError:
        return None


def _print(shown: Shown) -> None:
    out, read = console(), shown.earnings
    out.print(Text(f"{shown.node}: paid to {shown.payee}", "bold"))
    if shown.asset.development:
        out.print(Text(f"  {shown.asset.symbol} is development money: it is worth nothing."))
    if read.epochs or read.collections:
        out.print(_table(shown))
    else:
        out.print(Text(f"  The vault settled nothing in blocks {read.first:,} to {read.last:,}."))
    where = f"in blocks {read.first:,} to {read.last:,}"
    for sentence in (*_sums(shown, where), *rail_words(shown.rails, shown.paid, shown.asset, where)):
        out.print(Text(f"  {sentence}"))


def _table(shown: Shown) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in ("  when", "what", "accounts", "amount", "transaction"):
        right = heading in ("accounts", "amount")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    read = shown.earnings
    rows = [
        (e.block, (f"  {_when(e.at)}", "settled", str(e.accounts), e.charged, e.transaction))
        for e in read.epochs
    ]
    rows += [
        (c.block, (f"  {_when(c.at)}", "collected", "", c.amount, c.transaction)) for c in read.collections
    ]
    for _, (when, what, accounts, amount, transaction) in sorted(rows, key=lambda row: row[0]):
        table.add_row(when, what, accounts, show_amount(amount, shown.asset), hex0x(transaction))
    return table


def _when(seconds: int) -> str:
    return clock(1000 * seconds) if seconds else "-"


def _sums(shown: Shown, where: str) -> Iterable[str]:
    """Of the vault."""
    read, host, asset = shown.earnings, shown.host, shown.asset
    yield f"Earned in the vault by this payee's enclaves {where}: {show_amount(read.earned, asset)}."
    if host is not None and host.settlement_key:
        mine = read.earned_by(unhex(host.settlement_key))
        yield f"Of it by the enclave key that this node has now: {show_amount(mine, asset)}."
    yield f"Collected by the payee: {show_amount(read.collected, asset)}."
    yield f"Waiting in the vault for the payee: {show_amount(read.waiting, asset)}."
    late = sum(epoch.too_late for epoch in read.epochs)
    if late:
        yield f"{late} rows came after their lease's window and charged nothing."
    if host is None or host.settlement is None:
        yield UNKNOWN
        return
    settling = host.settlement
    after = f", due at {clock(settling.next)}" if settling.next else ""
    unsettled = show_amount(int(settling.unsettled), asset)
    yield f"Charged and not settled yet, by the host's own books: {unsettled}{after}."
    if settling.problem:
        yield f"The host says that the last settlement did not come to its end: {settling.problem}."
    if int(settling.too_late):
        late_sum = show_amount(int(settling.too_late), asset)
        yield f"Lost, because it came too late, by the host's own books: {late_sum}."


def _plain(shown: Shown) -> dict[str, Any]:
    """What is shown as JSON, its sums beside it."""
    told: dict[str, Any] = _hex(msgspec.to_builtins(shown, builtin_types=(bytes,)))
    told["earnings"] |= {"earned": shown.earnings.earned, "collected": shown.earnings.collected}
    return told


def _hex(value: Any) -> Any:
    if isinstance(value, bytes):
        return hex0x(value)
    if isinstance(value, dict):
        return {name: _hex(part) for name, part in value.items()}
    return [_hex(part) for part in value] if isinstance(value, list | tuple) else value
