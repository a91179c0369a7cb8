"""`hallmark receipt`: a receipt as the network has it, and a saved answer made a receipt that can be kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from hallmark.apps.cli.answer_output import as_json, finish, print_decision
from hallmark.apps.cli.ask import client_of, connection
from hallmark.apps.cli.output import console, emit
from hallmark.core.errors import InvalidInput, NotFound, Unavailable
from hallmark.services.sdk.saved import Opened, Saved, open_answer, read_file
from hallmark.services.sdk.sync_client import Client, PlainReceipt

F = TypeVar("F", bound=Callable[..., Any])
WAIT_MS = 10_000


def beside(command: F) -> F:
    """Options that bring what belongs to a saved answer."""
    command = click.option(
        "--head", type=click.Path(path_type=Path), help="The response's header lines (curl -D)."
    )(command)
    command = click.option("--path", default="", help="Where the request went; default: what fits it.")(
        command
    )
    return click.option(
        "--from",
        "--request",
        "request",
        type=click.Path(path_type=Path),
        help="The request's body, as it was sent.",
    )(command)


@click.command()
@click.argument("name")
@beside
@click.option("--policy", default="witnessed", show_default=True)
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@click.option("--save", type=click.Path(path_type=Path), help="Save the receipt to a file.")
@connection
@click.pass_obj
def receipt(home: Path, /, name: str, **options: Any) -> None:
    """Show one receipt's marks as they are now, derived here.

    NAME is a receipt's id, an answer's id (chatcmpl-...), a response's x-request-id, or the file of an
    answer that any client saved: a JSON answer or an event stream. With --from, the request's body, it is
    shown that this request got this answer; what cannot be shown is said in words.
    """
    with client_of(home, options["url"], options["trust"]) as client:
        opened: Opened | None = None
        if Path(name).is_file():
            found, opened = _of_file(client, Path(name), options)
        else:
            found = client.receipt(name)
        verified = found.verify()
        decision = verified.decide(options["policy"])
        if options["save"]:
            found.save(options["save"])
        if options["as_data"]:
            said = {"request": opened.request, "answer": opened.answer} if opened else {}
            emit(as_json(found, decision, **said) + "\n")
        else:
            if opened is not None:
                print_opened(opened)
            print_decision(verified, decision)
    if opened is not None and options["request"] and not opened.complete:
        sys.exit(1)
    finish(decision)


def print_opened(opened: Opened) -> None:
    """What was shown of request and answer, and what was not."""
    out = console()
    out.print(Text(f"request  {opened.request}"))
    out.print(Text(f"answer   {opened.answer}\n"))


def read_beside(options: dict[str, Any]) -> tuple[bytes | None, str]:
    """The request's body and the response's header lines. Raises InvalidInput `no_such_file`."""
    request = read_bytes(options["request"]) if options["request"] else None
    head = read_bytes(options["head"]).decode("latin-1") if options["head"] else ""
    return request, head


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises InvalidInput `no_such_file`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{path} cannot be read.") from error


def _of_file(client: Client, path: Path, options: dict[str, Any]) -> tuple[PlainReceipt, Opened | None]:
    """A file's receipt, grown by what the network has of it by now."""
    saved = read_file(read_bytes(path))
    opened = _opened(client, saved, options) if isinstance(saved, Saved) else None
    handle = client.handle(opened.dossier if opened is not None else saved)  # type: ignore[arg-type]  # one of two
    try:
        handle.refresh(options["policy"], WAIT_MS)
    except (NotFound, Unavailable) as error:
        console(stderr=True).print(Text(f"proof    not fetched: {error.message}"))
    return handle, opened


def _opened(client: Client, saved: Saved, options: dict[str, Any]) -> Opened:
    request, head = read_beside(options)
    found = None
    if saved.hallmark is None and saved.name:
        found = client.receipt(saved.name).dossier
    opened = open_answer(saved, request, path=options["path"], head=head, found=found)
    if found is not None and opened.dossier.salts.response is None:
        told = f"receipt  found by the id {saved.name}: that it is of this answer is the gateway's word alone"
        console(stderr=True).print(Text(told))
    return opened
