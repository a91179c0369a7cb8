"""Which modes a receipt may have: by what confines its node, and by what its manifest says of the artifact.

A bundle's mode says what confines the node: nothing (VANILLA) or an enclave (TEE). A receipt of these two
modes says the same and nothing more. REPLAY says how the answer can be shown afterwards, on either kind of
node; which artifacts allow that is their manifest's to say, by one row of `ALLOWED` a mode. A mode without a
row is refused whatever documents say, as ZKML is.

    mode     node           the manifest
    VANILLA  vanilla        any, or none (an upstream provider)
    TEE      tee            any, or none
    REPLAY   vanilla, tee   has a format whose engine computes in integers
    ZKML     none           nothing makes or checks its proofs yet: no receipt may have it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hallmark.core.documents import Manifest
from hallmark.core.receipt import Mode

CONFINED: Final = (Mode.VANILLA, Mode.TEE)
"""The modes of a bundle."""
NAMES: Final[Mapping[int, str]] = {mode.value: mode.name.lower() for mode in Mode}
"""What people and programs call a mode."""
BY_NAME: Final[Mapping[str, Mode]] = {mode.name.lower(): mode for mode in Mode}
INTEGER_FORMATS: Final = frozenset({"integer-exact"})
"""Formats whose engine computes in integers, so that the same request gives the same bits everywhere."""


def _integers(manifest: Manifest) -> bool:
    return manifest.format in INTEGER_FORMATS


ALLOWED: Final[Mapping[Mode, Callable[[Manifest], bool]]] = {Mode.REPLAY: _integers}
"""What the manifest of an artifact must say for a receipt to have the mode."""
UNDERSTOOD: Final = frozenset((*CONFINED, *ALLOWED))
"""The modes whose proof is checked here. Any other is refused, whatever documents say."""


def refusal(mode: int, confinement: int) -> str:
    """Why no receipt of a node so confined has this mode, as a reason code; empty where it may have it."""
    if mode not in UNDERSTOOD or confinement not in CONFINED:
        return "mode_not_supported"
    return "mode_mismatch" if mode in CONFINED and mode != confinement else ""


def artifact_refusal(mode: int, manifest: Manifest | None) -> str:
    """Why no receipt that names this manifest has this mode, as a reason code; empty where it may have it.

    None stands for no manifest: a provider answered, or none that is known.
    """
    if mode not in UNDERSTOOD:
        return "mode_not_supported"
    needs = ALLOWED.get(Mode(mode))
    if needs is None:
        return ""
    return "" if manifest is not None and needs(manifest) else "mode_not_of_artifact"


def possible(confinement: int, manifest: Manifest | None) -> tuple[Mode, ...]:
    """The modes that a node so confined can answer in with this artifact, as far as documents say."""
    return tuple(
        mode for mode in Mode if not refusal(mode, confinement) and not artifact_refusal(mode, manifest)
    )
