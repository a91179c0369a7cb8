"""A client that notices when a label points to another artifact than before."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from hallmark.core.document import hex0x
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.core.model_names import pinned
from hallmark.services.sdk.seen_models import ModelMove, ModelMoved, SeenModels

NETWORK = b"n" * 32
TUESDAY, THURSDAY = b"\1" * 32, b"\2" * 32


def test_a_move_is_warned_of_once(tmp_path: Path) -> None:
    """By default the first answer is taken as it comes, another artifact is said, and then it is known, also
    to a new process.
    """
    path = tmp_path / "seen.json"
    seen = SeenModels("warn", NETWORK, path)
    assert seen.arrived("digits", TUESDAY) is None
    seen = SeenModels("warn", NETWORK, path)
    with pytest.warns(ModelMoved, match="digits is another artifact"):
        move = seen.arrived("digits", THURSDAY)
    assert move == ModelMove("digits", hex0x(TUESDAY), hex0x(THURSDAY))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SeenModels("warn", NETWORK, path).arrived("digits", THURSDAY) is None


def test_a_move_is_refused_by_pinning(tmp_path: Path) -> None:
    """What was seen is what is asked for from then on, until it is to be forgotten."""
    seen = SeenModels("refuse", NETWORK, tmp_path / "seen.json")
    assert seen.named("digits") == "digits"
    seen.arrived("digits", TUESDAY)
    assert seen.named("digits") == pinned("digits", hex0x(TUESDAY))
    assert seen.named(pinned("digits", hex0x(THURSDAY))) == pinned("digits", hex0x(THURSDAY))
    seen.forget("digits")
    assert seen.named("digits") == "digits"


def test_allow_only_remembers() -> None:
    """Nothing is said, nothing pinned; the newest artifact is what a later `refuse` would know."""
    seen = SeenModels("allow", NETWORK)
    seen.arrived("digits", TUESDAY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen.arrived("digits", THURSDAY) is None
    assert seen.named("digits") == "digits"


@pytest.mark.parametrize("policy", ["warn", "refuse", "allow"])
def test_another_artifact_than_the_pinned_is_no_answer(policy: str) -> None:
    """A node that runs something else under a pin is caught by its own receipt, and nothing is learned."""
    seen = SeenModels(policy, NETWORK)
    for artifact in (THURSDAY, bytes(32)):
        with pytest.raises(VerificationFailed) as caught:
            seen.arrived(pinned("digits", hex0x(TUESDAY)), artifact)
        assert caught.value.reason == "model_pin_mismatch"
    assert seen.arrived(pinned("digits", hex0x(TUESDAY)), TUESDAY) is None


def test_networks_and_providers_are_apart(tmp_path: Path) -> None:
    """The same label elsewhere is another label, and what a provider answers has no artifact to know."""
    path = tmp_path / "seen.json"
    SeenModels("warn", NETWORK, path).arrived("digits", TUESDAY)
    assert SeenModels("warn", b"m" * 32, path).arrived("digits", THURSDAY) is None
    seen = SeenModels("refuse", NETWORK, path)
    assert seen.arrived("gpt", bytes(32)) is None
    assert seen.named("gpt") == "gpt"


def test_a_provider_in_an_artifacts_place_is_said_each_time() -> None:
    """It is no artifact to know: the known one stays, and is no move when it answers again."""
    seen = SeenModels("warn", NETWORK)
    seen.arrived("digits", TUESDAY)
    for _ in range(2):
        with pytest.warns(ModelMoved, match="a provider answers now"):
            assert seen.arrived("digits", bytes(32)) == ModelMove("digits", hex0x(TUESDAY), "")
    assert seen.arrived("digits", TUESDAY) is None


def test_what_it_remembers_may_be_lost(tmp_path: Path) -> None:
    """A damaged file is an empty one, and a folder that cannot be written is no error."""
    path = tmp_path / "seen.json"
    path.write_bytes(b"[" * 100_000)
    seen = SeenModels("warn", NETWORK, path)
    assert seen.named("digits") == "digits"
    (tmp_path / "file").write_bytes(b"")
    SeenModels("warn", NETWORK, tmp_path / "file" / "seen.json").arrived("digits", TUESDAY)


def test_an_unknown_wish_is_refused() -> None:
    """There are three."""
    with pytest.raises(InvalidInput) as caught:
        SeenModels("ignore", NETWORK)
    assert caught.value.reason == "bad_on_model_change"
