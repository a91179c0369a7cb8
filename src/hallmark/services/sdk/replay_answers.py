"""What an answer says, where it is to the byte what an enclave writes of it; nothing of any other.

An answer is read for what an enclave fills in, and written again from just that. What holds more, or holds
it twice, or is of another form, does not come out the same: it is no answer that a run can give.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.answer import COMMENT
from hallmark.engines.openai_response import Shape, Usage
from hallmark.engines.protocol import Array
from hallmark.engines.tensor_response import Head, whole

DATA: Final = b"data: "
UNREADABLE: Final = (ValueError, RecursionError)
"""What reading somebody else's JSON may end in; msgspec's errors are ValueErrors."""


class Said(msgspec.Struct, frozen=True):
    """What an answer says: its text, why it ended (empty: it was cut off), its model, and its counts where it
    has them.
    """

    text: str
    finish: str = ""
    model: str = ""
    usage: Usage | None = None


class _Words(msgspec.Struct, frozen=True):
    content: str | None = None
    role: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Words | None = None
    delta: _Words | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Object(Head, frozen=True):
    choices: tuple[_Choice, ...]
    usage: Usage | None = None


def read_text(answer: bytes, *, chat: bool, streams: bool) -> Said | None:
    """A chat's or completion's answer; None for what no enclave writes."""
    try:
        return _stream(answer, chat) if streams else _whole(answer, chat)
    except UNREADABLE:
        return None


def same_tensors(
    answer: bytes, model: str, outputs: dict[str, Array], labels: tuple[str, ...], *, stored: bool
) -> bool:
    """Whether an answer is to the byte that of these outputs, for a request that named this model."""
    try:
        head = msgspec.json.decode(answer, type=Head)
        return head.model == model and whole(head, outputs, labels, stored=stored) == answer
    except UNREADABLE:
        return False


def _shape(one: Head, chat: bool) -> Shape:
    return Shape(one.id, one.created, one.model, chat=chat)


def _whole(answer: bytes, chat: bool) -> Said | None:
    one = msgspec.json.decode(answer, type=_Object)
    (choice,) = one.choices
    text = choice.message.content if chat and choice.message else choice.text
    if text is None or not choice.finish_reason or one.usage is None:
        return None
    if _shape(one, chat).whole(text, choice.finish_reason, one.usage) != answer:
        return None
    return Said(text, choice.finish_reason, one.model, one.usage)


def _stream(answer: bytes, chat: bool) -> Said | None:
    end = b"\n\n"
    events = [event + end for event in answer.removesuffix(end).split(end) if event + end != COMMENT]
    if not events or not answer.endswith(end):
        return None
    parts = [msgspec.json.decode(event.removeprefix(DATA), type=_Object) for event in events]
    shape, text, finish, usage = _shape(parts[0], chat), "", "", None
    written = b""
    for number, part in enumerate(parts):
        if part.usage is not None:
            usage, form = part.usage, shape.usage(part.usage)
            last = number == len(parts) - 1 and bool(finish)
        else:
            (choice,) = part.choices
            said = (choice.delta.content if choice.delta else None) if chat else choice.text
            last = not finish
            if choice.finish_reason:
                finish, form = choice.finish_reason, shape.finish(choice.finish_reason)
            elif chat and not number and choice.delta and choice.delta.role:
                form = shape.first()
            else:
                text, form = text + (said or ""), shape.text(said or "")
        if not last:
            return None
        written += form
    if written != b"".join(events):
        return None
    return Said(text, finish, parts[0].model, usage)
