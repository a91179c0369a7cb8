"""Saying how an answer turned out: what is signed, what is shown, and what is refused before it leaves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hallmark import AsyncClient
from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import ZERO32, sha256
from hallmark.core.outcomes import text_digest
from hallmark.crypto.secp256k1 import Key
from hallmark.services.sdk.outcomes import (
    rests_on_evaluation,
    rests_on_receipt,
    rests_on_text,
    say,
    showing,
)
from hallmark.testing.dossiers import Notary
from hallmark.testing.network import LittleNetwork
from hallmark.verification.dossier import Dossier

KEY = Key(b"\x31" * 32)


@pytest.fixture(scope="module")
def saved() -> Dossier:
    """A receipt with its owner's documents."""
    net = LittleNetwork()
    answer = net.answer(net.nodes[0])
    return Notary(net).dossier(answer, net.add(answer.entry))


def test_a_text_stays_here() -> None:
    """The basis holds its salted digest; two words on one text are two digests."""
    first, second = rests_on_text("It is a four."), rests_on_text("It is a four.")
    assert first.basis.rests_on == hex0x(text_digest(first.salt, "It is a four."))
    assert first.basis.rests_on != second.basis.rests_on
    assert b"four" not in first.basis.encode()


def test_an_evaluation_has_a_name_and_perhaps_a_report() -> None:
    """Its digest, or zero."""
    assert rests_on_evaluation("digits-1000", b"report").basis.rests_on == hex0x(sha256(b"report"))
    assert rests_on_evaluation("digits-1000").basis.rests_on == hex0x(ZERO32)


def test_what_is_shown_is_the_receipts_own(saved: Dossier) -> None:
    """Parameters of another receipt are not signed for."""
    shown = showing(rests_on_evaluation("digits-1000"), saved, saved.id).basis
    assert shown.parameters == saved.documents.parameters
    documents = msgspec.structs.replace(saved.documents, parameters='{"task":"other"}')
    with pytest.raises(HallmarkError, match="parameters_mismatch"):
        showing(rests_on_text("x"), msgspec.structs.replace(saved, documents=documents), saved.id)
    documents = msgspec.structs.replace(saved.documents, inputs=("{}",))
    with pytest.raises(HallmarkError, match="inputs_mismatch"):
        showing(rests_on_text("x"), msgspec.structs.replace(saved, documents=documents), saved.id)
    with pytest.raises(HallmarkError, match="other_receipt"):
        showing(rests_on_text("x"), saved, "0x" + "00" * 32)


async def test_nothing_is_signed_that_cannot_be_meant(saved: Dossier) -> None:
    """By a stable reason each."""
    rests = rests_on_receipt(saved.id)
    for said, based, reason in (
        ("maybe", rests, "bad_word"),
        ("wrong", rests_on_evaluation(""), "bad_basis"),
        ("wrong", rests, "no_trust_file"),
    ):
        with pytest.raises(HallmarkError, match=reason):
            await say(saved, said, based, key=KEY, verifier=None, log="http://127.0.0.1:1", now=1)


async def test_a_sealed_client_does_not_speak(tmp_path: Path) -> None:
    """The log would see its address beside what it says."""
    trust = tmp_path / "trust.toml"
    trust.write_text(Notary(LittleNetwork()).trust().to_toml())
    async with AsyncClient(relay="http://127.0.0.1:1", privacy="sealed", trust=trust) as client:
        with pytest.raises(HallmarkError, match="not_on_the_sealed_way"):
            await client.outcome("0x" + "00" * 32, "wrong", rests_on_text("x"), key=KEY)
