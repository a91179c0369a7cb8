"""How a receipt rides on an answer, and which bytes it covers.

A JSON answer carries the receipt as its last member, written without white space; what the receipt covers is
the answer without it:

    {"id":...,"choices":[...],"usage":{...},"hallmark":{...}}     as sent
    {"id":...,"choices":[...],"usage":{...}}                      as covered

A stream (server-sent events) carries it in the last event before `data: [DONE]`; what the receipt covers is
every byte but that event and [DONE]. One event may stand between the two, that which counts the tokens:

    data: {"id":...,"choices":[{"delta":{"content":"..."}}]}      covered
    data: {"id":...,"choices":[...],"hallmark":{...}}             the receipt's event
    data: {"id":...,"choices":[],"usage":{...}}                   covered, if usage was asked for
    data: [DONE]

Some clients keep the usage of the last event that there is, even none; others add up the usage of all events:
only a stream that states it once, in its last event, is counted rightly by both. The receipt's event may hold
no text of an answer and no usage, so nothing can be slipped into what is not covered.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import sha256

MEMBER: Final = b',"hallmark":'
DONE: Final = b"data: [DONE]\n\n"
SEED_TAG: Final = b"hallmark/seed/v1\0"
INPUT_TAG: Final = b"hallmark/input-content/v1\0"
# Members of a receipt's event besides the receipt; choices are checked to be empty.
FRAME: Final = frozenset({"id", "object", "created", "model", "choices", "hallmark"})
DATA: Final = b"data: "
COMMENT: Final = b": waiting\n\n"
"""What a stream emits that is silent for long. It is covered, and says nothing."""
EMPTY_CHOICE: Final[dict[str, object]] = {
    "index": 0,
    "logprobs": None,
    "finish_reason": None,
    "delta": {},
    "text": "",
}


def join_hallmark(content: bytes, hallmark: bytes) -> bytes:
    """A JSON object with the `hallmark` object as its last member; the inverse of `split_hallmark`.

    Raises InvalidInput `bad_answer` unless `content` is a non-empty JSON object that has no such member.
    """
    _require_content(content)
    return content[:-1] + MEMBER + hallmark + b"}"


def split_hallmark(body: bytes) -> tuple[bytes, bytes]:
    """The covered bytes of a JSON answer and its `hallmark` object, both exact.

    Inside JSON text quotes are escaped, so the member's name cannot be imitated by what the answer says; an
    imitation in a nested object does not parse. Raises InvalidInput `no_receipt`, `bad_answer`.
    """
    at = body.rfind(MEMBER)
    if at < 0 or not body.endswith(b"}"):
        raise InvalidInput("no_receipt", "The answer carries no receipt as its last member.")
    content, hallmark = body[:at] + b"}", body[at + len(MEMBER) : -1]
    _require_content(content)
    _object(hallmark)
    return content, hallmark


def hallmark_event(frame: bytes, hallmark: bytes) -> bytes:
    """The event of a stream that carries the receipt; `frame` is a chunk object with empty choices."""
    return b"data: " + join_hallmark(frame, hallmark) + b"\n\n"


class Stream(msgspec.Struct, frozen=True):
    """A complete stream, taken apart: what came before the receipt's event, that event's frame and `hallmark`
    object, and the event after it that counts the tokens (may be empty). All exact.
    """

    head: bytes
    frame: bytes
    hallmark: bytes
    tail: bytes

    @property
    def content(self) -> bytes:
        """What the receipt covers."""
        return self.head + self.tail


def split_hallmark_stream(body: bytes) -> tuple[bytes, bytes]:
    """The covered bytes of a complete stream and its `hallmark` object. Raises as `read_stream` does."""
    stream = read_stream(body)
    return stream.content, stream.hallmark


def read_stream(body: bytes) -> Stream:
    """Take a complete stream apart.

    Raises InvalidInput `no_receipt` (also when the stream was cut off), `bad_answer` (also when the receipt's
    event holds anything that could be taken for a part of the answer).
    """
    if not body.endswith(b"\n\n" + DONE):
        raise InvalidInput("no_receipt", "The stream ended without a receipt and [DONE].")
    events, tail = body[: -len(DONE)], b""
    head, event = _last_event(events)
    if MEMBER not in event and head:
        head, event, tail = *_last_event(head), event
    if not event.startswith(DATA) or b"\n" in event[:-2]:
        raise InvalidInput("no_receipt", "The stream's last event carries no receipt.")
    frame, hallmark = split_hallmark(event[len(DATA) : -2])
    _require_empty(_object(frame))
    if tail:
        _require_usage(tail)
    return Stream(head, frame, hallmark, tail)


def input_digest(salt: bytes, content: bytes) -> bytes:
    """Digest of an outside thing that entered a run: SHA-256(tag || request salt || content); 32 bytes."""
    return sha256(INPUT_TAG, salt, content)


def sampling_seed(client_nonce: bytes, node_nonce: bytes) -> int:
    """The seed both sides committed to: SHA-256(tag || client nonce || node nonce), first 8 bytes, uint64."""
    return int.from_bytes(sha256(SEED_TAG, client_nonce, node_nonce)[:8], "big")


def _object(data: bytes) -> dict[str, object]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("bad_answer", "The answer is not JSON.") from error
    if not isinstance(value, dict):
        raise InvalidInput("bad_answer", "The answer is not a JSON object.")
    return value


def _require_content(content: bytes) -> None:
    value = _object(content)
    if not value or "hallmark" in value or not content.endswith(b"}"):
        raise InvalidInput("bad_answer", "The answer is not a plain object without a receipt.")


def _last_event(events: bytes) -> tuple[bytes, bytes]:
    """What comes before the last event, and that event with its closing blank line."""
    start = events.rfind(b"\n\n", 0, len(events) - 2)
    start = 0 if start < 0 else start + 2
    return events[:start], events[start:]


def _require_usage(tail: bytes) -> None:
    if not tail.startswith(DATA) or b"\n" in tail[:-2]:
        raise InvalidInput("no_receipt", "The stream's last event carries no receipt.")
    if not isinstance(_object(tail[len(DATA) : -2]).get("usage"), dict):
        raise InvalidInput("no_receipt", "What follows the receipt's event counts no tokens.")


def _require_empty(frame: dict[str, object]) -> None:
    choices = frame.get("choices")
    if set(frame) - FRAME or not isinstance(choices, list):
        raise InvalidInput("bad_answer", "The receipt's event holds more than a receipt.")
    for choice in choices:
        if not isinstance(choice, dict) or any(
            key not in EMPTY_CHOICE or value != EMPTY_CHOICE[key] for key, value in choice.items()
        ):
            raise InvalidInput("bad_answer", "The receipt's event holds a part of the answer.")
