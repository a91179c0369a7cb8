"""What an error says about a name that a client wrote: bounded, escaped, beside the names that there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SHOWN: Final = 64
"""Characters that are shown of a name."""
LISTED: Final = 20
"""Names that are listed at most."""


def no_such_model(asked: str, there: Iterable[str]) -> tuple[str, str]:
    """Message and hint of `model_not_found`: what was asked for, and what there is."""
    named = ascii(asked[:SHOWN])[1:-1] + ("..." if len(asked) > SHOWN else "")
    listed = sorted(there)
    models = ", ".join(listed[:LISTED]) + (", ..." if len(listed) > LISTED else "")
    hint = f"There are: {models}." if models else "There are no models here."
    return f"There is no model '{named}' here.", hint
