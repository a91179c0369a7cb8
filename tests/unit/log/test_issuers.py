"""An issuer's keys at the log's door: a registered issuer's own word, with their document, or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.core.entries import Entry
from hallmark.core.errors import HallmarkError
from hallmark.core.statements import IssuerEpoch, Role
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.services.log.membership import Member
from hallmark.services.log.submitters import Authority, Lane, confirm, presume
from hallmark.testing.log_entries import AUTHORITY, CHAIN_ID
from hallmark.testing.tokens import issuer_keys

ISSUER, STRANGER = Key(b"\x21" * 32), Key(b"\x22" * 32)


class Known:
    """Members of which one is an issuer."""

    def member(self, key: bytes, role: Role | None = None) -> Member | None:
        """The issuer."""
        found = key == ISSUER.address and role in (None, Role.ISSUER)
        return Member(key, Role.ISSUER, AUTHORITY.address) if found else None


def entry(issuer: Key = ISSUER, signer: Key = ISSUER, document: bytes | None = None) -> Entry:
    """A key set's entry."""
    keys = issuer_keys()
    statement = IssuerEpoch(bytes(32), issuer.address, 1, keys.digest(), 1)
    attached = (keys.encode() if document is None else document,)
    return Entry(statement, (sign_statement(statement, CHAIN_ID, signer),), attached)


def test_a_registered_issuers_keys_are_taken_in_its_own_name() -> None:
    """They count as its own, in the lane of members."""
    standing = presume(entry(), Known())  # type: ignore[arg-type]
    assert (standing.lane, standing.quota, standing.key) == (Lane.MEMBERS, "members", ISSUER.address)


def test_a_strangers_keys_are_not_taken() -> None:
    """Nobody known may say so."""
    with pytest.raises(HallmarkError, match="signer_unknown"):
        presume(entry(STRANGER, STRANGER), Known())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signer": STRANGER}, "wrong_signer"),
        ({"document": b"{}"}, "document_mismatch"),
    ],
)
def test_keys_in_anothers_name_or_without_their_document_are_refused(
    changes: dict[str, Any], reason: str
) -> None:
    """By a stable reason."""
    authority = Authority(frozenset((AUTHORITY.address,)), 1, CHAIN_ID)
    confirm(entry(), (ISSUER.address,), Known(), authority)  # type: ignore[arg-type]
    signer = changes.get("signer", ISSUER)
    with pytest.raises(HallmarkError, match=reason):
        confirm(entry(**changes), (signer.address,), Known(), authority)  # type: ignore[arg-type]
