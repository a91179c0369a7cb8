"""What somebody who says how an answer turned out rests that on, and what is shown beside it.

The log holds digests, never what was said in words. `kind` is

    text         SHA-256("hallmark/outcome-text/v1" 0x00 || salt (32) || text); both are the speaker's
    evaluation   `name` says which; SHA-256 of its report, zero where there is none
    receipt      the id of another receipt of this log, such as one of the same question

`parameters` and `inputs` are the exact documents that the receipt commits to, where the speaker shows them:
whoever reads the entry compares their digests with the receipt's, and what does not fit lands nowhere.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.document import Document, Hex32, hex0x
from hallmark.core.errors import InvalidInput
from hallmark.core.hashing import ZERO32, sha256

TEXT, EVALUATION, RECEIPT = "text", "evaluation", "receipt"
KINDS: Final = (TEXT, EVALUATION, RECEIPT)
TEXT_TAG: Final = b"hallmark/outcome-text/v1\0"
LONGEST_NAME: Final = 100
MOST_INPUTS: Final = 32
SALT: Final = 32


class Basis(Document, frozen=True):
    """See the module docstring."""

    TAG = "hallmark/outcome-basis/v1"

    kind: str
    rests_on: Hex32
    name: str = ""
    parameters: str = ""
    inputs: tuple[str, ...] = ()


def text_digest(salt: bytes, text: str) -> bytes:
    """What a text is committed to by; 32 bytes. Raises InvalidInput `bad_salt` unless `salt` has 32 bytes."""
    if len(salt) != SALT:
        raise InvalidInput("bad_salt", f"A salt has {SALT} bytes.", "Take them from secrets.token_bytes.")
    return sha256(TEXT_TAG, salt, text.encode())


def check_basis(basis: Basis) -> None:
    """Raises InvalidInput `bad_basis` for one that names nothing, or more than its kind has."""
    named = 0 < len(basis.name) <= LONGEST_NAME and basis.name.isprintable()
    wrong = {
        basis.kind not in KINDS: f"What it rests on is one of {', '.join(KINDS)}.",
        (basis.kind == EVALUATION) is not bool(basis.name): "An evaluation has a name, and nothing else has.",
        bool(basis.name) and not named: f"A name has at most {LONGEST_NAME} printable characters.",
        basis.kind != EVALUATION and basis.rests_on == hex0x(ZERO32): "A text or receipt has a digest.",
        len(basis.inputs) > MOST_INPUTS: f"At most {MOST_INPUTS} input records are shown.",
    }
    for is_wrong, why in wrong.items():
        if is_wrong:
            raise InvalidInput("bad_basis", why, "See docs/outcomes.md.")
