"""What was said of receipts, read from the folded log: who said it, and on what it lands.

A word counts when its entry holds and its receipt does. Of a speaker's words on one receipt the newest
counts: what the one before had added is taken off again by the same reading of it, so that counts are sums
of the log and nothing else. The record of a thing is made of words of registered reviewers who are not the
label's owner; what everybody else says is counted beside it, because keys cost nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, NotFound
from hallmark.core.outcomes import Basis
from hallmark.core.statements import Outcome, Role, Said
from hallmark.discovery.attribution import Landing, Scope, landings
from hallmark.services.explorer.figures import Counted
from hallmark.services.explorer.receipt_context import (
    ReceiptContext,
    gateway_of,
    label,
    of_logged,
    passage_of,
    route_record,
)
from hallmark.services.following.followed_log import FollowedLog
from hallmark.verification.outcome_checks import key_of

RECORD: Final = "r"
OTHERS: Final = "o"
SAID: Final[tuple[int, ...]] = (Said.RIGHT, Said.WRONG, Said.PARTLY)


class Word(msgspec.Struct, frozen=True):
    """One entry that holds, of a receipt that does: its place, what it says, and on what it lands."""

    position: int
    admitted: int
    outcome: Outcome
    basis: Basis
    told: ReceiptContext
    landed: tuple[Landing, ...]
    registered: bool

    @property
    def kind(self) -> str:
        """Whether it makes records, or stands beside them."""
        return RECORD if self.registered else OTHERS


def word_at(watch: FollowedLog, position: int) -> Word | None:
    """The word that stands there; None where the entry is something else, or it or its receipt does not
    hold.
    """
    admitted, entry = watch.leaves.entry(position)
    outcome = entry.statement
    if not isinstance(outcome, Outcome) or watch.replica.failures(position):
        return None
    if watch.replica.failures(outcome.subject):
        return None
    try:
        basis = Basis.decode(entry.attachments[0])
        told = of_logged(watch.judge.logged(outcome.subject))
    except (HallmarkError, NotFound, IndexError):
        return None
    asked, route = label(watch, told), route_record(told)
    landed = landings(
        told.receipt,
        basis,
        label=asked,
        route=route,
        gateway=gateway_of(passage_of(watch, told, route)),
    )
    return Word(
        position, admitted, outcome, basis, told, landed, _registered(watch, outcome, asked, position)
    )


def counted_words(watch: FollowedLog, word: Word) -> tuple[Counted, ...]:
    """What a word adds to counts, and what it takes off."""
    said = watch.replica.registry.outcomes.get(key_of(word.outcome.item, word.outcome.speaker), ())
    earlier = [at for at, _ in said if at < word.position]
    before = word_at(watch, earlier[-1]) if earlier else None
    return (*_counts(word, "+"), *(_counts(before, "-") if before is not None else ()))


def subjects_of(word: Word) -> tuple[bytes, ...]:
    """By what a word is found: its receipt, and the artifact that it lands on."""
    artifacts = [one.key for one in word.landed if one.scope is Scope.ARTIFACT]
    return (word.outcome.item, *artifacts)


def count_of(scope: Scope, kind: str, said: int, sign: str, *, within: bool = False) -> str:
    """The name of a count: of a thing alone, or `within` an artifact, with whose ID the key begins then."""
    return f"{scope}{'@' if within else ':'}{kind}{said}{sign}"


def _counts(word: Word, sign: str) -> tuple[Counted, ...]:
    said = word.outcome.said
    if said not in SAID:
        return ()
    artifact = next((one.key for one in word.landed if one.scope is Scope.ARTIFACT), b"")
    alone = [(count_of(one.scope, word.kind, said, sign), one.key) for one in word.landed]
    within = [
        (count_of(one.scope, word.kind, said, sign, within=True), artifact + one.key)
        for one in word.landed
        if artifact and one.scope is not Scope.ARTIFACT
    ]
    return (*alone, *within)


def _registered(watch: FollowedLog, outcome: Outcome, asked: str, position: int) -> bool:
    """Whether the speaker was a reviewer by then, and not the owner of what he speaks of. That a key was
    found compromised later changes nothing here: sums must come out the same whenever they are made.
    """
    member = watch.replica.registry.members.get(outcome.speaker)
    owned = watch.replica.registry.labels.get(asked)
    own = owned is not None and owned.owner in (outcome.speaker, member.owner if member else b"")
    return member is not None and member.role is Role.REVIEWER and member.valid.covers(position) and not own


def newest_of(words: list[Word]) -> set[int]:
    """Positions of the words that count: the newest of each speaker on each receipt, unless withdrawn."""
    newest: dict[tuple[bytes, bytes], Word] = {}
    for word in sorted(words, key=lambda one: one.position):
        newest[word.outcome.item, word.outcome.speaker] = word
    return {one.position for one in newest.values() if one.outcome.said in SAID}
