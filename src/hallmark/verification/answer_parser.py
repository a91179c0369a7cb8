"""What came back from an enclave: the answer's covered bytes and the receipt's object, taken apart and held
against each other before anybody relies on it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from typing import Final

import msgspec

from hallmark.core.answer import DONE, hallmark_event, join_hallmark, read_stream, split_hallmark
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.receipt import Receipt
from hallmark.verification.dossier import (
    FORMAT,
    Documents,
    Dossier,
    RequestCopy,
    ResponseCopy,
    Salts,
    unbase64,
)

# How names begin that are drawn here or computed: no answer may call itself so.
OURS: Final = ("req-", "0x")
NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,200}")
UNREADABLE: Final = (HallmarkError, msgspec.DecodeError, UnicodeError, RecursionError)
"""What taking apart bytes that somebody else wrote may end in."""
DOCUMENTS: Final = frozenset(Documents.__struct_fields__)


class _Named(msgspec.Struct, frozen=True):
    id: str = ""


class AnswerObject(msgspec.Struct, frozen=True):
    """The `hallmark` object of an enclave, as far as a gateway reads it; `raw` is all of it."""

    id: str
    receipt: dict[str, str | int]
    signature: str
    salts: Salts
    documents: dict[str, object]
    network: str = ""
    chain_id: int = 0
    ticket: str | None = None
    payment_authorization: str | None = None
    evidence: str | None = None
    insecure: tuple[str, ...] = ()


class ParsedAnswer(msgspec.Struct, frozen=True):
    """An answer taken apart: covered bytes, the receipt's object as sent, and what it holds; `id` is the
    receipt's, 32 bytes.

    Of a stream, `frame` is what the receipt rides on and `tail` the covered event after it, if any.
    """

    content: bytes
    frame: bytes
    raw: bytes
    seal: AnswerObject
    receipt: Receipt
    id: bytes
    entry: bytes
    tail: bytes = b""

    @property
    def evidence(self) -> bytes:
        """SHA-256 of the evidence that came along; zero without."""
        return _evidence_digest(self.seal.evidence or "")

    @property
    def answer_id(self) -> str:
        """The answer's own id, by which its receipt can be found; empty when it has none that can be asked
        for.
        """
        try:
            found = msgspec.json.decode(self.frame or self.content, type=_Named).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        return found if NAME.fullmatch(found) and not found.startswith(OURS) else ""

    def dossier(self, path: str, request: bytes) -> Dossier:
        """The dossier as the owner could make it now. Raises UnicodeDecodeError for what is not text."""
        seal = self.seal
        documents = {name: value for name, value in seal.documents.items() if name in DOCUMENTS}
        return Dossier(
            format=FORMAT,
            network=seal.network or hex0x(self.receipt.network),
            chain_id=seal.chain_id,
            receipt=seal.receipt,
            signature=seal.signature,
            id=seal.id,
            documents=msgspec.convert(documents, Documents),
            salts=seal.salts,
            request=RequestCopy(path, request.decode()),
            response=ResponseCopy(self.content.decode()),
            ticket=seal.ticket,
            evidence=seal.evidence or None,
            insecure=seal.insecure,
            payment_authorization=seal.payment_authorization or None,
        )

    @property
    def head(self) -> bytes:
        """Of a stream, what comes before the receipt's event."""
        return self.content.removesuffix(self.tail)

    def rejoin(self, hallmark: bytes) -> bytes:
        """The answer with another `hallmark` object: a JSON body, or a stream from the receipt's event on."""
        if self.frame:
            return hallmark_event(self.frame, hallmark) + self.tail + DONE
        return join_hallmark(self.content, hallmark)


def open_answer(body: bytes) -> ParsedAnswer:
    """Take a JSON answer apart. Raises VerificationFailed `answer_unsigned`."""
    try:
        content, raw = split_hallmark(body)
        return _sealed(content, b"", raw)
    except UNREADABLE as error:
        raise unsigned() from error


def open_stream(body: bytes) -> ParsedAnswer:
    """Take a complete stream apart. Raises VerificationFailed `answer_unsigned`."""
    try:
        stream = read_stream(body)
        sealed = _sealed(stream.content, stream.frame, stream.hallmark)
        return msgspec.structs.replace(sealed, tail=stream.tail)
    except UNREADABLE as error:
        raise unsigned() from error


def unsigned() -> VerificationFailed:
    """The error for an answer without a readable receipt: it is not passed off as an answer."""
    return VerificationFailed(
        "answer_unsigned",
        "The node's answer carries no receipt that can be read, so it is not passed on as an answer.",
        "Ask again; the node is avoided for a while.",
    )


def _sealed(content: bytes, frame: bytes, raw: bytes) -> ParsedAnswer:
    seal = msgspec.json.decode(raw, type=AnswerObject)
    receipt = Receipt.from_json(seal.receipt)
    receipt_id = receipt.digest()
    if hex0x(receipt_id) != seal.id:
        raise unsigned()
    documents = seal.documents
    attachments: tuple[bytes, ...] = (
        _text(documents.get("route")),
        _text(documents.get("candidates")),
        unhex(seal.ticket) if seal.ticket else b"",
    )
    if receipt.payment != ZERO32:
        authorization = unbase64(seal.payment_authorization) if seal.payment_authorization else b""
        attachments = (*attachments, _text(documents.get("payment")), authorization)
    entry = Entry(receipt, (unhex(seal.signature),), attachments).encode()
    return ParsedAnswer(content, frame, raw, seal, receipt, receipt_id, entry)


@functools.lru_cache(maxsize=64)
def _evidence_digest(text: str) -> bytes:
    """Every answer of a node comes with the same evidence for an hour."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ZERO32
    return sha256(data) if data else ZERO32


def _text(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else b""
