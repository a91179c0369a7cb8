"""Whether words claim something: whole words, clause by clause, with room for what is denied or only
required.

"Not attested" claims nothing; "nobody doubts it: attested" does, because a denial reaches no further than its
clause and eight words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

# What ends a clause. A colon does, so that "Verdict, no doubt: attested" is two.
CLAUSES = re.compile(r"[.;:!?|\u2014\u00b7\n]+(?=\s|$)|\s\|\s")
DENIED = re.compile(
    r"\b(not|no|never|nobody|nothing|none|neither|nor|cannot|without|isn't|doesn't|hasn't|wasn't|can't)\b",
    re.IGNORECASE,
)
# What is asked for, awaited or merely possible is not claimed.
WANTED = re.compile(
    r"\b(until|unless|if|whether|asks?|asked|requires?|required|needs?|must|would|should|least|waits?|before|"
    r"which)\b",
    re.IGNORECASE,
)
REACH = 8


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern over whole words, whatever their case."""
    return re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE)


def clauses(text: str) -> Iterator[str]:
    """The clauses of a text."""
    return (part for part in CLAUSES.split(text) if part and part.strip())


@lru_cache(65_536)
def claimed(text: str, pattern: str, wanted: bool = True) -> tuple[tuple[str, str], ...]:
    """Every match of `pattern` that stands without a denial before it in its clause, and that clause.

    `wanted`: a word of requirement or waiting ("until", "asks") before it excuses it as well.
    """
    found = []
    for clause in clauses(text):
        for match in compiled(pattern).finditer(clause):
            before = " ".join(clause[: match.start()].split()[-REACH:])
            if not (DENIED.search(before) or (wanted and WANTED.search(before))):
                found.append((match.group(0), clause))
    return tuple(found)
