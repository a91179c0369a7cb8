"""How answers turned out: of one receipt, and of the artifacts that a label pointed to.

An artifact's record is its own. A label that moves takes nothing along; where it moves back, the record of
the artifact that it had is there again, from where that began.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hallmark.core.blob_ids import blob_text
from hallmark.core.document import hex0x, unhex
from hallmark.core.statements import Said
from hallmark.discovery.attribution import Landing, Scope, told, unknown
from hallmark.discovery.record import Record
from hallmark.services.explorer import links, wording
from hallmark.services.explorer.entries import basis_told
from hallmark.services.explorer.figures import Tally
from hallmark.services.explorer.index import WORD, Index
from hallmark.services.explorer.outcome_reader import (
    OTHERS,
    RECORD,
    Word,
    count_of,
    newest_of,
    word_at,
)
from hallmark.services.explorer.outcome_views import (
    ArtifactQuality,
    ReceiptOutcomes,
    RecordRow,
    SaidWord,
    Unknown,
)
from hallmark.services.explorer.receipt_context import ReceiptContext, called
from hallmark.services.explorer.shared_views import LineageStep
from hallmark.services.explorer.views import ModelRow
from hallmark.services.following.followed_log import FollowedLog

SHOWN: Final = 50
MOST_PARTS: Final = 40
SILENT: Final = "Nobody has said how this answer turned out. That is no word for it, and none against it."
PARTS: Final = (
    Scope.NODE,
    Scope.ROUTE,
    Scope.TEMPLATE,
    Scope.PARAMETERS,
    Scope.DATA,
    Scope.MEMORY,
)


def record(tally: Tally, scope: Scope, key: bytes, kind: str = RECORD, *, within: bool = False) -> Record:
    """The words that count on a thing."""

    def net(said: Said) -> int:
        added, taken = (tally.of(count_of(scope, kind, said, sign, within=within), key) for sign in "+-")
        return max(added - taken, 0)

    return Record(net(Said.RIGHT), net(Said.WRONG), net(Said.PARTLY))


def row(tally: Tally, landing: Landing, *, artifact: bytes = b"") -> RecordRow:
    """A thing with its record; `within` the artifact where one is given."""
    key, within = artifact + landing.key, bool(artifact)
    known = record(tally, landing.scope, key, within=within)
    others = record(tally, landing.scope, key, OTHERS, within=within)
    link = {
        Scope.ARTIFACT: links.artifact(hex0x(landing.key)),
        Scope.NODE: links.node(landing.key),
        Scope.ASSERTED: links.model(told(landing)),
    }.get(landing.scope, "")
    return RecordRow(
        landing.scope,
        told(landing),
        link,
        known.right,
        known.wrong,
        known.partly,
        known.bound,
        others.right,
        others.wrong,
        others.partly,
    )


def of_row(tally: Tally, label: ModelRow) -> RecordRow:
    """The record behind a label now: its artifact's, or what was said of a provider's answers under it."""
    if label.asserted or not label.artifact:
        return row(tally, Landing(Scope.ASSERTED, label.label.encode()))
    return row(tally, Landing(Scope.ARTIFACT, unhex(label.artifact)))


async def of_receipt(watch: FollowedLog, index: Index, about: ReceiptContext) -> ReceiptOutcomes:
    """What was said of one receipt."""
    found = await index.about(about.id, SHOWN + 1, space=WORD)
    words = [word for at in found if at < watch.replica.size and (word := word_at(watch, at)) is not None]
    words = [word for word in words if word.outcome.item == about.id]
    if not words:
        return ReceiptOutcomes(SILENT)
    counting = newest_of(words)
    landed = list(dict.fromkeys(landing for word in words for landing in word.landed))
    landed.sort(key=lambda one: list(Scope).index(one.scope))
    return ReceiptOutcomes(
        _sentence([word for word in words if word.position in counting]),
        tuple(_said(watch, word, word.position in counting) for word in words[:SHOWN]),
        tuple(row(index.tally, landing) for landing in landed),
        more=len(found) > SHOWN,
        unknown=tuple(Unknown(*one) for one in unknown(about.receipt, {one.scope for one in landed})),
    )


async def of_label(index: Index, steps: tuple[LineageStep, ...]) -> tuple[ArtifactQuality, ...]:
    """The record of every artifact that a label pointed to, the newest first, each once."""
    seen: dict[str, ArtifactQuality] = {}
    for step in steps:
        known = seen.pop(step.artifact, None)
        artifact = unhex(step.artifact)
        first = await index.first(WORD, artifact)
        seen[step.artifact] = ArtifactQuality(
            artifact=step.artifact,
            blob=blob_text(artifact),
            version=step.version,
            now=step.now,
            begins=known.begins if known else step.index,
            begins_at=known.begins_at if known else step.at,
            first_word=first,
            record=row(index.tally, Landing(Scope.ARTIFACT, artifact)),
            parts=tuple(_parts(index.tally, artifact)) if first >= 0 else (),
        )
    return tuple(reversed(seen.values()))


def _parts(tally: Tally, artifact: bytes) -> Iterator[RecordRow]:
    """What else the words on an artifact landed on, each with its record within it."""
    for scope in PARTS:
        names = {count_of(scope, kind, said, "+", within=True) for kind in (RECORD, OTHERS) for said in Said}
        keys = sorted({key for name in names for key in tally.keys(name) if key.startswith(artifact)})
        for key in keys[:MOST_PARTS]:
            yield row(tally, Landing(scope, key[len(artifact) :]), artifact=artifact)


def _said(watch: FollowedLog, word: Word, counts: bool) -> SaidWord:
    member = watch.replica.registry.members.get(word.outcome.speaker)
    return SaidWord(
        index=word.position,
        at=word.admitted,
        speaker=hex0x(word.outcome.speaker),
        called=called(watch, member),
        registered=word.registered,
        said=Said(word.outcome.said).name.lower(),
        rests_on=basis_told(word.basis),
        counts=counts,
    )


def _sentence(counting: list[Word]) -> str:
    if not counting:
        return "What was said of this answer was withdrawn."
    parts = []
    for registered, who in ((True, "registered reviewer"), (False, "other speaker")):
        said = [word for word in counting if word.registered is registered]
        if said:
            kinds = [(kind, sum(one.outcome.said == kind for one in said)) for kind in Said]
            told_of = ", ".join(f"{count:,} {kind.name.lower()}" for kind, count in kinds if count)
            parts.append(f"{wording.count(len(said), who)} said of this answer: {told_of}.")
    return " ".join(parts)
