"""The mode that a request asks for (`Hallmark-Mode`), checked where the receipt is signed.

A gateway reads the same header to choose a node. What it chose is not taken on trust: an enclave that cannot
keep the mode refuses before any work and any payment, and the receipt that it signs otherwise has the mode.
"""

from __future__ import annotations

import msgspec

from hallmark.core.documents import Manifest, Parameters
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.core.modes import BY_NAME, NAMES, possible
from hallmark.core.receipt import Mode
from hallmark.http.asgi import Scope, header


def asked_mode(scope: Scope) -> Mode | None:
    """The mode; None where the request names none. Raises InvalidInput `bad_mode`."""
    name = (header(scope, b"hallmark-mode") or b"").decode("latin-1").lower()
    if not name:
        return None
    if name not in BY_NAME:
        raise InvalidInput("bad_mode", f"A mode is one of {', '.join(BY_NAME)}.")
    return BY_NAME[name]


def require_mode(scope: Scope, confinement: int, manifest: Manifest | None) -> None:
    """Raises Unavailable `mode_unavailable` where no receipt for this artifact here has the asked mode."""
    mode, there = asked_mode(scope), possible(confinement, manifest)
    if mode is not None and mode not in there:
        raise Unavailable(
            "mode_unavailable",
            f"This node does not answer with this model in the mode {NAMES[mode]}; its modes are: "
            f"{', '.join(NAMES[one] for one in there)}.",
            "Nothing was computed or charged. GET /v1/models has the modes of each model.",
        )


def require_shown(mode: int | None, parameters: Parameters) -> None:
    """Raises Unavailable `mode_unavailable` where the run left out what its mode is shown by."""
    if mode == Mode.REPLAY and parameters.trace_root is msgspec.UNSET:
        raise Unavailable("mode_unavailable", "The engine made no trace, so the mode cannot be kept.")
