"""What a proxy says of itself: whom it trusts, its relay, the keys in use, and its last answers as ids and
marks. There is no content in any of it, and none is kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.marks import Mark, Question
from hallmark.core.shown import ShownMark, shown
from hallmark.services.relay.info import RelayInfo
from hallmark.services.sdk.gateway_watch import Doubted, Judged
from hallmark.services.sdk.receipts import AsyncReceipt
from hallmark.services.sealing.client import SealedPath
from hallmark.verification.dossier import Dossier, Salts
from hallmark.verification.trust import Trust

KEPT: Final = 50
"""Answers that are remembered, as ids and marks."""


class TrustShown(msgspec.Struct, frozen=True):
    """The trust file, as far as it decides what is believed here."""

    network: str
    network_id: str
    gateways: tuple[str, ...]
    full_nodes: int
    threshold: int
    authority: tuple[str, ...]
    images: tuple[str, ...]


class RelayShown(msgspec.Struct, frozen=True):
    """The relay: its address, and what it says of itself (its own word): how long it keeps what, in seconds.
    `reached` is when it last said so (unix ms; 0: not yet).
    """

    url: str
    name: str = ""
    address_hashes_s: int = 0
    pairs_s: int = 0
    content_s: int = 0
    reached: int = 0


class KeyShown(msgspec.Struct, frozen=True):
    """Keys of a node that questions are sealed to: SHA-256 of the window's key configurations, checked here
    against the log; `until` is unix ms. `insecure` lists the checks that the node runs without.
    """

    node: str
    bundle: str
    configuration: str
    window: int
    assurance: str
    image: str
    insecure: tuple[str, ...]
    until: int


class AnswerShown(msgspec.Struct, frozen=True):
    """One answer: its receipt's id, its name here, node, how it was sealed, the class of its size in bytes,
    and the marks as this proxy derived them, last at `at` (unix ms).
    """

    receipt: str
    request: str
    node: str
    suite: str
    size: int
    relay: str
    answered: int
    at: int
    marks: tuple[ShownMark, ...]


class SteeringShown(msgspec.Struct, frozen=True):
    """Whether the gateway steered, when somebody last had that looked at (unix ms; 0: never): `tickets` held
    against a log of `size` entries, in words, each thing in doubt, and how often each node that may serve was
    offered. `problem` is the reason where the log could not be read; then the rest is empty.
    """

    at: int = 0
    tickets: int = 0
    size: int = 0
    words: str = ""
    doubted: tuple[Doubted, ...] = ()
    offered: dict[str, tuple[int, int]] = {}
    problem: str = ""


class Standing(msgspec.Struct, frozen=True):
    """The status page's JSON twin. `failures` counts questions that got no answer, by reason; `tickets` are
    the route tickets that are remembered.
    """

    now: int
    policy: str
    trust: TrustShown
    relay: RelayShown
    keys: tuple[KeyShown, ...]
    answers: tuple[AnswerShown, ...]
    failures: dict[str, int]
    tickets: int
    steering: SteeringShown


class Desk:
    """Keeps what `Standing` shows."""

    def __init__(self, trust: Trust, path: SealedPath, policy: str) -> None:
        self._trust, self._path, self._policy = trust, path, policy
        self._answers: OrderedDict[str, AnswerShown] = OrderedDict()
        self._failures: dict[str, int] = {}
        self._relay = RelayShown(path.link.url)
        self._steering = SteeringShown()

    def answered(self, receipt: AsyncReceipt, request: str) -> None:
        """Remember an answer, by its ids and marks alone."""
        sealed = receipt.sealed
        assert sealed is not None
        self._answers[receipt.id] = AnswerShown(
            receipt.id,
            request,
            hex0x(sealed.node.node),
            sealed.suite,
            sealed.size,
            sealed.relay,
            receipt.answered,
            _now(),
            shown(receipt.marks()),
        )
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)

    def struck(self, receipt: AsyncReceipt) -> None:
        """Its marks as they are now."""
        known = self._answers.get(receipt.id)
        if known is not None:
            marks: dict[Question, Mark] = receipt.marks()
            self._answers[receipt.id] = msgspec.structs.replace(known, at=_now(), marks=shown(marks))

    def find(self, name: str) -> AnswerShown | None:
        """An answer by its receipt's id or by its name here."""
        found = (one for one in self._answers.values() if name in (one.receipt, one.request))
        return next(found, None)

    def failed(self, error: HallmarkError) -> None:
        """Count a question that got no answer."""
        self._failures[error.reason] = self._failures.get(error.reason, 0) + 1

    def reached(self, info: RelayInfo) -> None:
        """What the relay says of itself."""
        kept = info.kept
        self._relay = RelayShown(
            self._relay.url, info.name, kept.address_hashes_s, kept.pairs_s, kept.content_s, _now()
        )

    def looked(self, found: Judged | HallmarkError) -> None:
        """What the log says of the gateway's tickets, or why it could not be read."""
        if isinstance(found, HallmarkError):
            self._steering = SteeringShown(_now(), problem=found.reason)
            return
        self._steering = SteeringShown(
            _now(), found.tickets, found.size, found.words, found.doubted, found.offered
        )

    def standing(self) -> Standing:
        """Everything, now."""
        trust = self._trust
        told = TrustShown(
            trust.network,
            hex0x(trust.network_id),
            trust.gateways,
            len(trust.full_nodes),
            len(trust.full_nodes) - trust.f,
            trust.authority,
            tuple(f"{one.name} {one.version} ({one.evidence})" for one in trust.measurement),
        )
        keys = tuple(
            KeyShown(
                hex0x(node.node),
                hex0x(node.digest),
                node.configuration_digest,
                node.window,
                node.assurance,
                node.image,
                node.insecure,
                node.until,
            )
            for node in self._path.nodes
        )
        answers = tuple(reversed(self._answers.values()))
        return Standing(
            _now(),
            self._policy,
            told,
            self._relay,
            keys,
            answers,
            dict(self._failures),
            len(self._path.tickets),
            self._steering,
        )


def without_content(dossier: Dossier) -> Dossier:
    """A dossier without the copies of request and answer and without their salts."""
    return msgspec.structs.replace(dossier, request=None, response=None, salts=Salts())


def _now() -> int:
    return time.time_ns() // 1_000_000
