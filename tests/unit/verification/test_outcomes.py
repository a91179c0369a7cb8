"""What people say of answers: who may say what, and that no mark hears it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.core.marks import derive_marks
from hallmark.core.outcomes import EVALUATION, RECEIPT, TEXT, Basis, check_basis, text_digest
from hallmark.core.statements import Said
from hallmark.crypto.secp256k1 import Key
from hallmark.testing.network import LittleNetwork
from hallmark.testing.outcomes import NAMED, TOLD, outcome
from hallmark.verification.live import live_findings
from hallmark.verification.outcome_checks import MOST_WORDS, key_of

STRANGER = Key(b"\x31" * 32)
ELSEWHERE = Basis(RECEIPT, "0x" + "07" * 32)


class Scene:
    """A network with one logged answer."""

    def __init__(self) -> None:
        self.net = LittleNetwork()
        self.net.register(self.net.reviewers[0])
        self.answer = self.net.answer(self.net.nodes[0])
        self.subject = self.net.add(self.answer.entry)

    def say(self, by: Key, said: Said = Said.WRONG, basis: Basis = TOLD, **changes: Any) -> int:
        """Where it stands."""
        return self.net.add(outcome(self.net, by, self.subject, said, basis, **changes))

    def failures(self, index: int) -> tuple[str, ...]:
        """What is found against an entry."""
        return self.net.replica().failures(index)


@pytest.fixture
def scene() -> Scene:
    """A fresh scene."""
    return Scene()


def test_anybody_may_say_how_an_answer_turned_out(scene: Scene) -> None:
    """A reviewer and a stranger; the registry has each one's words in order."""
    item = scene.answer.receipt.digest()
    first = scene.say(scene.net.reviewers[0].key, Said.RIGHT, NAMED)
    second = scene.say(STRANGER, Said.WRONG)
    third = scene.say(STRANGER, Said.PARTLY, Basis(RECEIPT, hex0x(item)))
    registry = scene.net.replica().registry
    assert [scene.failures(at) for at in (first, second, third)] == [(), (), ()]
    assert registry.outcomes[key_of(item, STRANGER.address)] == ((second, Said.WRONG), (third, Said.PARTLY))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"item": b"\x07" * 32}, "outcome_subject"),
        ({"subject": 3}, "outcome_subject"),
        ({"said": 9}, "outcome_unknown"),
        ({"network": b"\x07" * 32}, "wrong_network"),
        ({"speaker": b"\x07" * 20}, "bad_signature"),
        ({"document": b"\x07" * 32}, "document_mismatch"),
        ({"basis": ELSEWHERE}, "basis_unsound"),
        ({"basis": Basis(EVALUATION, "0x" + "00" * 32)}, "basis_unsound"),
    ],
)
def test_what_does_not_hold_is_said_to_full_nodes_alone(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    """It stands in the log, with its reason, and counts nowhere."""
    index = scene.say(STRANGER, **changes)
    assert reason in scene.failures(index)
    assert not scene.net.replica().registry.outcomes


def test_nobody_speaks_of_what_he_executed(scene: Scene) -> None:
    """Neither the node's owner, nor the gateway."""
    for by in (scene.net.nodes[0].owner, scene.net.gateway.key):
        assert scene.failures(scene.say(by, Said.RIGHT)) == ("speaker_is_executor",)


def test_a_key_that_is_not_to_be_believed_says_nothing(scene: Scene) -> None:
    """From where it was compromised on."""
    scene.net.add(scene.net.compromise(scene.net.reviewers[0], scene.subject))
    assert scene.failures(scene.say(scene.net.reviewers[0].key)) == ("key_compromised",)


def test_words_are_counted(scene: Scene) -> None:
    """Eight on one receipt, so that nobody makes a row of the fold grow without end."""
    for number in range(MOST_WORDS):
        assert scene.failures(scene.say(STRANGER, at=number)) == ()
    assert scene.failures(scene.say(STRANGER, at=99)) == ("words_used_up",)


def test_no_mark_hears_it(scene: Scene) -> None:
    """All seven are as they were; how far the log was read apart."""

    def marks() -> list[tuple[str, str, str]]:
        found = derive_marks(
            live_findings(
                scene.net.replica(), scene.subject, scene.answer.entry, None, by="x", now=scene.net.now
            )
        )
        return [(str(q), str(m.state), m.reason) for q, m in found.items()]

    before = marks()
    scene.say(STRANGER)
    assert marks() == before


@pytest.mark.parametrize(
    "basis",
    [
        msgspec.structs.replace(NAMED, name=""),
        msgspec.structs.replace(TOLD, name="a name"),
        msgspec.structs.replace(TOLD, rests_on="0x" + "00" * 32),
        msgspec.structs.replace(TOLD, kind="feeling"),
        msgspec.structs.replace(NAMED, name="a\nb"),
        msgspec.structs.replace(NAMED, name="x" * 101),
        msgspec.structs.replace(NAMED, inputs=("{}",) * 33),
    ],
)
def test_a_basis_is_named_as_its_kind_says(basis: Basis) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidInput, match="bad_basis"):
        check_basis(basis)


def test_a_text_is_committed_to_with_its_salt() -> None:
    """The same text under another salt is another digest: a short text cannot be guessed."""
    first, other = text_digest(bytes(32), "wrong"), text_digest(b"\x01" * 32, "wrong")
    assert first != other
    assert Basis(TEXT, hex0x(first)).kind == TEXT
    with pytest.raises(InvalidInput, match="bad_salt"):
        text_digest(b"", "wrong")
