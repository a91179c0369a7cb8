"""Amounts in control messages (see `control`). They have 96 bits, and MessagePack has integers of 64."""

from __future__ import annotations

from typing import Final

from hallmark.core.money import MAX_AMOUNT

SIZE: Final = 16
MOST: Final = MAX_AMOUNT
"""What a message can say of what is there (atomic units): of more, this much is said."""


class Units(int):
    """Atomic units of a token; 16 bytes big-endian in a message."""

    @classmethod
    def at_most(cls, amount: int) -> Units:
        """So much, from nothing to `MOST`."""
        return cls(min(max(0, amount), MOST))


def written(units: object) -> bytes:
    """An amount as a message has it. Raises NotImplementedError: it is none."""
    if not isinstance(units, Units):
        raise NotImplementedError
    return units.to_bytes(SIZE, "big")


def read(kind: type, raw: object) -> Units:
    """An amount of a message. Raises ValueError."""
    if kind is not Units or not isinstance(raw, bytes) or len(raw) != SIZE:
        raise ValueError("this is no amount")
    if (amount := int.from_bytes(raw, "big")) > MOST:
        raise ValueError("an amount has at most 96 bits")
    return Units(amount)
