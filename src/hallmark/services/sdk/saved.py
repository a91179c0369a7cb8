"""An answer that some client saved, with its request beside it, becomes a dossier.

The receipt covers exact bytes. Where they were kept (curl, a proxy) they are compared as they are. Where a
library has parsed and written them anew, the forms in which they may have been sent are tried: the receipt's
digests decide, so a wrong guess can never pass. What is missing, or cannot be compared, is said in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import unhex
from hallmark.core.errors import InvalidInput
from hallmark.core.receipt import Receipt, request_digest, response_digest
from hallmark.services.sdk.receipts import dossier_of
from hallmark.services.sdk.wire_forms import answers, chunks, requests
from hallmark.verification.dossier import Dossier, RequestCopy, ResponseCopy, Salts

HTTP_HEAD: Final = re.compile(rb"HTTP/[0-9.]+ [0-9]{3}[^\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n")
SALTS: Final = re.compile(
    r"^hallmark-salts:\s*([0-9a-f]{64}) ([0-9a-f]{64})\s*$", re.MULTILINE | re.IGNORECASE
)
TOLD: Final = ("stage", "reason", "marks", "status")
"""What a gateway puts beside the members of a dossier: its own word, not looked at here."""

CHANGED: Final = "NOT what was signed: some of it was changed, on its way or by the program that saved it"

Form = tuple[str, bytes]
"""How a text may have been sent: in words (empty: exactly as it was saved), and its bytes."""


class Saved(msgspec.Struct, frozen=True):
    """A saved answer: the receipt's object (None: a library dropped it), the forms that the covered bytes may
    have had, the answer's own id, and whether the bytes are those that came.
    """

    hallmark: bytes | None
    forms: tuple[Form, ...]
    name: str
    exact: bool


class Opened(msgspec.Struct, frozen=True):
    """What a saved answer came to: its dossier, one sentence each on request and answer, and whether both
    are shown to be those of the receipt.
    """

    dossier: Dossier
    request: str
    answer: str
    complete: bool


def read_file(data: bytes) -> Dossier | Saved:
    """A dossier, a gateway's reply about a receipt, or a saved answer in any of its forms.

    Raises InvalidInput `bad_dossier`, `no_receipt`, `bad_answer`.
    """
    value = _json(data)
    if isinstance(value, dict) and ("format" in value or {"documents", "signature"} <= set(value)):
        if not set(TOLD) <= set(value):
            return Dossier.parse(data)
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return Dossier.parse(msgspec.json.encode({k: v for k, v in raw.items() if k not in TOLD}))
    return read_answer(data)


def read_answer(data: bytes) -> Saved:
    """A saved JSON answer or event stream: as it came, with its HTTP head, or as a library wrote it again.

    Raises InvalidInput `no_answer`.
    """
    head = HTTP_HEAD.match(data)
    body = data[head.end() :] if head else data
    value = _json(body)
    if value is None and body.lstrip().startswith((b"data:", b":")):
        return _stream(body)
    if value is None:
        value = _lines(body)
    if isinstance(value, list) and value and all(isinstance(chunk, dict) for chunk in value):
        return _chunks(value)
    if isinstance(value, dict) and value:
        return _object(body.strip(), value)
    raise InvalidInput(
        "no_answer",
        "This file is neither a saved receipt nor an answer.",
        "It can be what `--save` wrote, the explorer's file or PDF, or a JSON answer or event stream.",
    )


def open_answer(
    saved: Saved, request: bytes | None, *, path: str = "", head: str = "", found: Dossier | None = None
) -> Opened:
    """The dossier of a saved answer.

    `request` is the request's body as it was sent or saved, `path` where it went (empty: each is tried),
    `head` the response's header lines, `found` the public dossier when the answer does not carry its receipt.
    Raises InvalidInput `no_receipt`, `bad_answer`.
    """
    if saved.hallmark is None and found is None:
        raise InvalidInput(
            "no_receipt",
            "The answer does not carry its receipt: whoever saved it left out what it did not know.",
            f"`hallmark receipt FILE` looks it up by the answer's id ({saved.name or 'it has none'}).",
        )
    dossier = dossier_of(saved.hallmark) if saved.hallmark is not None else found
    assert dossier is not None
    salts = _salts(dossier, head)
    receipt = dossier.opened()
    sent, told_request, shown = _request(receipt, request, path, salts)
    came, told_answer = _response(receipt, saved, salts)
    kept = Salts(salts.request if sent else None, salts.response if came else None)
    whole = msgspec.structs.replace(dossier, salts=kept, request=sent, response=came)
    complete = shown and came is not None
    return Opened(Dossier.parse(whole.encode()), told_request, told_answer, complete)


def _request(
    receipt: Receipt, body: bytes | None, path: str, salts: Salts
) -> tuple[RequestCopy | None, str, bool]:
    """A copy for the dossier, a sentence, and whether this is what was signed. A dossier keeps text alone: a
    form with images in it is compared here, and not kept.
    """
    if body is None:
        return None, "not at hand: give the request's exact body to have it compared", False
    if salts.request is None:
        return None, "not compared: its salt is missing (see docs/clients.md)", False
    salt = unhex(salts.request)
    for how, where, form in requests(body, path):
        if request_digest(salt, where, form) == receipt.request:
            try:
                return RequestCopy(where, form.decode()), _told(how, where), True
            except UnicodeDecodeError:
                return None, f"{_told(how, where)}; it is no text, so the saved receipt is without it", True
    return None, "NOT the request that this receipt is about, or not the exact bytes that were sent", False


def _response(receipt: Receipt, saved: Saved, salts: Salts) -> tuple[ResponseCopy | None, str]:
    if salts.response is None:
        return None, "not compared: its salt is missing (see docs/clients.md)"
    salt = unhex(salts.response)
    for how, form in saved.forms:
        if response_digest(salt, form) == receipt.response:
            return ResponseCopy(form.decode()), _told(how, "")
    if saved.exact:  # kept, so that verifying says what is wrong
        text = saved.forms[0][1].decode(errors="replace")
        return ResponseCopy(text), CHANGED
    return None, (
        "not compared: it was parsed and written again, and what was signed cannot be rebuilt from it. "
        "A changed answer would look the same; keep the exact bytes (see docs/clients.md)"
    )


def _told(how: str, where: str) -> str:
    at = f", sent to {where}" if where else ""
    return f"what was signed, {how}{at}" if how else f"what was signed, byte for byte{at}"


def _salts(dossier: Dossier, head: str) -> Salts:
    match = SALTS.search(head)
    if dossier.salts != Salts() or match is None:
        return dossier.salts
    return Salts("0x" + match[1].lower(), "0x" + match[2].lower())


def _stream(body: bytes) -> Saved:
    """An event stream as it came; one that was cut off is an answer without its receipt."""
    try:
        content, hallmark = split_hallmark_stream(body)
    except InvalidInput:
        if not body.rstrip().endswith(b"data: [DONE]"):
            return Saved(None, (("", body),), _name(body), exact=False)
        found = [_json(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
        return _chunks([chunk for chunk in found if isinstance(chunk, dict)])
    return Saved(hallmark, (("", content),), _name(content), exact=True)


def _object(body: bytes, value: dict[str, Any]) -> Saved:
    name = value.get("id") if isinstance(value.get("id"), str) else ""
    try:
        content, hallmark = split_hallmark(body)
    except InvalidInput:
        hallmark_value = value.pop("hallmark", None)
        hallmark = msgspec.json.encode(hallmark_value) if isinstance(hallmark_value, dict) else b""
        exact = () if hallmark else (("", body),)
        return Saved(hallmark or None, (*exact, *answers(value)), name or "", exact=False)
    del value["hallmark"]
    return Saved(hallmark, (("", content), *answers(value)), name or "", exact=True)


def _chunks(values: list[dict[str, Any]]) -> Saved:
    """The chunks of a stream as a library gave them, one object each."""
    last = next((value for value in reversed(values) if isinstance(value.get("hallmark"), dict)), None)
    covered = [value for value in values if value is not last]
    hallmark = msgspec.json.encode(last["hallmark"]) if last is not None else None
    name = values[0].get("id") if values else ""
    return Saved(hallmark, tuple(chunks(covered)), name if isinstance(name, str) else "", exact=False)


def _name(content: bytes) -> str:
    for line in content.split(b"\n"):
        value = _json(line[6:]) if line.startswith(b"data: {") else None
        if isinstance(value, Mapping) and isinstance(value.get("id"), str):
            return str(value["id"])
    return ""


def _lines(body: bytes) -> list[Any] | None:
    """JSON lines."""
    found = [_json(line) for line in _nonempty(body)]
    return found if found and all(isinstance(value, dict) for value in found) else None


def _nonempty(body: bytes) -> Iterator[bytes]:
    return (line for line in body.splitlines() if line.strip())


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
