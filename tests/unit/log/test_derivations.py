"""What was made from what, at the log's door: only who has published something may say it."""

from __future__ import annotations

import pytest

from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Derivation
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.log.submitters import Authority, Lane, confirm, presume
from hallmark.testing.derivations import MADE
from hallmark.testing.log_entries import AUTHORITY, CHAIN_ID

VOUCHED, PUBLISHER, STRANGER = Key(b"\x21" * 32), Key(b"\x22" * 32), Key(b"\x23" * 32)


class Known:
    """An owner who is vouched for, and one who has published."""

    def vouched(self, owner: bytes) -> bool:
        """One."""
        return owner == VOUCHED.address

    def publisher(self, owner: bytes) -> bool:
        """The other."""
        return owner == PUBLISHER.address


def entry(author: Key, signer: Key | None = None, document: bytes | None = None) -> Entry:
    """Somebody's word."""
    said = Derivation(bytes(32), author.address, b"\x05" * 32, b"\x06" * 32, ZERO32, MADE.digest(), 1)
    attached = MADE.encode() if document is None else document
    return Entry(said, (sign_statement(said, CHAIN_ID, signer or author),), (attached,))


def test_only_who_published_may_say_it() -> None:
    """One who is vouched for as a member, another for work, anybody else not at all."""
    for author, lane in ((VOUCHED, Lane.MEMBERS), (PUBLISHER, Lane.STRANGERS)):
        assert presume(entry(author), Known()).lane is lane  # type: ignore[arg-type]
    with pytest.raises(HallmarkError, match="signer_unknown"):
        presume(entry(STRANGER), Known())  # type: ignore[arg-type]


def test_a_word_in_anothers_name_or_without_its_document_is_refused() -> None:
    """By a stable reason."""
    authority = Authority(frozenset((AUTHORITY.address,)), 1, CHAIN_ID)
    confirm(entry(VOUCHED), (VOUCHED.address,), Known(), authority)  # type: ignore[arg-type]
    for bad, signer, reason in (
        (entry(VOUCHED, STRANGER), STRANGER, "wrong_signer"),
        (entry(VOUCHED, document=b"{}"), VOUCHED, "document_mismatch"),
    ):
        with pytest.raises(HallmarkError, match=reason):
            confirm(bad, (signer.address,), Known(), authority)  # type: ignore[arg-type]
