"""Which modes a receipt may have."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core import modes
from hallmark.core.documents import Manifest, Parameters
from hallmark.core.receipt import Mode

ZERO = "0x" + "00" * 32
FLOAT = Manifest("digits", "1", ZERO, ZERO, 1, "onnx", "classification", ZERO)
INTEGERS = msgspec.structs.replace(FLOAT, format="integer-exact")


@pytest.mark.parametrize("mode", [*range(5), 255])
@pytest.mark.parametrize("confinement", [*range(5), 255])
def test_a_mode_that_says_what_confines_a_node_is_the_bundles(mode: int, confinement: int) -> None:
    """VANILLA and TEE are said by nodes of that kind alone, the others by both."""
    found = modes.refusal(mode, confinement)
    if mode > 2 or confinement > 1:
        assert found == "mode_not_supported"
    elif mode < 2:
        assert found == ("" if mode == confinement else "mode_mismatch")
    else:
        assert found == ""


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        (None, {"vanilla", "tee"}),
        (FLOAT, {"vanilla", "tee"}),
        (INTEGERS, {"vanilla", "tee", "replay"}),
    ],
)
def test_the_manifest_says_which_other_modes_there_are(manifest: Manifest | None, names: set[str]) -> None:
    """Only integers can be replayed, and a provider's answer cannot; no proof of zkml is understood."""
    allowed = {name for name, mode in modes.BY_NAME.items() if not modes.artifact_refusal(mode, manifest)}
    assert allowed == names
    assert {modes.artifact_refusal(mode, manifest) for mode in (3, 4)} == {"mode_not_supported"}
    for confinement in modes.CONFINED:
        other = "vanilla" if confinement == Mode.TEE else "tee"
        found = {mode.name.lower() for mode in modes.possible(confinement, manifest)}
        assert found == names - {other}


def test_what_is_not_there_is_not_written() -> None:
    """Manifests and parameters without the newer members keep their bytes."""
    assert b"trace" not in Parameters("chat").encode()
    traced = Parameters("chat", trace_root=ZERO, trace_leaves=3)
    assert Parameters.decode(traced.encode()) == traced
