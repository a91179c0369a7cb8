"""What people say of answers, at the log's door: a member's own word, or a stranger's who shows work."""

from __future__ import annotations

import pytest

from hallmark.core.document import hex0x
from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.outcomes import TEXT, Basis
from hallmark.core.statements import Outcome, Role, Said
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.log.membership import Member
from hallmark.services.log.submitters import Authority, Lane, confirm, presume
from hallmark.testing.log_entries import AUTHORITY, CHAIN_ID

REVIEWER, NODE, STRANGER = Key(b"\x21" * 32), Key(b"\x22" * 32), Key(b"\x23" * 32)
ROLES = {REVIEWER.address: Role.REVIEWER, NODE.address: Role.NODE}
BASIS = Basis(TEXT, hex0x(b"\x01" * 32))


class Known:
    """A reviewer and a node."""

    def member(self, key: bytes, role: Role | None = None) -> Member | None:
        """One of the two."""
        found = ROLES.get(key)
        known = found is not None and role in (None, found)
        return Member(key, found, AUTHORITY.address) if known and found is not None else None

    def vouched(self, _owner: bytes) -> bool:
        """Nobody."""
        return False


def entry(speaker: Key, signer: Key | None = None, document: bytes | None = None) -> Entry:
    """Somebody's word."""
    said = Outcome(bytes(32), speaker.address, b"\x05" * 32, 1, Said.WRONG, BASIS.digest(), 1)
    attached = BASIS.encode() if document is None else document
    return Entry(said, (sign_statement(said, CHAIN_ID, signer or speaker),), (attached,))


@pytest.mark.parametrize(
    ("speaker", "lane", "quota"),
    [
        (REVIEWER, Lane.MEMBERS, "reviews"),
        (NODE, Lane.MEMBERS, "members"),
        (STRANGER, Lane.STRANGERS, "strangers"),
    ],
)
def test_everybody_speaks_at_his_own_charge(speaker: Key, lane: Lane, quota: str) -> None:
    """Reviewers as they review, members as members, anybody else as a stranger, who shows work."""
    standing = presume(entry(speaker), Known())  # type: ignore[arg-type]
    assert (standing.lane, standing.quota) == (lane, quota)


def test_a_word_in_anothers_name_or_without_its_basis_is_refused() -> None:
    """By a stable reason."""
    authority = Authority(frozenset((AUTHORITY.address,)), 1, CHAIN_ID)
    note = confirm(entry(STRANGER), (STRANGER.address,), Known(), authority)  # type: ignore[arg-type]
    assert note.key == STRANGER.address
    for bad, signer, reason in (
        (entry(STRANGER, NODE), NODE, "wrong_signer"),
        (entry(STRANGER, document=b"{}"), STRANGER, "document_mismatch"),
    ):
        with pytest.raises(HallmarkError, match=reason):
            confirm(bad, (signer.address,), Known(), authority)  # type: ignore[arg-type]
