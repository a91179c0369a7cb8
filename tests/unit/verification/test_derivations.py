"""What was made from what: who may say so, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hallmark.core.derivations import Figure, Making, check_making
from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput
from hallmark.crypto.secp256k1 import Key
from hallmark.testing.derivations import MADE, derivation
from hallmark.testing.network import LittleNetwork
from hallmark.verification.derivation_checks import MOST_STEPS

STRANGER = Key(b"\x31" * 32)
NOWHERE = b"\x07" * 32


class Scene:
    """A network whose label has had many versions."""

    def __init__(self) -> None:
        self.net = LittleNetwork()
        self.manifests = [self.net.manifest.digest()]
        for number in range(2, MOST_STEPS + 4):
            made = self.net.make_manifest(str(number), bytes([number]), hex0x(self.manifests[-1]))
            self.net.add(self.net.version(made))
            self.manifests.append(made.digest())

    def say(self, source: bytes, derived: bytes, by: Key | None = None, **changes: Any) -> int:
        """Where it stands."""
        return self.net.add(derivation(self.net, by or self.net.maker, source, derived, **changes))

    def failures(self, index: int) -> tuple[str, ...]:
        """What is found against an entry."""
        return self.net.replica().failures(index)


@pytest.fixture
def scene() -> Scene:
    """A fresh scene."""
    return Scene()


def test_the_owner_says_what_it_was_made_from_and_the_first_word_stays(scene: Scene) -> None:
    """The registry keeps the first; the second is refused by its reason."""
    first, second, other = scene.manifests[:3]
    said = scene.say(first, second)
    again = scene.say(other, second)
    assert scene.failures(said) == ()
    assert scene.failures(again) == ("derivation_repeated",)
    kept = scene.net.replica().registry.derivations
    assert (kept[second].position, kept[second].source, kept[second].making) == (said, first, MADE)
    assert list(kept) == [second]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"by": STRANGER}, "derivation_not_owner"),
        ({"author": b"\x07" * 20}, "bad_signature"),
        ({"source": NOWHERE}, "derivation_manifest"),
        ({"derived": NOWHERE}, "derivation_manifest"),
        ({"document": NOWHERE}, "document_mismatch"),
        ({"network": NOWHERE}, "wrong_network"),
        ({"making": Making("", "1")}, "derivation_unsound"),
    ],
)
def test_what_does_not_hold_is_refused_by_its_reason(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    """And nothing of it is kept."""
    said = {"source": scene.manifests[0], "derived": scene.manifests[1], **changes}
    assert reason in scene.failures(scene.say(**said))
    assert not scene.net.replica().registry.derivations


def test_the_author_signs_alone(scene: Scene) -> None:
    """A second signature makes it nobody's word."""
    entry = derivation(scene.net, scene.net.maker, *scene.manifests[:2])
    twice = msgspec.structs.replace(entry, signatures=entry.signatures * 2)
    assert "bad_signature" in scene.failures(scene.net.add(twice))


def test_nothing_is_made_from_itself(scene: Scene) -> None:
    """Neither at once, nor by way of others."""
    first, second, third = scene.manifests[:3]
    assert scene.failures(scene.say(first, first)) == ("derivation_circular",)
    assert scene.failures(scene.say(first, second)) == ()
    assert scene.failures(scene.say(second, third)) == ()
    assert scene.failures(scene.say(third, first)) == ("derivation_circular",)


def test_a_row_of_derivations_ends(scene: Scene) -> None:
    """So that nobody makes the fold walk without end."""
    pairs = list(zip(scene.manifests, scene.manifests[1:], strict=False))
    for source, derived in pairs[:MOST_STEPS]:
        found = scene.failures(scene.say(source, derived))
    assert found == ()
    assert scene.failures(scene.say(*pairs[MOST_STEPS])) == ("derivation_too_long",)


@pytest.mark.parametrize(
    "changes",
    [
        {"tool": ""},
        {"version": "a\nb"},
        {"parameters": "x" * 4_097},
        {"figures": ()},
        {"figures": MADE.figures[::-1]},
        {"figures": MADE.figures[:1] * 2},
        {"figures": (Figure("right", 0, "images", 0),)},
        {"figures": tuple(Figure(f"{n:02}", 1, "images", 1) for n in range(33))},
    ],
)
def test_a_document_names_a_tool_and_sorted_figures(changes: dict[str, Any]) -> None:
    """Anything else is refused."""
    check_making(MADE)
    with pytest.raises(InvalidInput, match="bad_derivation"):
        check_making(msgspec.structs.replace(MADE, **changes))
