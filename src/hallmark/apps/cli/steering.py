"""`hallmark steering`: whether the gateway steers, by its own route tickets and the log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.output import console, emit
from hallmark.services.sdk.gateway_watch import Judged
from hallmark.services.sdk.sync_client import Client
from hallmark.verification.wording import short

STEERED: Final = 4
"""Exit code: a ticket shows that the gateway steered."""
TICKETS: Final = 8
MOST: Final = 64
"""As many as a client keeps."""


@click.command()
@click.option("--model", default="pydoc", show_default=True, help="Ask for routes to this model.")
@click.option(
    "--tickets", "count", type=click.IntRange(1, MOST), default=TICKETS, show_default=True, help="How many."
)
@click.option("--relay", metavar="URL", help="The relay; default: the home's.")
@click.option("--relay-issuer", metavar="URL", help="Who gives tokens for a relay that wants them.")
@click.option("--trust", type=click.Path(path_type=Path), help="The trust file; default: the home's.")
@click.option("--log", metavar="URL", help="The network's log or any full node; default: the home's.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to read the log for.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.pass_obj
def steering(home: Path, /, **options: Any) -> None:
    """Ask the gateway for route tickets, sealed and through the relay, and hold them against the log.

    No question is asked. Exit code 4 when a ticket leaves a node out, or offers one, and the log says
    otherwise. Who serves the log sees that this machine reads it.
    """
    relay, trust = options["relay"], options["trust"]
    place = home if relay is None or trust is None or options["log"] is None else None
    issuer = options["relay_issuer"]
    with Client(trust=trust, home=place, privacy="sealed", relay=relay, relay_issuer=issuer) as client:
        for _ in range(options["count"]):
            client.take_ticket(options["model"])
        judged = client.steering(options["log"], options["timeout"])
    if options["as_data"]:
        data = msgspec.to_builtins(judged) | {"steered": len(judged.steered)}
        emit(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")
    else:
        _print(judged)
    if judged.steered:
        sys.exit(STEERED)


def _print(judged: Judged) -> None:
    out = console()
    for one in judged.doubted:
        whom = f"node {short(one.node)}" if one.node else "the log"
        said = f", the gateway said {one.reason}" if one.reason else ""
        style = "bold" if one.shows else "bright_black"
        out.print(Text(f"ticket {short(one.ticket)}, {whom}{said}: {one.sentence}", style=style))
    for node, (offered, of) in judged.offered.items():
        out.print(Text(f"node {short(node)} was offered in {offered} of {of} tickets", style="bright_black"))
    out.print(Text(judged.words))
