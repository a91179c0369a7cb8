"""`hallmark blob`: put, get and verify blobs at any publisher and aggregator of Walrus, ours or its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hallmark.apps.cli.output import console
from hallmark.core.errors import InvalidInput, NotFound

T = TypeVar("T")


@click.group()
def blob() -> None:
    """Blobs by their Walrus blob ID, which is computed here and never believed."""


def _store(command: Callable[..., Any]) -> Callable[..., Any]:
    option = click.option("--store", metavar="URL", help="Publisher or aggregator; default: the home's.")
    return option(command)


_committee = click.option(
    "--committee",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Verify the availability certificate of these storage nodes.",
)


@blob.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_store
@click.option("--epochs", default=1, show_default=True, help="For how many epochs it is to be kept.")
@click.option("--permanent", is_flag=True, help="Nobody may delete it before.")
@click.option("--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@_committee
@click.pass_obj
def put(
    home: Path,
    /,
    *,
    file: Path,
    store: str | None,
    epochs: int,
    permanent: bool,
    key_file: Path | None,
    committee: Path | None,
) -> None:
    """Store FILE and print its blob ID. --key-file holds what the store wants to be shown, if anything."""
    from hallmark.core.blob_ids import blob_text
    from hallmark.hub.walrus import blob_id_of_file
    from hallmark.services.hub.client import HubClient, PutResult

    identifier = blob_text(blob_id_of_file(file))
    secret = key_file.read_text().strip() if key_file else ""
    query = f"epochs={epochs}" + ("&permanent=true" if permanent else "")

    async def work(client: HubClient) -> PutResult:
        return await client.put(file, identifier, query)

    result = _run(home, store, work, secret)
    done = "stored" if result.created else "was stored already"
    until = f", until epoch {result.ends}" if result.ends else ""
    console(stderr=True).print(f"{file.name}: {file.stat().st_size:,} bytes {done}{until}", markup=False)
    if committee is not None:
        console(stderr=True).print(_certified(home, store, identifier, committee), markup=False)
    click.echo(identifier)


@blob.command()
@click.argument("identifier", metavar="ID")
@_store
@click.option("-o", "--output", metavar="FILE", help="Where it goes; default: a file named ID; - is stdout.")
@click.pass_obj
def get(home: Path, /, *, identifier: str, store: str | None, output: str | None) -> None:
    """Fetch a blob. Its ID is computed before the file is in its place."""
    if output == "-":
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "blob"
            _get(home, store, identifier, target)
            with target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        return
    target = Path(output or identifier)
    size = _get(home, store, identifier, target)
    console(stderr=True).print(f"{target}: {size:,} bytes, and its ID holds", markup=False)


@blob.command()
@click.argument("what", metavar="ID|FILE")
@_store
@_committee
@click.pass_obj
def verify(home: Path, /, *, what: str, store: str | None, committee: Path | None) -> None:
    """Of a FILE: compute its ID, and with --store see that the store has a blob of this ID and length. Of an
    ID: fetch the blob, compute its ID and throw it away. With --committee, verify its certificate as well.
    """
    from hallmark.core.blob_ids import blob_text
    from hallmark.hub.walrus import blob_id_of_file
    from hallmark.services.hub.client import HubClient

    path = Path(what)
    if not path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            size = _get(home, store, what, Path(folder) / "blob")
        click.echo(f"{what}: {size:,} bytes, and its ID holds")
        if committee is not None:
            click.echo(_certified(home, store, what, committee))
        return
    identifier = blob_text(blob_id_of_file(path))
    if store is not None:

        async def work(client: HubClient) -> int | None:
            return await client.size(identifier)

        stored = _run(home, store, work)
        if stored not in (None, path.stat().st_size):
            raise InvalidInput(
                "blob_length_differs",
                f"The store says that {identifier} has {stored} bytes; the file has another length.",
                "Fetch it: hallmark blob verify ID computes what it has.",
            )
    if committee is not None:
        console(stderr=True).print(_certified(home, store, identifier, committee), markup=False)
    click.echo(identifier)


@blob.command()
@click.argument("identifier", metavar="ID")
@_committee
@click.option("--seconds", default=30.0, show_default=True, help="How long a node has for its answer.")
def challenge(identifier: str, committee: Path | None, seconds: float) -> None:
    """Ask every storage node for a random symbol of what it must have of a blob, and check the answers.

    The seed is drawn here, so no node can have prepared for it. Exit code 4 when one fails.
    """
    from hallmark.core.blob_ids import parse_blob_text
    from hallmark.core.errors import HallmarkError, VerificationFailed
    from hallmark.http.client import Pool
    from hallmark.services.storage_node.client import NodeClient, challenged
    from hallmark.services.storage_node.service import load_committee

    if committee is None:
        raise InvalidInput(
            "bad_committee", "Nobody knows whom to ask.", "Name a committee file: --committee."
        )
    parse_blob_text(identifier)
    nodes = load_committee(committee)

    async def run() -> list[HallmarkError | None]:
        pool = Pool()
        try:
            clients = [NodeClient(node, pool, answer_s=seconds) for node in nodes.nodes]
            asked = (challenged(client, nodes, at, identifier) for at, client in enumerate(clients))
            return await asyncio.gather(*asked)
        finally:
            await pool.aclose()

    answers = asyncio.run(run())
    for node, failed in zip(nodes.nodes, answers, strict=True):
        click.echo(f"{node.name}: {failed.reason if failed else 'has the symbol that was asked for'}")
    count = sum(failed is not None for failed in answers)
    if count:
        raise VerificationFailed(
            "challenge_failed",
            f"{count} of {len(answers)} storage nodes failed.",
            "Ask again; a node that goes on failing lost what it confirmed, or is away.",
        )


def _certified(home: Path, store: str | None, identifier: str, committee: Path) -> str:
    """Fetch and verify a blob's certificate; what it says, in a sentence."""
    from hallmark.hub.certificate import read_certificate, verify_certificate
    from hallmark.services.hub.client import HubClient
    from hallmark.services.storage_node.service import load_committee

    nodes = load_committee(committee)

    async def work(client: HubClient) -> bytes:
        return await client.certificate(identifier)

    certificate = read_certificate(_run(home, store, work))
    said = verify_certificate(certificate, nodes, identifier)
    return (
        f"certified in epoch {said.epoch} by {len(said.signers)} of {len(nodes.nodes)} storage nodes, "
        f"which have {said.weight} of {said.shards} shards: {', '.join(said.signers)}"
    )


