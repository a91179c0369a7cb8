"""One row of the table of forbidden claims."""

from __future__ import annotations

from typing import Literal

import msgspec

from hallmark.apps.web.claims.facts import When

# anywhere: every text of a surface. subject: text about an item or receipt. mark: text within the mark of the
# rule's question. word: that mark's own word. control: names of buttons and links about the subject.
Scope = Literal["anywhere", "subject", "mark", "word", "control"]


class Rule(msgspec.Struct, frozen=True):
    """One row: while `when` holds, text in `scope` may not claim `words`.

    `beside`: patterns that all have to stand on the same line to make it honest. `unless`: patterns of
    clauses that say something else altogether. `literal`: no denial or requirement excuses it. `about`: the
    parties of whom it may not be said; what is said of another one, the nearest that is named, is no claim.
    `{label}` and `{artifact}` stand for the subject's own; a rule whose slot is empty does not apply.
    """

    name: str
    words: str
    why: str
    when: When = When()
    scope: Scope = "subject"
    question: str = ""
    beside: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    literal: bool = False
    wanted: bool = True
    about: tuple[str, ...] = ()
