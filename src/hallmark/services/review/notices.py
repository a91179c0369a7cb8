"""What receivers are told, as a struct for webhooks and as plain words for mail: from the same views as the
pages,
so that neither says more than the marks do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from hallmark.core.shown import ShownMark, word
from hallmark.services.review.views import ItemRow, PolicyRow

EVENTS: Final = (
    "item.held",
    "item.cleared",
    "item.rejected",
    "item.final",
    "item.reviewed",
    "item.appealed",
    "item.released",
    "policy.proposed",
)
ASSURED: Final = {"simulated": "simulated", "none": "no enclave", "hardware": "hardware"}
JUDGED: Final[Mapping[int, str]] = {1: "fit", 2: "unfit", 3: "undecided"}


class Data(msgspec.Struct, frozen=True):
    """What an event is about: the item with its seven marks as they were at that time, or a policy.
    `sentence`
    names policy and time; `by` is who acted ("" for the evaluator), `reason` a code, `until` a time limit.
    """

    network: str
    sentence: str
    item: ItemRow | None = None
    policy: PolicyRow | None = None
    by: str = ""
    reason: str = ""
    until: int = 0


class Told(msgspec.Struct, frozen=True):
    """The body of a webhook (Standard Webhooks: type, timestamp, data). `timestamp` is ISO 8601 in UTC."""

    type: str
    timestamp: str
    data: Data


class Words(msgspec.Struct, frozen=True):
    """A notice in plain text."""

    subject: str
    body: str


def told(event: str, at: int, data: Data) -> bytes:
    """A webhook's body; the same bytes for the same event."""
    return msgspec.json.encode(Told(event, moment(at), data))


def read(body: bytes) -> Told:
    """A body that was kept."""
    return msgspec.json.decode(body, type=Told)


def words(body: Told, public_url: str = "") -> Words:
    """The notice of an event, with where to look."""
    data = body.data
    subject = SUBJECTS[body.type](data)
    parts = [f"{subject}.", data.sentence]
    if data.item is not None:
        parts += [_item(data.item), _marks(data.item.marks)]
    if public_url and data.item is not None:
        parts.append(f"{public_url.rstrip('/')}/review/{data.item.id}")
    elif public_url and data.policy is not None:
        parts.append(f"{public_url.rstrip('/')}/policies/{data.policy.name}")
    parts.append(f"Network {data.network}, {body.timestamp}.")
    return Words(subject, "\n\n".join(part for part in parts if part) + "\n")


def moment(at: int) -> str:
    """A time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def mark_line(mark: ShownMark) -> str:
    """One mark in words: question, state, assurance, what it shows and what it does not show."""
    qualifier = f"; {ASSURED[mark.assurance]}" if mark.question == "ran" and mark.assurance in ASSURED else ""
    if mark.question == "model" and mark.detail.get("asserted_by"):
        qualifier = f"; asserted by {mark.detail['asserted_by']}"
    stands = f"{mark.question}: {word(mark.question, mark.state)}{qualifier}"
    return f"{stands}. {mark.shows} {mark.does_not_show}"


def _marks(marks: tuple[ShownMark, ...]) -> str:
    return "\n".join(mark_line(mark) for mark in marks)


def _item(row: ItemRow) -> str:
    lines = [f"Receipt {row.id}", f"State {row.state}"]
    if row.reasons:
        lines.append(f"Held for {', '.join(row.reasons)}")
    if row.value:
        lines.append(f"Value at risk {row.value}")
    if row.klass:
        lines.append(f"Class {row.klass}")
    if row.released_until:
        lines.append(f"HOLD, released under break-glass until {moment(row.released_until)}")
    return "\n".join(lines)


def _short(data: Data) -> str:
    assert data.item is not None
    return f"receipt {data.item.id[:10]}"


def _reason(data: Data) -> str:
    return f" ({data.reason})" if data.reason else ""


def _policy(data: Data) -> str:
    assert data.policy is not None
    row = data.policy
    return f"Policy proposed: {row.name}, version {row.version}; it is not in force"


def _released(data: Data) -> str:
    limit = moment(data.until)
    return f"Break-glass: HOLD, released until {limit} by {data.by}{_reason(data)}: {_short(data)}"


SUBJECTS: Final[Mapping[str, Callable[[Data], str]]] = {
    "item.held": lambda d: f"HOLD: {_short(d)}{_reason(d)}",
    "item.cleared": lambda d: f"CLEAR under {d.item.policy if d.item else ''}: {_short(d)}",
    "item.rejected": lambda d: f"REJECTED by {d.by}{_reason(d)}: {_short(d)}",
    "item.final": lambda d: f"FINAL under {d.item.policy if d.item else ''}: {_short(d)}",
    "item.reviewed": lambda d: f"A judgement was logged by {d.by}{_reason(d)}: {_short(d)}",
    "item.appealed": lambda d: f"Appeal by {d.by}: {_short(d)}",
    "item.released": _released,
    "policy.proposed": _policy,
}