def _get(home: Path, store: str | None, identifier: str, target: Path) -> int:
    from hallmark.core.blob_ids import parse_blob_text
    from hallmark.hub.walrus import blob_id_of_file
    from hallmark.services.hub.client import HubClient
    from hallmark.services.hub.settings import MOST_BLOB

    parse_blob_text(identifier)

    async def compute(path: Path) -> bytes:
        return await asyncio.to_thread(blob_id_of_file, path)

    async def work(client: HubClient) -> int:
        return await client.get(identifier, target, compute, most=MOST_BLOB)

    return _run(home, store, work)


def _run(home: Path, store: str | None, work: Callable[[Any], Awaitable[T]], secret: str = "") -> T:
    from hallmark.http.client import Pool
    from hallmark.services.hub.client import HubClient

    url = store or os.environ.get("HALLMARK_STORE") or _home_store(home)

    async def run() -> T:
        pool = Pool()
        try:
            return await work(HubClient(url, pool, secret=secret))
        finally:
            await pool.aclose()

    return asyncio.run(run())


def _home_store(home: Path) -> str:
    from hallmark.compose.home import Home
    from hallmark.compose.plan import hub_port, known_plan

    plan = known_plan(Home(home))
    if plan is not None:
        return f"http://127.0.0.1:{hub_port(plan)}"
    raise NotFound(
        "no_blob_store",
        f"There is no network in {home}, so no blob store is known.",
        "Name one with --store, or in HALLMARK_STORE.",
    )
