"""`hallmark upstream key`: the API keys of upstream providers, given to enclaves sealed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click
from rich.text import Text

from hallmark.apps.cli.output import console
from hallmark.compose import upstream_keys
from hallmark.compose.home import Home
from hallmark.core.errors import InvalidInput, NotFound, VerificationFailed
from hallmark.services.node.sealer import read_key

MAX_INPUT = 8192


@click.group()
def upstream() -> None:
    """Upstream providers: their API keys."""


@upstream.group()
def key() -> None:
    """Set, remove or list API keys. A key is never an argument and is never shown."""


@key.command("set")
@click.argument("label")
@click.option("--file", "source", type=click.Path(path_type=Path), help="A file that only you can read.")
@click.pass_obj
def set_key(home: Path, /, label: str, *, source: Path | None) -> None:
    """Give the upstream LABEL an API key, in place of one that it has; read from a prompt, a pipe or --file.

    It is kept in keys/ of the home, for its owner only, and sealed to the enclave of every node that runs.
    """
    upstream_keys.set_key(Home(home), label, _read(source, label))
    _deliver(Home(home), label, wanted="set")


@key.command("remove")
@click.argument("label")
@click.pass_obj
def remove_key(home: Path, /, label: str) -> None:
    """Take the API key of the upstream LABEL away, here and in every enclave that runs."""
    if not upstream_keys.remove_key(Home(home), label):
        raise NotFound("no_upstream_key", f"The upstream '{label}' has no API key here.")
    _deliver(Home(home), label, wanted="missing")


@key.command("list")
@click.pass_obj
def list_keys(home: Path, /) -> None:
    """Say which upstreams have an API key here."""
    for label, held in upstream_keys.labels(Home(home)).items():
        console().print(Text(f"{label}  {'has a key' if held else 'has no key'}"))


def read_source(path: Path) -> bytes:
    """The key in a file of the caller's. Raises InvalidInput `no_such_file`, Unauthorized `key_file_open`."""
    found = read_key(path)
    if found is None:
        raise InvalidInput("no_such_file", f"{path} cannot be read.")
    return found


def _read(source: Path | None, label: str) -> bytes:
    if source is not None:
        return read_source(source)
    if sys.stdin.isatty():
        prompted: str = click.prompt(f"API key of {label}", hide_input=True)
        return prompted.encode()
    return sys.stdin.buffer.read(MAX_INPUT)


def _deliver(home: Home, label: str, *, wanted: str) -> None:
    states = asyncio.run(upstream_keys.reseal(home, label))
    for node, state in states.items():
        console().print(Text(f"{node}  {label}: {state.state}"))
    if not states:
        console().print("Nothing runs from this home; its enclaves get it when they start.")
    wrong = [state.state for state in states.values() if state.state != wanted]
    if wrong:
        raise VerificationFailed(
            wrong[0] if wrong[0].isidentifier() else "upstream_key_refused",
            "An enclave was not given the key, or did not take it.",
            "See docs/operate.md, Upstreams.",
        )
