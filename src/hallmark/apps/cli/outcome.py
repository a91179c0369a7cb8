"""`hallmark outcome`: say how an answer turned out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.ask import client_of, connection
from hallmark.apps.cli.key_files import named_key, read_key
from hallmark.apps.cli.output import console, emit
from hallmark.core.errors import InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.services.sdk.outcomes import (
    WORDS,
    Rests,
    rests_on_evaluation,
    rests_on_receipt,
    rests_on_text,
)
from hallmark.verification.dossier import Dossier

MADE: Final[dict[str, Callable[[str], Rests]]] = {
    "text": rests_on_text,
    "evaluation": rests_on_evaluation,
    "receipt": rests_on_receipt,
}


@click.group()
def outcome() -> None:
    """How answers turned out: what people and named evaluations say of receipts."""


def _word(command: Callable[..., Any]) -> Callable[..., Any]:
    for name in reversed(tuple(WORDS)):
        told = "Take back what was said before." if name == "withdrawn" else f"It was {name}."
        command = click.option(f"--{name}", "said", flag_value=name, help=told)(command)
    return command


@outcome.command()
@click.argument("receipt")
@_word
@click.option(
    "--basis",
    required=True,
    metavar="KIND:VALUE",
    help="What it rests on: text:WORDS (the log gets a salted digest), evaluation:NAME, receipt:ID.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="An evaluation's report; its digest is logged."
)
@click.option(
    "--show",
    type=click.Path(path_type=Path),
    help="A saved receipt, whose parameters and input records everybody may read from then on.",
)
@click.option("--as", "name", help="Whose key of this home: reviewer-1, ...; default: a speaker's own.")
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="A key file: 64 hex digits.")
@click.option("--log", metavar="URL", help="The log's address; default: the home's.")
@click.option("--json", "as_data", is_flag=True, help="Print JSON.")
@connection
@click.pass_obj
def say(
    home: Path, /, receipt: str, said: str | None, url: str | None, trust: Path | None, **options: Any
) -> None:
    """Say of RECEIPT that its answer was right, wrong or partly so. It becomes a signed entry of the log.

    Who says it is always shown. Of one speaker's words on a receipt the newest counts.
    """
    if said is None:
        words = ", ".join(f"--{word}" for word in WORDS)
        raise InvalidInput("bad_word", "Nothing is said of the answer.", f"Say one of {words}.")
    rests = _rests(options["basis"], options["report"])
    show = _saved(options["show"]) if options["show"] else None
    key = _key(home, options["name"], options["key_file"])
    with client_of(home, url, trust) as client:
        spoken = client.outcome(receipt, said, rests, key=key, show=show, log=options["log"])
    if options["as_data"]:
        emit(msgspec.json.format(msgspec.json.encode(spoken), indent=2).decode() + "\n")
        return
    out = console()
    out.print(Text(f"{spoken.said}, said by {spoken.speaker}: entry {spoken.index} of the log"))
    out.print(Text(f"  of {spoken.receipt}"))
    if spoken.salt:
        out.print(Text(f"  keep the text with its salt: {spoken.salt}", style="bright_black"))


def _rests(basis: str, report: Path | None) -> Rests:
    kind, _, value = basis.partition(":")
    if kind not in MADE or not value:
        raise InvalidInput(
            "bad_basis",
            "What it rests on is text:WORDS, evaluation:NAME or receipt:ID.",
            'Such as --basis "text:the third step divides by zero".',
        )
    if report is None:
        return MADE[kind](value)
    if kind != "evaluation":
        raise InvalidInput("bad_basis", "A report is an evaluation's.", "Leave --report out.")
    return rests_on_evaluation(value, _read(report))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{path} cannot be read.", "Name a file that is there.") from error


def _saved(path: Path) -> Dossier:
    return Dossier.parse(_read(path))


def _key(home: Path, name: str | None, key_file: Path | None) -> Key:
    """The speaker's key: the one that is named, or the home's own for this. Raises InvalidInput
    `no_such_key`, `bad_key_file`.
    """
    from hallmark.compose.home import Home
    from hallmark.compose.keys import speaker_key

    path = key_file or (named_key(home, name) if name else None)
    return read_key(path) if path else speaker_key(Home(home))
