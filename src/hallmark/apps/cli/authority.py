"""`hallmark declare`: what the authority and owners of a local network say after its founding."""

from __future__ import annotations

from pathlib import Path

import click

from hallmark.apps.cli.output import console
from hallmark.compose import authority
from hallmark.compose.home import Home


@click.group()
def declare() -> None:
    """Revoke a measurement, declare a key compromised, retire a node. Each becomes an entry of the log."""


@declare.command("revoke-measurement")
@click.argument("digest")
@click.option("--reason", required=True, help="A short code, at most 32 characters.")
@click.option("--since", type=int, help="Log position from which on it counts; default: now.")
@click.pass_obj
def revoke_measurement(home: Path, /, digest: str, *, reason: str, since: int | None) -> None:
    """Stop accepting a measurement. DIGEST is of its document; the network page lists them."""
    _said(authority.revoke_measurement(Home(home), digest, reason, since))


@declare.command("compromise")
@click.argument("key")
@click.option("--reason", required=True, help="A short code, at most 32 characters.")
@click.option("--since", type=int, help="Log position from which on it counts; default: now.")
@click.pass_obj
def compromise(home: Path, /, key: str, *, reason: str, since: int | None) -> None:
    """Nobody is to believe KEY (an address) from a log position on."""
    _said(authority.declare_compromise(Home(home), key, reason, since))


@declare.command("retire")
@click.argument("node")
@click.argument("key")
@click.option("--reason", default="retired", show_default=True, help="A short code, at most 32 characters.")
@click.pass_obj
def retire(home: Path, /, node: str, key: str, *, reason: str) -> None:
    """Let KEY of NODE (its name in the plan) leave in good standing; old receipts stay as they were."""
    _said(authority.retire_node(Home(home), key, node, reason))


def _said(declared: authority.Declared) -> None:
    console().print(
        f"{declared.kind}: {declared.subject} from log position {declared.since} ({declared.reason})"
    )
