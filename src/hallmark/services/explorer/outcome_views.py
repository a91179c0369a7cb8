"""What pages show of how answers turned out. Bounds are parts per million; None: nobody said anything.

Times are unix ms, digests and addresses 0x-hex, `index` a log position.
"""

from __future__ import annotations

from typing import Final

from hallmark.services.explorer.shared_views import Shown

UNKNOWN: Final = "unknown"


class SaidWord(Shown, frozen=True):
    """What somebody said. `called` is the speaker's name ("": none that is shown), `registered` whether the
    word makes records, `counts` false where a later one of the same speaker stands in its place.
    """

    index: int
    at: int
    speaker: str
    called: str
    registered: bool
    said: str
    rests_on: str
    counts: bool


class RecordRow(Shown, frozen=True):
    """A thing with its record: words of registered reviewers, and the lower bound of how often they say
    right. `others_*` are everybody else's words, in no bound.
    """

    scope: str
    what: str
    link: str
    right: int
    wrong: int
    partly: int
    bound: int | None
    others_right: int = 0
    others_wrong: int = 0
    others_partly: int = 0

    @property
    def count(self) -> int:
        """Words that the bound is of."""
        return self.right + self.wrong + self.partly

    @property
    def others(self) -> int:
        """Words beside it."""
        return self.others_right + self.others_wrong + self.others_partly


def quality_words(record: RecordRow) -> str:
    """A record in words; "unknown" where nothing was said that counts."""
    if record.bound is None:
        return UNKNOWN
    words = "word" if record.count == 1 else "words"
    return f"said right at least {record.bound // 1_000:,} times in 1,000, by {record.count:,} {words}"


class Unknown(Shown, frozen=True):
    """A thing that words could not land on, and why."""

    scope: str
    why: str


class ReceiptOutcomes(Shown, frozen=True):
    """What was said of one receipt, newest first, the record of each thing that it landed on, and what it
    could not land on.
    """

    sentence: str
    words: tuple[SaidWord, ...] = ()
    records: tuple[RecordRow, ...] = ()
    more: bool = False
    unknown: tuple[Unknown, ...] = ()


class ArtifactQuality(Shown, frozen=True):
    """The record of one artifact, where it begins (a version's log position and time), its first word (-1:
    none), and its parts by node, route and what else is shown, each within this artifact.
    """

    artifact: str
    blob: str
    version: str
    now: bool
    begins: int
    begins_at: int
    first_word: int
    record: RecordRow
    parts: tuple[RecordRow, ...] = ()
