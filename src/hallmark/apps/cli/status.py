"""`hallmark status` and `down`, which load nothing of what starting a network needs."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import click
import msgspec
from rich.table import Table
from rich.text import Text

from hallmark.apps.cli.output import console, emit
from hallmark.compose import running
from hallmark.compose.home import Home
from hallmark.http.health import lasted


@click.command()
@click.pass_obj
def down(home_path: Path, /) -> None:
    """Stop the network."""
    stopped = running.stop(Home(home_path))
    console().print("Stopped." if stopped else "Nothing was running.")


@click.command()
@click.option(
    "--json", "as_data", is_flag=True, help="Print JSON: service name to state, reason, since, next."
)
@click.pass_obj
def status(home_path: Path, /, *, as_data: bool) -> None:
    """Show every service with its state. Exit code 0 when all are ready, 3 otherwise."""
    found = asyncio.run(running.statuses(Home(home_path)))
    if as_data:
        emit(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    elif not found:
        console().print(f"Nothing runs from {home_path}.")
    else:
        table = Table(box=None, padding=(0, 3, 0, 0))
        for heading in ("service", "state", "address", "restarts", "reason"):
            right, folded = heading == "restarts", heading == "reason"
            table.add_column(
                heading, justify="right" if right else "left", no_wrap=not folded, overflow="fold"
            )
        for name, service in found.items():
            row = (name, service.state, service.url, str(service.restarts), service.reason)
            table.add_row(*map(Text, row))
        console().print(table)
        for name, service in found.items():
            if service.next:
                said = (_lasting(service.since), service.told, service.next)
                console().print(Text(f"{name}: {' '.join(filter(None, said))}"))
    sys.exit(0 if found and all(service.state == "ready" for service in found.values()) else 3)


def _lasting(since: int) -> str:
    return f"For {lasted(time.time_ns() // 1_000_000 - since)}." if since else ""
