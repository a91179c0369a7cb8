"""`hallmark models`: the models that there are, and a search among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.ask import client_of, connection
from hallmark.apps.cli.output import console, emit
from hallmark.core.errors import Unavailable


class _Row(msgspec.Struct, frozen=True):
    label: str
    task: str = ""
    artifact: str = ""
    receipts: int = 0


class _Line(msgspec.Struct, frozen=True):
    row: _Row
    place: int
    drawn: bool
    quality: str
    licence: str = ""
    modes: tuple[str, ...] = ()


class _Found(msgspec.Struct, frozen=True):
    """The part of the page of models that is printed."""

    total: int
    rows: tuple[_Line, ...]
    seed: str = ""
    seed_size: int = 0
    available_known: bool = True


@click.group(invoke_without_command=True)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@connection
@click.pass_context
def models(ctx: click.Context, /, url: str | None, trust: Path | None, *, as_data: bool) -> None:
    """List the models and how many nodes can serve each; or search among them."""
    if ctx.invoked_subcommand is not None:
        return
    with client_of(ctx.obj, url, trust) as client:
        found = client.models()
    if as_data:
        emit(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return
    table = _table("model", "task", "nodes", "artifact")
    for model in found:
        about = model.get("hallmark", {})
        artifact = about.get("artifact") or "none of ours: see who asserts it"
        table.add_row(model["id"], str(about.get("task", "")), str(about.get("nodes", "")), artifact)
    console().print(table)


@models.command()
@click.argument("words", nargs=-1)
@click.option("--task", default="", help="Such as text-classification.")
@click.option("--modality", default="", help="text, image, audio, video, table or other.")
@click.option("--licence", default="", help="As the card in the hub names it.")
@click.option("--max-size", type=int, default=0, help="Bytes of the artifact, at most.")
@click.option(
    "--max-price", default="", help="What nothing that is counted may cost more than, such as 0.05."
)
@click.option("--mode", default="", help="Answerable now in this mode: any, vanilla, tee, replay, zkml.")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@connection
@click.pass_obj
def search(
    home: Path,
    /,
    words: tuple[str, ...],
    url: str | None,
    trust: Path | None,
    *,
    limit: int,
    as_data: bool,
    **wanted: Any,
) -> None:
    """Search the models, by what is known of their answers; places that are drawn for new ones are marked."""
    asked = {"q": " ".join(words), **wanted, "max_size": wanted["max_size"] or "", "limit": limit}
    query = urlencode({name: value for name, value in asked.items() if value})
    with client_of(home, url, trust) as client:
        page = client.get_json(f"/models.json?{query}")
    if as_data:
        emit(msgspec.json.format(msgspec.json.encode(page), indent=2).decode() + "\n")
        return
    try:
        _print(msgspec.convert(page, type=_Found))
    except msgspec.ValidationError as error:
        raise Unavailable(
            "bad_page", "The page of models cannot be read.", "Is the gateway of this version?"
        ) from error


def _print(found: _Found) -> None:
    out = console()
    table = _table("place", "label", "task", "licence", "quality", "answerable now", "used by")
    for line in found.rows:
        modes = ", ".join(line.modes) or ("none" if found.available_known else "not known")
        table.add_row(
            f"{line.place}{' new' if line.drawn else ''}",
            line.row.label,
            line.row.task,
            line.licence or "not stated",
            line.quality,
            modes,
            f"{line.row.receipts:,}",
        )
    out.print(table)
    told = f"{found.total:,} found; order of this hour by seed {found.seed} (log size {found.seed_size:,})"
    out.print(Text(told, style="bright_black"), soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in ("artifact", "quality"), overflow="fold")
    return table
