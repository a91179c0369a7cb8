"""What the explorer's pages and the desk's show alike: facts, moments, ways, inputs, versions of a label.

Times are unix ms, digests and addresses 0x-hex.
"""

from __future__ import annotations

import msgspec


class Shown(msgspec.Struct, frozen=True):
    """Base of everything that is shown; JSON names are the field names."""


class Moment(Shown, frozen=True):
    """A point of an item's timeline. `gap` is ms after the answer's last byte (negative: before it).

    `kind` is one of asked, answered, paid, logged, witnessed, anchored, decided, reviewed, declared,
    assigned,
    remarked, appealed, released, objected, revoked, sampled, rejected, final.
    """

    at: int
    gap: int
    kind: str
    text: str
    by: str = ""
    link: str = ""


class Hop(Shown, frozen=True):
    """A party on the way. `saw` says whether it handled the prompt in clear, by the node's record; `exposed`
    why a party that did not could have read it all the same, as who runs the host of simulated hardware can.
    `sees` is what it saw instead, where that is known; `beside`: the request itself did not pass here.
    """

    role: str
    key: str
    name: str
    saw: bool
    exposed: str = ""
    sees: str = ""
    beside: bool = False

    @property
    def told(self) -> str:
        """What can be said of this party and the prompt; never that it did not see what it could read."""
        if self.saw:
            return "saw the prompt in clear"
        if self.exposed:
            return f"could read the prompt: {self.exposed}"
        if self.sees:
            return self.sees
        return "did not see the prompt in clear (node's word)"


class Left(Shown, frozen=True):
    """A node that was not chosen: left out for `reason`, or tried and failed with it. `doubt` is what the log
    says against that reason, or that nobody but the gateway can tell; "" where the log gives it too.
    """

    node: str
    reason: str
    sentence: str
    tried: bool = False
    doubt: str = ""


class SealedView(Shown, frozen=True):
    """How a request came sealed, by the enclave's word: SHA-256 of the key configurations, their window, the
    suite, the size class in bytes, and the relay by the client's word ("": not named).
    """

    configuration: str
    window: int
    suite: str
    size: int
    relay: str


class RouteView(Shown, frozen=True):
    """What happened on the way: `path` is plain, sealed or direct; `known` false when no record is here."""

    known: bool
    path: str
    hops: tuple[Hop, ...]
    candidates: tuple[str, ...]
    left: tuple[Left, ...]
    ticket: str = ""
    sealed: SealedView | None = None


class InputView(Shown, frozen=True):
    """An outside thing that entered. `as_of` 0: age unknown. `age` is ms at the answer's start;
    `validated` is never assumed.
    """

    kind: str
    source: str
    as_of: int
    age: int
    validated: bool
    content: str


class Origin(Shown, frozen=True):
    """What the owner of a label says that one of its versions was made from: the log position of that, the
    other version as a label and as its manifest's digest, the tool with SHA-256 of its bytes (zero: not
    named) and its parameters, and what was measured. `sentence` says all of it, and whose word it is.
    """

    version: str
    manifest: str
    index: int
    source: str
    made_from: str
    tool: str
    tool_digest: str
    parameters: str
    measured: tuple[str, ...]
    sentence: str


class LineageStep(Shown, frozen=True):
    """One version of a label. `here` marks what the receipt names, `then` what the label pointed to
    when the answer was given,
    `now` what it points to now. `receipts` is how many name it; -1: not counted here.
    """

    version: str
    artifact: str
    manifest: str
    sha256: str
    index: int
    at: int
    here: bool
    then: bool
    now: bool
    receipts: int = -1


class Fact(Shown, frozen=True):
    """One line of the receipt in words."""

    name: str
    value: str
    link: str = ""
    copy: str = ""
