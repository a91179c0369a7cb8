"""Opening a saved receipt from a terminal: what is judged, compared with the item's digests first."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from hallmark.core.document import hex0x, unhex
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.receipt import request_digest, response_digest
from hallmark.verification.dossier import Dossier

LONGEST_PATH = 1 << 16


class Opened(msgspec.Struct, frozen=True):
    """The exact request and answer behind an item."""

    receipt: str
    path: str
    request: str
    answer: str


def opened(item: str, file: Path) -> Opened:
    """The request and answer that `file` holds, when they are those of the item's receipt.

    1. The receipt's id, computed from its fields, is the item's.
    2. Request and answer are there, and hash to what the receipt commits to.

    Raises InvalidInput `no_such_file`, `bad_dossier`, `content_missing`; VerificationFailed `other_receipt`,
    `request_mismatch`, `response_mismatch`.
    """
    try:
        dossier = Dossier.parse(file.read_bytes())
    except OSError as error:
        raise InvalidInput("no_such_file", f"{file} cannot be read.") from error
    receipt, request, response = dossier.opened(), dossier.request, dossier.response
    found = hex0x(receipt.digest())
    if found != item.lower():
        raise VerificationFailed("other_receipt", f"The file is of another receipt, {found}.")
    salts = dossier.salts
    if request is None or response is None or salts.request is None or salts.response is None:
        raise InvalidInput(
            "content_missing",
            "The file does not hold both the request and the answer.",
            "Only who asked has them; ask for what `--save` or the chat wrote.",
        )
    if len(request.path.encode()) >= LONGEST_PATH or receipt.request != request_digest(
        unhex(salts.request), request.path, request.body.encode()
    ):
        raise VerificationFailed("request_mismatch", "The request is not the one that the receipt names.")
    if receipt.response != response_digest(unhex(salts.response), response.body.encode()):
        raise VerificationFailed("response_mismatch", "The answer is not the one that the receipt names.")
    return Opened(found, request.path, request.body, response.body)


def text_of(answer: str) -> str:
    """The text of an answer's first choices, from JSON or from a stream's events; "" where there is none."""
    events = [answer] if answer.startswith("{") else re.findall(r"^data: (\{.*)$", answer, re.MULTILINE)
    texts = list[str]()
    for event in events:
        try:
            body = msgspec.json.decode(event, type=_Body)
        except msgspec.DecodeError:
            continue
        texts += [part.content or "" for choice in body.choices for part in (choice.delta, choice.message)]
        texts += [choice.text for choice in body.choices]
    return "".join(texts)


class _Said(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Said = _Said()
    message: _Said = _Said()
    text: str = ""


class _Body(msgspec.Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()


def printable(text: str) -> str:
    """Text that changes nothing of a terminal: control and direction characters as their numbers."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"[U+{ord(c):04X}]" for c in text)
