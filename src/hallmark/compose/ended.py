"""Why a network's supervisor, or what it had started first, gave up."""

from __future__ import annotations

import msgspec


class Ended(msgspec.Struct, frozen=True):
    """run/ended.json."""

    reason: str
    message: str
    hint: str = ""
