"""`hallmark outcome`: say how an answer turned out, and see what was said."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.ask import client_of, connection
from hallmark.apps.cli.output import console, emit
from hallmark.core.errors import HallmarkError, InvalidInput
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
        raise InvalidInput("bad_word", f"Say one of {', '.join(f'--{word}' for word in WORDS)}.")
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
        raise InvalidInput("bad_basis", "What it rests on is text:WORDS, evaluation:NAME or receipt:ID.")
    if report is None:
        return MADE[kind](value)
    if kind != "evaluation":
        raise InvalidInput("bad_basis", "A report is an evaluation's.", "Leave --report out.")
    return rests_on_evaluation(value, _read(report))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput("no_such_file", f"{path} cannot be read.") from error


def _saved(path: Path) -> Dossier:
    return Dossier.parse(_read(path))


def _key(home: Path, name: str | None, key_file: Path | None) -> Key:
    """The speaker's key: the one that is named, or the home's own for this, made when it is first used.

    Raises InvalidInput `bad_key_file`, `no_such_key`.
    """
    path = key_file or home / "keys" / f"{name or 'speaker'}.secp256k1"
    if not path.exists() and key_file is None and name is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    if not path.exists():
        raise InvalidInput("no_such_key", f"There is no key in {path}.")
    try:
        return Key(bytes.fromhex(path.read_text().strip().removeprefix("0x")))
    except (OSError, ValueError, HallmarkError) as error:
        raise InvalidInput("bad_key_file", f"{path} holds no key: it is 64 hexadecimal digits.") from error
