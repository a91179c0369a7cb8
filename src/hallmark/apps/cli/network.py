"""`hallmark up`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from hallmark.apps.cli.demonstration import demonstrate, demonstrate_payment, questions
from hallmark.apps.cli.output import console
from hallmark.apps.cli.upstream import read_source
from hallmark.compose import preflight, running
from hallmark.compose.attended import attend
from hallmark.compose.home import Home
from hallmark.compose.plan import Offers, Pricing, load_plan
from hallmark.compose.ports import PATIENCE_S, claim_plan
from hallmark.compose.start import prepare_network
from hallmark.compose.upstream_keys import set_key
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.services.chain.toolchain import repository_root
from hallmark.verification import wording

READY_S = 120.0
# What no plain answer waits for: anchoring, the pages, money, the relay, and blobs.
LATER = frozenset(("anchor", "web", "vault", "relay", "hub"))


@click.command()
@click.option("--detach", is_flag=True, help="Return when the network is up and leave it running.")
@click.option("--no-ask", is_flag=True, help="Do not ask the first questions.")
@click.option(
    "--port", type=click.IntRange(1024, 32_600), help="First of a hundred ports; only at the first start."
)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="LABEL=URL",
    help="Also offer a model of an OpenAI-compatible server; its receipts say who asserts it.",
)
@click.option(
    "--upstream-key-file",
    "key_files",
    multiple=True,
    metavar="LABEL=FILE",
    help="The API key of an upstream, in a file that only you can read (see `hallmark upstream key`).",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="LABEL=FOLDER",
    help="Also serve the model in this folder; a label that is known gets a new version.",
)
@click.option("--paid", "pricing", flag_value="paid", help="From now on every request costs something.")
@click.option("--free", "pricing", flag_value="free", help="From now on everything is free.")
@click.option(
    "--small-free",
    "pricing",
    flag_value="small-free",
    help="From now on small requests and most tensor models are free, as at the first start.",
)
@click.pass_obj
def up(
    home_path: Path,
    /,
    *,
    detach: bool,
    no_ask: bool,
    port: int | None,
    upstreams: tuple[str, ...],
    models: tuple[str, ...],
    key_files: tuple[str, ...],
    pricing: Pricing | None,
) -> None:
    """Start a network on this machine and ask it a question.

    Two inference nodes with their enclaves, four full nodes, a log, a development chain, a gateway. The
    first start also makes what they need; state lives under --home and survives. Money is development
    money, which is worth nothing.
    """
    out, began = console(), time.monotonic()
    home = Home(home_path)
    folders = {label: str(Path(folder).resolve()) for label, folder in map(_named, models)}
    offers = Offers(dict(_pair(text) for text in upstreams), folders, pricing)
    keys = {label: read_source(Path(file)) for label, file in map(_named_key, key_files)}
    process = _start(home, port, offers, keys)
    weaker = preflight.shortcomings()
    if weaker:
        out.print(Text(f"{wording.weaker(weaker)}\n", "yellow"))
    try:
        waiting = _Waiting(home, process)
        free, paid = ((), ()) if no_ask else questions(load_plan(home).pricing)
        if free:
            waiting.until_ready(without=LATER)
            out.print(f"Answers can come after {time.monotonic() - began:.1f} s.\n")
            demonstrate(home.path, began, free)
        states = waiting.until_ready()
        out.print(f"{len(states)} services are up after {time.monotonic() - began:.1f} s.\n")
        if paid:
            demonstrate_payment(home.path, began, paid)
        _where_next(states["gateway"].url, states["relay"].url, home)
        if not detach:
            out.print("\nRunning. Ctrl-C stops the network.")
            attend(process.pid)
    except KeyboardInterrupt:
        out.print("\nStopping.")
        _end(process)
    finally:
        # A reader that went away (`up --detach | head`) does not stop a network that is up.
        problem = sys.exc_info()[1]
        if not detach or not isinstance(problem, BrokenPipeError | SystemExit | None):
            _end(process)


def _start(home: Home, port: int | None, offers: Offers, keys: dict[str, bytes]) -> subprocess.Popen[bytes]:
    """Prepare the network and start its supervisor, which takes over the held home and the claimed ports."""
    preflight.check_machine(repository_root())
    patience = PATIENCE_S if running.was_killed(home) else 0.0
    with running.hold(home) as held:
        plan, claimed = claim_plan(home, port, patience_s=patience)
        try:
            prepared = prepare_network(
                home,
                plan,
                offers=offers,
                say=lambda text: console().print(Text(f"  made  {text}", "bright_black")),
            )
            for label, key in keys.items():
                set_key(home, label, key)
            runnable = running.Runnable(prepared.first, prepared.later)
            return running.launch(home, runnable, held, claimed.descriptors)
        finally:
            claimed.close()


class _Waiting:
    """Waits for services, and prints each one once as it becomes ready."""

    def __init__(self, home: Home, process: subprocess.Popen[bytes]) -> None:
        self._home, self._process = home, process
        self._began = time.monotonic()
        self._ready: set[str] = set()

    def until_ready(self, without: frozenset[str] = frozenset()) -> dict[str, running.Status]:
        """Every service with its state, once all but `without` are ready.

        Raises Unavailable `not_ready` naming those that are not.
        """
        return asyncio.run(self._until(without))

    async def _until(self, without: frozenset[str]) -> dict[str, running.Status]:
        while True:
            running.is_over(self._process, self._home)
            states = await running.statuses(self._home)
            self._tell(states)
            missing = {name: state for name, state in states.items() if name not in self._ready | without}
            if states and not missing:
                return states
            if time.monotonic() - self._began > READY_S:
                named = "; ".join(f"{name} {state.state} {state.reason}" for name, state in missing.items())
                raise Unavailable(
                    "not_ready",
                    f"Not every service became ready: {named}.",
                    f"Logs: {self._home.path}/services",
                )
            await asyncio.sleep(0.2)

    def _tell(self, states: dict[str, running.Status]) -> None:
        for name, service in states.items():
            if service.state == "ready" and name not in self._ready:
                self._ready.add(name)
                after = time.monotonic() - self._began
                console().print(Text(f"  ready {name:<12} {service.url:<26} {after:5.1f} s"))


def _pair(text: str) -> tuple[str, str]:
    label, equals, url = text.partition("=")
    if not equals or not label or not url.startswith(("http://", "https://")):
        raise InvalidInput(
            "bad_upstream",
            f"{text!r} is not LABEL=URL.",
            "For example: big=http://127.0.0.1:8000/v1#model-name",
        )
    return label, url


def _named_key(text: str) -> tuple[str, str]:
    label, equals, file = text.partition("=")
    if not equals or not label or not file:
        raise InvalidInput("bad_upstream", f"{text!r} is not LABEL=FILE.", "For example: big=./key.txt")
    return label, file


def _named(text: str) -> tuple[str, str]:
    label, equals, folder = text.partition("=")
    if not equals or not label or not folder:
        raise InvalidInput("bad_model", f"{text!r} is not LABEL=FOLDER.", "For example: digits=./my-digits")
    return label, folder


def _where_next(gateway: str, relay: str, home: Home) -> None:
    out = console()
    rows: tuple[tuple[str, str], ...] = (
        ("chat", f"{gateway}/chat"),
        ("pages", f"{gateway}/   with /review, /explore, /network, /policies"),
        ("OpenAI API", f"{gateway}/v1   (any API key)"),
        ("relay", f"{relay}   (for sealed requests)"),
        ("ask", './hallmark ask "What does os.mkfifo do?" --save r.json'),
        ("verify offline", "./hallmark verify r.json"),
        ("trust file", str(home.path / "trust.toml")),
        ("see", "./hallmark status   ./hallmark models   ./hallmark down"),
    )
    for name, text in rows:
        out.print(Text(f"  {name:<15}{text}"))


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait()
