"""Input records: what entered a run from outside the conversation, each committed to by digest.

Recorded are tool results (messages of role tool or function) and attachments (image, audio and file parts).
The content of a record is the exact text of the message, or the exact JSON of the part's payload, as it came;
of an image in a form, its exact bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hallmark.core.answer import input_digest
from hallmark.core.document import hex0x
from hallmark.core.documents import InputRecord
from hallmark.core.merkle import leaf_hash, root
from hallmark.engines.openai_request import ChatMessage, Part
from hallmark.engines.request_errors import invalid_value

SOURCE = "client"
MAX_RECORDS = 256
ATTACHMENTS = {"image_url": "image", "input_audio": "audio", "file": "file"}


def input_records(messages: Sequence[ChatMessage], salt: bytes) -> tuple[bytes, ...]:
    """The exact bytes of an InputRecord for each outside thing, in order; `salt` is the request's.

    Raises BadParameter `invalid_value` for more than MAX_RECORDS.
    """
    records = tuple(
        InputRecord(kind, hex0x(input_digest(salt, content)), SOURCE).encode()
        for message in messages
        for kind, content in _outside(message)
    )
    if len(records) > MAX_RECORDS:
        raise invalid_value("messages", f"with at most {MAX_RECORDS} tool results and attachments")
    return records


def image_records(images: Sequence[bytes], salt: bytes) -> tuple[bytes, ...]:
    """The same for the images of a form."""
    return tuple(InputRecord("image", hex0x(input_digest(salt, one)), SOURCE).encode() for one in images)


def images_in(messages: Sequence[ChatMessage]) -> int:
    """How many images are attached to the messages."""
    return sum(kind == "image" for message in messages for kind, _ in _outside(message))


def inputs_root(records: Sequence[bytes]) -> bytes:
    """RFC 6962 root over the records' exact bytes; 32 bytes (SHA-256 of nothing when there are none)."""
    return root([leaf_hash(record) for record in records])


def _outside(message: ChatMessage) -> Iterator[tuple[str, bytes]]:
    parts: Sequence[Part] = message.content if isinstance(message.content, list) else ()
    if message.role in ("tool", "function"):
        text = message.content if isinstance(message.content, str) else "\n".join(p.text or "" for p in parts)
        yield "tool_result", text.encode()
    for part in parts:
        for member, kind in ATTACHMENTS.items():
            payload = bytes(getattr(part, member))
            if payload != b"null":
                yield kind, payload
