"""What can happen to an item, as frozen structs. An item is the fold of its events and nothing else.

Times are unix ms, addresses and digests 0x-hex in lower case, values in atomic units of the network's
currency. `at` is when the desk took the event, `by` the address of who did it ("" where the evaluator did).
`screen` is the digest of the `Screen` that was before somebody's eyes or that the evaluator judged.

Two events let something out: `Evaluated` with outcome CLEAR, and `Finalised`. They carry a seal that
`hallmark.review.gate` alone puts on, and `hallmark.review.history` puts back when it recalls a chain of
records whose newest digest it was given. Making one in any other way raises TypeError.
"""

from __future__ import annotations

import re
from typing import Final, get_args

import msgspec

from hallmark.core.policy import Outcome

# A test looks through the source for every use of this name: gate.py and history.py, nowhere else.
_SEAL: Final = object()


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=_snake):
    """Base of all events; `at` is unix ms. The JSON form names the kind in the member `kind`."""

    at: int

    @property
    def kind(self) -> str:
        """The event's name in JSON, e.g. `appeal_answered`."""
        return str(type(self).__struct_config__.tag)


class Born(Event, frozen=True):
    """A receipt became an item: HOLD. `id` is the receipt's digest, `index` its place in the log (-1: no
    quorum covers it yet); `node`, `owner`, `gateway` made the answer; `requester` "" means that nobody knows
    who asked.
    """

    id: str
    index: int = -1
    klass: str = ""
    value: int = 0
    requester: str = ""
    node: str = ""
    owner: str = ""
    gateway: str = ""
    model: str = ""
    artifact: str = ""


class Placed(Event, frozen=True):
    """The receipt's place in the log is known, and with it who owns the node and which gateway chose it."""

    index: int
    owner: str = ""
    gateway: str = ""


class Declared(Event, frozen=True):
    """Somebody said what is at stake: a class of risk, a value, who asked. Empty text and value -1 leave
    things as they are. Every class ever declared keeps its policies in force, so a declaration only tightens.
    """

    by: str
    klass: str = ""
    value: int = -1
    requester: str = ""


class Evaluation(Event, frozen=True, tag="evaluated"):
    """What is written down of an `Evaluated`. `lacks` are `<question>:<reason>` codes, `policies` the names
    and `digests` the ClearingPolicy digests that were enforced, `decision` the digest of the `GateDocument`;
    `basis` is the version of the item that was judged; `due` and `window` are what the policies promise (see
    `Item`).
    """

    outcome: Outcome
    basis: int
    lacks: tuple[str, ...]
    policies: tuple[str, ...]
    digests: tuple[str, ...]
    decision: str
    screen: str
    due: int = 0
    window: int = 0


class Evaluated(Evaluation, frozen=True, tag="evaluated"):
    """The evaluator decided. With outcome CLEAR it is made by the gate alone; raises TypeError otherwise."""

    seal: object = None

    def __post_init__(self) -> None:
        if self.outcome is Outcome.CLEAR and self.seal is not _SEAL:
            raise TypeError("An evaluation with outcome CLEAR is made by hallmark.review.gate alone.")


class Finalisation(Event, frozen=True, tag="finalised"):
    """What is written down of a `Finalised`; `basis` is the version of the item that was judged."""

    basis: int
    decision: str
    screen: str


class Finalised(Finalisation, frozen=True, tag="finalised"):
    """The dispute window closed while every requirement still held. Made by the gate alone; raises TypeError
    otherwise.
    """

    seal: object = None

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("Finalised is made by hallmark.review.gate alone.")


class Reviewed(Event, frozen=True):
    """A signed review stands in the log at `index`. It changes no state: the mark `reviewed` follows from the
    log, and the evaluator from the mark. `judgement` is a `core.statements.Judgement`.
    """

    by: str
    judgement: int
    reason: str
    index: int
    policy: str = ""
    screen: str = ""


class Assigned(Event, frozen=True):
    """Somebody is to look at it; `to` "" gives it back to the queue."""

    by: str
    to: str


class Commented(Event, frozen=True):
    """A remark. `comment` is told to the subject, `internal` never is."""

    by: str
    comment: str = ""
    internal: str = ""


class Appealed(Event, frozen=True):
    """A party (the node's operator, the gateway, a requester) asks for another look. What was CLEAR is HOLD
    until it is answered.
    """

    by: str
    text: str


class AppealAnswered(Event, frozen=True):
    """Somebody who is no party answers matter `number` (0: the oldest open one)."""

    by: str
    upheld: bool
    text: str
    number: int = 0
    screen: str = ""


class Released(Event, frozen=True):
    """Break-glass: the item stays HOLD, and a named person lets it be used until `until`, for a reason."""

    by: str
    name: str
    reason: str
    text: str
    until: int
    screen: str = ""


class ReleaseEnded(Event, frozen=True):
    """The break-glass release is over: its time ran out (`by` ""), or somebody ended it."""

    by: str = ""


class Sampled(Event, frozen=True):
    """The CLEAR was drawn to be looked at by a person; it stays CLEAR meanwhile. `decision` is the digest
    that the draw followed from.
    """

    decision: str


class SampleAnswered(Event, frozen=True):
    """A person looked at the sampled CLEAR. Disagreeing opens a matter, which returns the item to HOLD."""

    by: str
    agrees: bool
    text: str = ""
    screen: str = ""


class Rejected(Event, frozen=True):
    """A reviewer ended an item that was in HOLD. `comment` is told to the subject, `internal` never is."""

    by: str
    reason: str
    comment: str = ""
    internal: str = ""
    screen: str = ""


Plain = (
    Born
    | Placed
    | Declared
    | Reviewed
    | Assigned
    | Commented
    | Appealed
    | AppealAnswered
    | Released
    | ReleaseEnded
    | Sampled
    | SampleAnswered
    | Rejected
)
AnyEvent = Plain | Evaluated | Finalised
# What is read back from where events are kept; `hallmark.review.history` seals the first two again.
Written = Plain | Evaluation | Finalisation
EVENTS: Final[tuple[type[Event], ...]] = get_args(AnyEvent)
